"""A week says how far a new hour has to be off, and from too little of it nothing is said."""

from __future__ import annotations

import functools
import random

import pytest

from routing.drift.histogram import Histogram
from routing.drift.reference import LEAST_WINDOWS, ROLLING, Reference, Shift, rolling_degrees, spread
from tests.routing.drift.hours import histogram


@functools.cache
def reference() -> Reference:
    rng = random.Random(1)
    return Reference({hour: histogram(rng, 300) for hour in range(168)})


def shifts(moved: float, count: int = 1, *, seed: int = 2) -> list[Shift]:
    rng = random.Random(seed)
    found = [reference().shift(hour, histogram(rng, 300, shift=moved)) for hour in range(168, 168 + count)]
    return [shift for shift in found if shift is not None]


def test_hours_like_the_reference_are_no_drift() -> None:
    for shift in shifts(0.0, 24):
        assert () == reference().judge(shift, []).alarms


def test_an_hour_that_moved_by_half_a_deviation_is_found_by_both_tests() -> None:
    (shift,) = shifts(0.6)
    judged = reference().judge(shift, [])
    assert ("psi", "mean") == judged.alarms
    assert pytest.approx(0.6, abs=0.2) == shift.mean
    assert judged.rolling_p is None


def test_a_small_move_is_found_over_six_hours_unless_users_are_new() -> None:
    last = shifts(0.24, ROLLING)
    known = reference().judge(last[-1], last[:-1])
    assert "rolling" in known.alarms
    assert known.rolling is not None
    assert pytest.approx(0.24, abs=0.08) == known.rolling
    assert "rolling" not in reference().judge(last[-1], last[:-1], new_users=0.02).alarms
    assert "rolling" not in reference().judge(last[-1], last[1:-1]).alarms  # five hours are no six


def test_what_is_significant_and_small_is_no_drift() -> None:
    """Of a million requests everything is significant; an eighth of a deviation is not worth an alarm."""
    one = Shift(psi=0.02, psi_scaled=1e5, mean=0.125, mean_scaled=1e3)
    assert () == reference().judge(one, [one] * 5).alarms


def test_the_day_is_compared_with_the_same_hours_of_other_days() -> None:
    """A daily cycle of a whole deviation is no drift, and the morning's traffic at night is."""
    rng = random.Random(4)
    cycle = [1.0 if 8 <= hour < 20 else 0.0 for hour in range(24)]
    known = Reference({hour: histogram(rng, 200, shift=cycle[hour % 24]) for hour in range(168)})
    noon = histogram(rng, 200, shift=1.0)
    usual, odd = known.shift(168 + 14, noon), known.shift(168 + 2, noon)
    assert usual is not None
    assert odd is not None
    assert () == known.judge(usual, []).alarms
    assert () != known.judge(odd, []).alarms


def test_too_little_is_not_judged() -> None:
    rng = random.Random(5)
    windows = {hour: histogram(rng, 30) for hour in range(LEAST_WINDOWS - 1)}
    with pytest.raises(ValueError, match="needs 120 hours"):
        Reference(windows)
    with pytest.raises(ValueError, match="always says the same"):
        Reference({hour: Histogram({5: 100.0}) for hour in range(168)})
    assert reference().shift(200, histogram(rng, 9)) is None


def test_sums_that_share_hours_know_as_much_of_their_spread_as_a_quarter_of_them_would() -> None:
    """By simulation: the variance of a chi-squared's estimate is 2 / degrees of its square."""
    rng = random.Random(5)
    found = []
    for _ in range(2_000):
        hours = [rng.gauss(0.0, 1.0) for _ in range(168)]
        sums = [sum(hours[at : at + ROLLING]) for at in range(168 - ROLLING + 1)]
        found.append(spread(sums) ** 2 / ROLLING)
    mean = sum(found) / len(found)
    variance = sum([(one - mean) ** 2 for one in found]) / len(found)
    assert pytest.approx(2.0 * mean * mean / variance, rel=0.12) == rolling_degrees(168 - ROLLING + 1)
    assert pytest.approx(40.2, abs=0.1) == rolling_degrees(163)
