"""The search in virtual time, against targets whose capacity is known."""

from __future__ import annotations

import random

import pytest

from loadtests.search.search import BacklogWatch, Found, Point, Probe, Probed, curve_table, search

PROBE_S = 20.0


def target(capacity: float, noise: float = 0.0, seed: int = 1) -> Probe:
    """Good up to `capacity` requests/s; above it the backlog grows and requests are bad."""
    rng = random.Random(seed)

    def probe(rate: float, attempt: int, backlog: BacklogWatch) -> Probed:
        scheduled = round(rate * PROBE_S)
        good_ratio = 1.0 if rate <= capacity else capacity / rate
        if noise:
            good_ratio = min(1.0, max(0.0, good_ratio - abs(rng.gauss(0, noise))))
        growth = max(0.0, rate - capacity)
        for second in range(round(PROBE_S)):
            if backlog.grows(float(second), round(10 + growth * second)):
                return Probed(good=0, scheduled=round(rate * second), duration_s=float(second), aborted=True)
        return Probed(good=round(scheduled * good_ratio), scheduled=scheduled, duration_s=PROBE_S, e2e_p99_s=0.5)

    return probe


@pytest.mark.parametrize("capacity", [3.0, 47.0, 640.0])
def test_the_highest_rate_is_found_within_the_resolution(capacity: float) -> None:
    found = search(target(capacity), start=10.0, resolution_ratio=0.05)
    assert found.highest is not None
    # At 95 % wanted, a rate up to capacity / 0.95 still serves enough of its requests.
    assert capacity / 1.06 <= found.highest <= capacity / 0.95
    assert "target" == found.limited_by
    assert sorted(point.rate for point in found.points) == [point.rate for point in found.points]


def test_a_hopeless_probe_is_stopped_early_and_fails() -> None:
    points: list[Point] = []
    search(target(100.0), start=100.0, on_point=points.append)
    assert ["pass", "backlog"] == [point.outcome for point in points[:2]]
    assert points[1].last.duration_s < PROBE_S


def test_a_target_that_meets_it_nowhere_is_said_to() -> None:
    found = search(target(0.01), start=8.0, min_rate=1.0)
    assert (None, "target") == (found.highest, found.limited_by)
    assert "No rate met the SLO at 95%" in curve_table(found)


def test_the_highest_rate_allowed_is_no_limit_of_the_target() -> None:
    found = search(target(1e9), start=10.0, max_rate=50.0)
    assert (50.0, "max_rate") == (found.highest, found.limited_by)


def test_a_client_that_cannot_drive_a_rate_says_nothing_of_the_target() -> None:
    def probe(rate: float, attempt: int, backlog: BacklogWatch) -> Probed:
        valid = rate <= 40
        good = round(rate * PROBE_S)
        return Probed(good=good, scheduled=good, duration_s=PROBE_S, valid=valid, reasons=[] if valid else ["lag"])

    found = search(probe, start=10.0)
    assert (40.0, "client") == (found.highest, found.limited_by)
    invalid = [point for point in found.points if point.outcome == "client"]
    assert {(0, 3)} == {(point.attainment.total, point.repetitions) for point in invalid}
    assert "INVALID: lag" in curve_table(found)


def test_one_bad_moment_of_the_client_is_tried_again() -> None:
    def probe(rate: float, attempt: int, backlog: BacklogWatch) -> Probed:
        count = round(rate * PROBE_S)
        return Probed(good=count if rate <= 40 else 0, scheduled=count, duration_s=PROBE_S, valid=attempt > 0)

    found = search(probe, start=10.0)
    assert ("target", 40.0) == (found.limited_by, found.highest)


def test_what_cannot_be_decided_is_repeated_and_does_not_pass() -> None:
    attempts: list[int] = []

    def probe(rate: float, attempt: int, backlog: BacklogWatch) -> Probed:
        attempts.append(attempt)
        return Probed(good=95, scheduled=100, duration_s=PROBE_S)

    found = search(probe, start=1.0, min_rate=1.0, max_rate=1.0, repetitions=3)
    assert ([0, 1, 2], None) == (attempts, found.highest)
    assert (285, 300) == (found.points[0].attainment.good, found.points[0].attainment.total)


def test_noise_around_the_limit_does_not_pass_a_rate_far_above_it() -> None:
    for seed in range(5):
        found: Found = search(target(100.0, noise=0.02, seed=seed), start=10.0)
        assert found.highest is not None
        assert 60 <= found.highest <= 100 / 0.95


def test_a_full_pipe_is_not_a_backlog_and_a_filling_one_is_not_judged() -> None:
    level = BacklogWatch(rate=100.0, settle_s=5.0)
    assert not any(level.grows(t / 2, 50 + t % 3) for t in range(40))
    filling = BacklogWatch(rate=100.0, settle_s=5.0)
    assert not any(filling.grows(t / 2, 100 * t) for t in range(10))


@pytest.mark.parametrize("wrong", [{"start": 0.0}, {"start": 5.0, "max_rate": 1.0}, {"start": 1.0, "wanted": 1.0}])
def test_limits_out_of_order_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"rates must be in order|attainment lies between"):
        search(target(1.0), **wrong)  # type: ignore[arg-type] # rates only
