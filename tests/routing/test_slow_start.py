"""A replica that came or came back is given a rising share; one in another zone what waiting nearby would cost more."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.failing.breaker import BreakerSettings, Verdict
from routing.fleet import ModelSpec, TargetSpec, build_fleet
from routing.replicas.replica import LEAST_SHARE
from routing.replicas.replica_table import ReplicaTable
from routing.route import ModelRoute
from tests.routing.fleets import FACTS, OPERATION, SPOKEN
from tests.routing.story import Does, Story

POLICIES = ["least_load", "latency", "prefix"]


def long(_now: float, rng: random.Random) -> Does:
    """An answer of some seconds: what is in flight decides."""
    return Does(ttft_s=rng.uniform(0.04, 0.06), lasts_s=4.0)


@settings(deadline=None)
@given(at_s=st.floats(0.0, 200.0), later_s=st.floats(0.0, 200.0), window_s=st.floats(0.1, 100.0))
def test_the_share_only_rises_and_is_whole_after_the_window(at_s: float, later_s: float, window_s: float) -> None:
    state = ReplicaTable().get(("a", "0"))
    assert state.share(at_s, window_s) == 1.0  # nobody said when it came
    state.returned_s = 0.0
    share = state.share(at_s, window_s)
    assert LEAST_SHARE <= share <= state.share(at_s + later_s, window_s) <= 1.0
    assert (share == 1.0) == (at_s >= window_s)


def test_it_counts_from_the_last_time_that_it_came_back_whatever_brought_it() -> None:
    table = ReplicaTable(BreakerSettings(min_failures=1, jitter_ratio=0.0))
    state, rng = table.get(("a", "0")), random.Random(1)
    state.breaker.record(state.breaker.admit(10.0), Verdict.FAILURE, 10.0, rng)
    state.breaker.record(state.breaker.admit(15.0), Verdict.SUCCESS, 16.0, rng)
    assert state.share(26.0, 20.0) == 0.5
    state.eject(30.0, 5.0, 10.0)
    state.readmit(35.0)
    assert state.share(40.0, 20.0) == 0.25


@pytest.mark.parametrize("policy", POLICIES)
def test_one_that_joins_a_busy_pool_is_not_flooded(policy: str) -> None:
    def joined(slow_start_s: float) -> list[float]:
        story = Story(policy, long, long, long, long, slow_start_s=slow_start_s)
        late = story.states["0"]
        late.draining = True
        told = story.run(100.0, per_s=60.0, at={40.0: lambda: join(late, 40.0)})
        return [told.share("0", from_s, from_s + 2.0) for from_s in (40.0, 60.0, 90.0)]

    def join(state: object, now: float) -> None:
        state.draining, state.returned_s = False, now  # type: ignore[attr-defined]

    flooded, gentle = joined(0.0), joined(30.0)
    if policy == "least_load":
        assert flooded[0] > 0.33  # it is idle, so everything goes there
    assert gentle[0] < min(0.2, flooded[0])
    assert gentle[0] < gentle[2]
    if policy == "least_load":  # the others go by rates that the newcomer has yet to be known for
        assert gentle[0] < gentle[1]
        assert 0.2 < gentle[2] < 0.3


@pytest.mark.parametrize("policy", POLICIES)
def test_where_all_came_at_once_each_is_given_as_much(policy: str) -> None:
    story = Story(policy, long, long, long, slow_start_s=60.0)
    for state in story.states.values():
        state.returned_s = 0.0
    told = story.run(20.0, per_s=30.0)
    assert all(0.28 < told.share(replica) < 0.39 for replica in "012")


# -- zones -----------------------------------------------------------------------------------------------------------


def zoned(other_zone_ms: float, policy: str = "latency") -> ModelRoute:
    target = TargetSpec("a", "up", ("near", "far"), SPOKEN, away=frozenset({"far"}))
    spec = ModelSpec("m", (target,), policy, other_zone_ms=other_zone_ms)
    return build_fleet([spec], ReplicaTable()).models["m"]


def choice(route: ModelRoute) -> str:
    endpoint = route.speakers[OPERATION].pickers[0].pick(FACTS, 0.0, random.Random(2))
    assert endpoint is not None
    return endpoint.replica


def test_what_is_near_goes_first_until_waiting_there_costs_more_than_the_way() -> None:
    route = zoned(32.0)
    near = next(endpoint.state for endpoint in route.endpoints() if endpoint.replica == "near")
    sent = 0
    while choice(route) == "near":
        near.charge(40, 10)
        sent += 1
    # Each has 40 tokens to prefill at 0.1 ms, and is one more in flight: 5 ms.
    assert sent == 7
    near.first_byte(40)
    near.release(0, 10)
    assert choice(route) == "near"


def test_without_a_price_a_zone_is_no_reason() -> None:
    route = zoned(0.0)
    assert {choice_with(route, seed) for seed in range(20)} == {"near", "far"}


def choice_with(route: ModelRoute, seed: int) -> str:
    endpoint = route.speakers[OPERATION].pickers[0].pick(FACTS, 0.0, random.Random(seed))
    assert endpoint is not None
    return endpoint.replica


def test_a_near_replica_that_is_gone_is_no_reason_to_wait() -> None:
    route = zoned(1e6)
    near = next(endpoint.state for endpoint in route.endpoints() if endpoint.replica == "near")
    near.healthy = False
    near.draining = True
    assert choice(route) == "far"


def test_the_explanation_has_the_zone_and_adds_up_as_the_choice_does() -> None:
    route = zoned(30.0)
    opinion = route.speakers[OPERATION].pickers[0].opinion(FACTS, 0.0, random.Random(2))
    assert [cost.zone_ms for cost in opinion.costs] == [0.0, 30.0]
    assert opinion.costs[1].total_ms - opinion.costs[0].total_ms == pytest.approx(30.0)


def test_an_endpoint_whose_zone_costs_something_else_is_another_one() -> None:
    table = ReplicaTable()
    target = TargetSpec("a", "up", ("0",), SPOKEN, away=frozenset({"0"}))
    before = build_fleet([ModelSpec("m", (target,), "latency", other_zone_ms=5.0)], table)
    same = build_fleet([ModelSpec("m", (target,), "latency", other_zone_ms=5.0)], table, before)
    other = build_fleet([ModelSpec("m", (target,), "latency", other_zone_ms=9.0)], table, before)
    (first,), (again,), (new,) = (fleet.models["m"].whole.pools[0] for fleet in (before, same, other))
    assert first is again
    assert (new is first, new.away_ms, new.state is first.state) == (False, 9.0, True)
