"""The elastic pool and the rules of the field, against what is published of them, and the table over them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from gateway.virtual.scaling.compare import Row, attained, compare, most_flips, rules, run
from gateway.virtual.scaling.failures import trials
from gateway.virtual.scaling.pool import ElasticPool, Played, Terms
from gateway.virtual.scaling.replay import replay
from gateway.virtual.scaling.rules.hpa import Hpa, Keda
from gateway.virtual.scaling.rules.knative import Kpa
from gateway.virtual.scaling.seen import Second, Seen
from gateway.virtual.scaling.table import table
from gateway.virtual.scaling.traffic import TRACES, arrivals
from gateway.virtual.scaling.verdict import cases, missed
from gateway.virtual.trace import Arrival, calls_of


class Fixed:
    """So many, from so many seconds on."""

    name = "fixed"
    tick_s = 1.0

    def __init__(self, *steps: tuple[float, int]) -> None:
        self._steps = steps
        self.starts: list[float] = []

    def wanted(self, seen: Seen) -> int:
        return [count for at_s, count in self._steps if seen.now >= at_s][-1]

    def started(self, took_s: float) -> None:
        self.starts.append(took_s)


def steady(rate: float, seconds: float) -> list[Arrival]:
    return arrivals(1, lambda _: rate, seconds)


def test_replicas_are_paid_for_from_when_they_are_asked_for_until_they_have_finished() -> None:
    rule = Fixed((0.0, 1), (10.0, 3), (100.0, 1))
    call = Arrival(arrival_ms=95_000.0, input_tokens=400, output_tokens=2_000)  # 46 s to its end
    last = Arrival(arrival_ms=200_000.0, input_tokens=400, output_tokens=1)
    played = ElasticPool(rule, Terms(30.0, initial=1, starts=lambda _: 30.0), 1).play(calls_of([call, last]))
    assert rule.starts == [30.0, 30.0]
    assert played.replica_s == pytest.approx(200.0 + 2 * 90.0, abs=60.0)
    assert played.unanswered == 0
    assert played.ttfts_s[0] == pytest.approx(0.104, abs=0.001)


def test_a_backlog_is_shared_with_whoever_comes_to_serve() -> None:
    alone = ElasticPool(Fixed((0.0, 1)), Terms(30.0, initial=1), 1).play(calls_of(steady(8.0, 120.0)))
    helped = ElasticPool(Fixed((0.0, 1), (10.0, 4)), Terms(30.0, initial=1), 1).play(calls_of(steady(8.0, 120.0)))
    assert attained(alone, 2.0) < 0.2
    assert max(helped.ttfts_s[-50:]) < 2.0 < min(alone.ttfts_s[-50:])


def test_the_same_arguments_are_the_same_run() -> None:
    calls = calls_of(steady(4.0, 200.0))
    make = rules(30.0)[0]
    first, second = (run("x", calls, make(), Terms(30.0), 3) for _ in range(2))
    assert first == second


def test_every_trace_is_the_same_under_a_seed_and_its_load_changes() -> None:
    trace = TRACES["square"](5)
    assert trace == TRACES["square"](5) != TRACES["square"](6)
    minutes = [sum(60e3 * m <= one.arrival_ms < 60e3 * (m + 1) for one in trace) for m in (5, 20)]
    assert minutes[1] > 3 * minutes[0]


def seen(ready: int, in_flight: int, now: float = 0.0, starting: int = 0) -> Seen:
    found = Seen(now=now, ready=ready, starting_s=[10.0] * starting, in_flight=in_flight)
    for _ in range(60):
        found.seconds.append(Second(ready, in_flight, 0, [0.5] * ready, 0))
    return found


def hpa() -> Hpa:
    return Hpa("hpa", [(lambda one: float(one.last.running), 16.0)])


@pytest.mark.parametrize(
    ("replicas", "in_flight", "wanted"),
    [(4, 64, 4), (4, 70, 4), (4, 72, 5), (2, 1600, 6), (10, 3200, 20), (1, 0, 1)],
)
def test_hpa_has_a_tolerance_and_grows_to_twice_or_by_four(replicas: int, in_flight: int, wanted: int) -> None:
    assert hpa().wanted(seen(replicas, in_flight)) == wanted


def test_hpa_goes_down_to_the_most_of_five_minutes() -> None:
    rule = hpa()
    assert rule.wanted(seen(6, 96, 0.0)) == 6
    assert rule.wanted(seen(6, 16, 285.0)) == 6
    assert rule.wanted(seen(6, 16, 300.0)) == 1


def test_keda_wakes_at_a_poll_and_sleeps_after_its_cooldown() -> None:
    rule = Keda(hpa(), lambda one: one.in_flight > 0)
    assert [rule.wanted(seen(0, count, now)) for count, now in ((0, 0.0), (1, 15.0), (1, 30.0))] == [0, 0, 1]
    assert rule.wanted(seen(1, 0, 315.0)) == 1
    assert rule.wanted(seen(1, 0, 330.0)) == 0


def test_kpa_panics_on_twice_the_ready_and_then_never_goes_down() -> None:
    rule = Kpa(20.0)
    calm = seen(2, 14)
    assert rule.wanted(calm) == 1
    for _ in range(6):
        calm.seconds.append(Second(2, 80, 0, [0.5, 0.5], 0))
    assert rule.wanted(calm) == 6
    later = seen(6, 14, 30.0)
    assert rule.wanted(later) == 6
    assert rule.wanted(seen(6, 14, 61.0)) == 3  # no fewer than half at a time


def test_flips_are_changes_of_direction() -> None:
    changes = [(0.0, 1, 2), (10.0, 2, 4), (50.0, 4, 3), (60.0, 3, 4), (400.0, 4, 1)]
    assert most_flips(Played([], 0.0, changes), 60.0) == 2
    assert most_flips(Played([], 0.0, changes[:2]), 60.0) == 0


def row(rule: str, attainment: float, hours: float, flips: int = 0) -> Row:
    return Row("square", 30.0, 1, rule, attainment, hours, 3, flips)


def judged(*others: Row, ours: Row | None = None) -> Sequence[str]:
    return missed(cases([ours or row("penstock", 0.98, 8.0), *others]))


def test_ours_at_other_aims_is_shown_and_held_against_nothing() -> None:
    rows = [row("penstock", 0.98, 8.0), row("a", 0.97, 10.0), row("penstock 0.9", 0.981, 7.0)]
    (case,) = cases(rows)
    assert missed([case]) == []
    assert [point.rule for point in case.frontier] == ["penstock 0.9"]
    shown = table([case], [], 1).splitlines()[2].split()
    assert (shown[:3], shown[-1]) == (["penstock", "0.9", "0.9810"], "*")


def test_what_is_missed_is_said() -> None:
    assert judged(row("a", 0.97, 10.0), row("b", 0.5, 1.0)) == []
    assert judged(row("a", 0.97, 10.0), row("b", 0.98, 7.0))[0] == "square, 30 s: dominated by b"
    assert judged(row("a", 0.97, 10.0), row("b", 0.99, 9.0)) == [
        "square, 30 s: attains less than b, with no more replica-hours"
    ]
    assert judged(row("a", 0.97, 8.5)) == [
        "replica-hours are 0.94 times those of the best that attain no more; to be at most 0.9"
    ]
    flapping = row("penstock", 0.98, 8.0, flips=2)
    assert judged(row("a", 0.97, 10.0), ours=flapping) == [
        "square, 30 s: 2 changes of direction within two start-up times"
    ]


def test_the_table_has_each_rule_the_frontier_and_the_verdict() -> None:
    text = table(cases([row("penstock", 0.98, 8.0), row("a", 0.97, 10.0), row("b", 0.5, 1.0)]), [], 1)
    stars = [line.split()[-4 if "square" in line else 0] for line in text.splitlines() if line.endswith("*")]
    assert len(stars) == 2
    assert "0.80 of the replica-hours of a, the best that attains no more" in text
    assert "everything that was to be reached is reached" in text


def test_ones_own_traffic_is_replayed_with_reasons_and_a_price() -> None:
    text = replay(steady(6.0, 300.0), 30.0, 0, 8, 2000.0, 4000.0, 2.0)
    assert "prompt tokens" in text
    assert text.splitlines()[-1].startswith(f"{len(steady(6.0, 300.0))} requests, ")
    assert " USD; " in text


def test_a_replica_that_never_comes_serves_nobody() -> None:
    terms = Terms(30.0, initial=0, starts=lambda _: math.inf)
    played = ElasticPool(Fixed((0.0, 2)), terms, 1).play(calls_of(steady(1.0, 20.0)))
    assert set(played.ttfts_s) == {math.inf}
    assert played.replica_s == pytest.approx(40.0, abs=3.0)


@pytest.mark.slow
def test_each_failure_that_others_are_known_for_is_a_trace_that_passes() -> None:
    assert [trial.name for trial in trials() if not trial.passes] == []


@pytest.mark.slow
def test_processes_change_nothing_of_a_comparison() -> None:
    alone = list(compare(["night"], [30.0], [1], lambda _: None))
    said: list[str] = []
    assert list(compare(["night"], [30.0], [1], said.append, jobs=2)) == alone
    assert len(said) == len(alone) == 9
    assert said[0].startswith("night 30 s, seed 1, penstock: 0.9")
