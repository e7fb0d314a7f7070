"""What of an engine's own figures is believed: nothing twice and nothing old. And who fails at once is not idle."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.choosing.policy import choose, choose_with_room
from routing.facts import NO_NEEDS, Needs, RequestFacts
from routing.failing.breaker import BreakerSettings, Verdict
from routing.lease import Lease, LeaseSeries
from routing.model import Endpoint
from routing.replicas.replica import FAILED_S, MOST_FAILED_S
from routing.replicas.reported import LAST_INTERVALS, LEAST_ROOM, ReportedLoad
from routing.route import ModelRoute
from tests.routing.fleets import FACTS, OPERATION, route_of

COUNTS = st.integers(0, 10_000)
MAYBE = st.none() | COUNTS
NEVER_OPENS = BreakerSettings(min_failures=1_000_000)


def took(route: ModelRoute, now: float, requests: int = 1, rng: random.Random | None = None) -> list[Endpoint]:
    """Who was chosen for each of so many requests, all of which stay."""
    rng, chosen = rng or random.Random(0), []
    for _ in range(requests):
        endpoint = choose(route, FACTS, now, rng)
        assert endpoint is not None
        Lease(endpoint.state, FACTS, now, None, LeaseSeries())
        chosen.append(endpoint)
    return chosen


# -- laws --------------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(COUNTS, COUNTS, COUNTS, st.floats(0, 20))
def test_what_is_ours_is_never_added_and_all_else_is_added_once(
    running: int, waiting: int, known: int, age_s: float
) -> None:
    load = ReportedLoad()
    load.tell(running, waiting, 0.5, known, 100.0)
    foreign = max(0, running + waiting - known)
    assert load.foreign_requests(100.0) == foreign
    assert 0.0 <= load.foreign_waiting(100.0) <= min(waiting, foreign) + 1e-9
    assert load.foreign_requests(100.0 + age_s) <= foreign


@settings(deadline=None)
@given(st.lists(st.tuples(MAYBE, MAYBE, COUNTS, st.floats(0, 5)), max_size=12), st.floats(0.1, 10))
def test_whatever_comes_in_whatever_order_weights_fall_and_end(
    reports: list[tuple[int | None, int | None, int, float]], interval_s: float
) -> None:
    load, now = ReportedLoad(), 0.0
    for running, waiting, known, gap_s in reports:
        now += gap_s
        load.tell(running, waiting, None, known, now, interval_s)
        most = (running or 0) + (waiting or 0)
        assert load.foreign_waiting(now) <= most
        before = load.foreign_requests(now)
        for step in range(1, 6):
            later = load.foreign_requests(now + step * interval_s / 2)
            assert 0.0 <= later <= before + 1e-9
            before = later
    over = now + LAST_INTERVALS * interval_s + 1e-6
    assert (load.foreign_requests(over), load.foreign_waiting(over), load.weight(over)) == (0.0, 0.0, 0.0)
    assert (load.running(over), load.waiting(over), load.kv_usage(over)) == (None, None, None)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["failed", "recover", "pass"]), max_size=60))
def test_failures_are_bounded_and_are_forgotten(events: list[str]) -> None:
    state = route_of(1).whole.pools[0][0].state
    now = 1.0
    for event in events:
        before = state.failed_until_s
        if event == "failed":
            state.failed(now)
            assert state.failed_until_s >= min(before, now + MOST_FAILED_S)
        elif event == "recover":
            state.recover(now)
            assert state.failed_until_s <= max(before, 0.0)
        else:
            now += 0.3
        assert state.failed_until_s <= now + MOST_FAILED_S


# -- the report itself -------------------------------------------------------------------------------------------------


def test_a_report_that_is_missing_weighs_less_and_less_and_then_nothing() -> None:
    load = ReportedLoad()
    load.tell(10, 0, 0.5, 0, 0.0, interval_s=2.0)
    weights = [load.weight(age_s) for age_s in (0.0, 2.0, 4.0, 5.9, 6.0)]
    assert weights == pytest.approx([1.0, 0.6065, 0.3679, 0.2287, 0.0], abs=1e-4)
    assert load.foreign_requests(2.0) == pytest.approx(6.065, abs=1e-3)


def test_before_any_report_nothing_is_known() -> None:
    load = ReportedLoad()
    assert (load.foreign_requests(0.0), load.running(0.0), load.kv_usage(0.0)) == (0.0, None, None)


def test_a_queue_told_without_what_runs_is_foreign_only_beyond_ours() -> None:
    load = ReportedLoad()
    load.tell(None, 30, 0.9, 10, 0.0)
    assert (load.foreign_requests(0.0), load.foreign_waiting(0.0), load.waiting(0.0)) == (20.0, 20.0, 30)
    load.tell(None, 5, 0.9, 10, 1.0)
    assert (load.foreign_waiting(1.0), load.waiting(1.0)) == (0.0, 5)


def test_a_queue_told_without_what_runs_does_not_unsay_what_runs() -> None:
    load = ReportedLoad()
    load.tell(50, 0, 0.5, 10, 0.0)
    load.tell(None, 0, 0.5, 10, 1.0)
    assert load.foreign_requests(1.0) == pytest.approx(40 * load._weight(1.0))


@settings(deadline=None)
@given(st.lists(st.tuples(MAYBE, MAYBE, COUNTS, st.floats(0, 5)), min_size=1, max_size=12))
def test_one_that_was_full_of_late_has_room_for_as_many_again_and_one_that_never_was_for_any(
    reports: list[tuple[int | None, int | None, int, float]],
) -> None:
    load, now, full = ReportedLoad(), 0.0, float("-inf")
    for running, waiting, known, gap_s in reports:
        now += gap_s
        load.tell(running, waiting, None, known, now, 2.0)
        if waiting:
            full = now
            assert load.full_from <= max(1, known)
        elif running is not None or waiting is not None:
            assert load.full_from >= known + max(LEAST_ROOM, known)
        assert load.full_until_s == full + LAST_INTERVALS * 2.0


# -- stories -----------------------------------------------------------------------------------------------------------


def test_foreign_load_sends_requests_elsewhere_until_its_report_is_old() -> None:
    route = route_of(2, policy="latency")
    busy, idle = route.whole.pools[0]
    busy.state.tell(60, 20, 0.9, 0.0)
    assert set(took(route, 0.0, 5)) == {idle}
    assert busy in took(route, 7.0, 6)  # nothing is said any more, and the other has our own requests


@pytest.mark.parametrize(("running", "room"), [(4, LEAST_ROOM), (50, 50)])
def test_where_all_others_are_full_the_one_that_lets_nobody_wait_is_not_sent_everything(
    running: int, room: int
) -> None:
    route = route_of(3, policy="latency")
    first, *others = route.whole.pools[0]
    rng = random.Random(1)
    for one in route.whole.pools[0]:
        for _ in range(running):
            Lease(one.state, FACTS, 0.0, None, LeaseSeries()).first_byte()
        one.state.tell(running - 2, 2, 0.5, 0.0, 2.0)
    assert choose_with_room(route, FACTS, 0.0, rng)[1] is False
    first.state.tell(running, 0, 0.5, 0.1)
    went = 0
    while (found := choose_with_room(route, FACTS, 0.1, rng))[1]:
        assert found[0] is first
        Lease(first.state, FACTS, 0.1, None, LeaseSeries())
        went += 1
    assert went == room
    first.state.tell(running + went, 0, 0.5, 0.2)  # it tells of them, and none waits
    assert choose_with_room(route, FACTS, 0.2, rng) == (first, True)
    for one in others:
        one.state.tell(running, 0, 0.5, 0.2)
    assert choose_with_room(route, FACTS, 0.2, rng)[0] in others
    assert not first.state.full(6.3)  # it was full longer ago than a report counts


def test_our_own_requests_are_not_counted_again_when_the_engine_tells_of_them() -> None:
    route = route_of(2, policy="latency")
    a, b = route.whole.pools[0]
    took(route, 0.0, 20)
    for one in (a, b):
        one.state.set_remote(0, 0, 3)
        one.state.tell(one.state.in_flight_requests, 3, 0.5, 0.0)
    assert [one.state.reported.foreign_requests(0.0) for one in (a, b)] == [0.0, 0.0]
    split = [one.replica for one in took(route, 0.2, 20)]
    assert abs(split.count("0") - split.count("1")) <= 2


def test_what_waits_elsewhere_costs_as_much_as_it_takes_that_replica_to_prefill() -> None:
    route = route_of(2, policy="latency")
    slow, fast = route.whole.pools[0]
    for step in range(100):
        tokens = 80.0 * step
        slow.state.prefill.learn(tokens, 20.0 + 0.4 * tokens, step * 0.01)
        fast.state.prefill.learn(tokens, 20.0 + 0.1 * tokens, step * 0.01)
    slow.state.tell(0, 4, 0.9, 1.0)
    fast.state.tell(0, 8, 0.9, 1.0)
    assert set(took(route, 1.0, 5)) == {fast}


def test_a_replica_whose_metrics_are_gone_is_chosen_like_any_other() -> None:
    route = route_of(2, policy="latency")
    told, silent = route.whole.pools[0]
    split = []
    for second in range(10):
        told.state.tell(told.state.in_flight_requests, 0, 0.1, float(second))
        split += [one.replica for one in took(route, float(second), 4)]
    assert abs(split.count(told.replica) - split.count(silent.replica)) <= 2


@pytest.mark.parametrize("policy", ["latency", "prefix", "least_load"])
@pytest.mark.parametrize(("verdict", "why"), [(Verdict.FAILURE, "server_error"), (Verdict.IGNORED, "overloaded")])
def test_a_replica_that_fails_at_once_does_not_look_idle(verdict: Verdict, why: str, policy: str) -> None:
    route, rng = route_of(4, policy=policy, breaker=NEVER_OPENS), random.Random(1)
    bad = route.whole.pools[0][0]
    lost = 0
    leases: list[tuple[float, Lease]] = []
    for tick in range(1000):  # 100/s for 10 s; each answer takes 1 s
        now = tick * 0.01
        while leases and leases[0][0] <= now:
            _, lease = leases.pop(0)
            lease.first_byte()
            lease.works(now, rng)
            lease.release(now)
        facts = RequestFacts(OPERATION, 100, 100)
        endpoint = choose(route, facts, now, rng)
        assert endpoint is not None
        lease = Lease(endpoint.state, facts, now, None, LeaseSeries())
        if endpoint is bad:
            lost += 1
            lease.tell(verdict, now, rng, why)
            lease.release(now)
        else:
            leases.append((now + 1.0, lease))
    assert 1 <= lost <= 10 / FAILED_S + 2  # and not a quarter of them, or all


class Long:
    """A long prompt of one session, all of it known to one replica."""

    def prefix(self) -> Sequence[int]:
        return range(1, 501)

    def session(self) -> str:
        return "s"

    def needs(self) -> Needs:
        return NO_NEEDS


@pytest.mark.parametrize("policy", ["prefix", "session"])
def test_a_replica_that_fails_at_once_does_not_keep_the_long_prompts_that_it_holds(policy: str) -> None:
    route, rng = route_of(4, policy=policy, breaker=NEVER_OPENS), random.Random(1)
    facts = RequestFacts(OPERATION, 32_000, 100, Long())
    bad = choose(route, facts, 0.0, rng)
    assert bad is not None
    route.sent(facts, bad)
    lost = 0
    for tick in range(100):
        now = tick * 0.1
        facts = RequestFacts(OPERATION, 32_000, 100, Long())
        endpoint = choose(route, facts, now, rng)
        assert endpoint is not None
        if endpoint is bad:
            lost += 1
            bad.state.failed(now)
    assert 1 <= lost <= 10 / FAILED_S + 2
    assert choose(route, RequestFacts(OPERATION, 32_000, 100, Long()), 60.0, rng) is bad


def test_when_all_fail_least_load_decides_by_load() -> None:
    route, rng = route_of(2, policy="least_load", breaker=NEVER_OPENS), random.Random(1)
    a, b = route.whole.pools[0]
    for number, one in enumerate((a, b)):
        one.state.failed(number / 10)
    a.state.charge(1000, 1000)
    assert choose(route, FACTS, 0.2, rng) is b
    assert choose(route, FACTS, 1.05, rng) is a  # whose failure is over, while the other's is not
    assert choose(route, FACTS, 2.0, rng) is b


def test_one_failure_among_answers_is_soon_forgotten() -> None:
    state = route_of(1).whole.pools[0][0].state
    state.failed(0.0)
    for tick in range(1, 8):
        state.recover(tick * 0.01)
    assert state.failed_until_s == 0.0
