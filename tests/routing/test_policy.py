from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.model import Endpoint
from routing.pickers import PICKERS
from routing.policy import choose
from tests.routing.fleets import OPERATION, endpoints, route_of, trip

POLICIES = sorted(PICKERS)


@settings(deadline=None, max_examples=300)
@given(data=st.data(), sizes=st.lists(st.integers(1, 5), min_size=1, max_size=3), policy=st.sampled_from(POLICIES))
def test_the_choice_is_available_untried_if_possible_and_of_the_first_such_tier(
    data: st.DataObject, sizes: list[int], policy: str
) -> None:
    rng = random.Random(data.draw(st.integers(0, 1000)))
    route = route_of(*sizes, policy=policy)
    everyone = endpoints(route)
    conditions = data.draw(
        st.lists(
            st.sampled_from(["ok", "sick", "aside", "draining", "open"]), min_size=len(everyone), max_size=len(everyone)
        )
    )
    tried = data.draw(st.lists(st.sampled_from(everyone), max_size=6))
    usable: list[Endpoint] = []
    for endpoint, condition in zip(everyone, conditions, strict=True):
        endpoint.state.healthy = condition != "sick"
        endpoint.state.draining = condition == "draining"
        if condition == "open":
            trip(endpoint.state.breaker, 0.0, rng)
        if condition == "aside":
            endpoint.state.stand_aside(0.0)
    panic = {
        tier for tier, pool in enumerate(route.whole.pools) if 0 < 2 * sum(e.state.healthy for e in pool) < len(pool)
    }
    for endpoint, condition in zip(everyone, conditions, strict=True):
        if condition == "ok" or (endpoint.tier in panic and condition in ("sick", "aside")):
            usable.append(endpoint)
    last = [e for e, condition in zip(everyone, conditions, strict=True) if condition in ("sick", "aside")]
    fresh = [e for e in usable if e not in tried]
    for _ in range(3):
        decision = choose(route, OPERATION, 0.0, rng, tried)
        if not usable:
            if last:
                assert decision is not None
                assert decision.endpoint in last
                assert decision.tier == min(e.tier for e in last)
                assert decision.reason == "last_resort"
            else:
                assert decision is None
            continue
        assert decision is not None
        assert decision.tier == min(e.tier for e in (fresh or usable))
        assert decision.endpoint in (fresh or usable)
        assert (decision.reason == "again") == (not fresh)


@settings(deadline=None, max_examples=200)
@given(
    loads=st.lists(st.integers(0, 50), min_size=2, max_size=2),
    remote=st.lists(st.integers(0, 50), min_size=2, max_size=2),
    seed=st.integers(0, 100),
)
def test_of_two_replicas_the_one_with_fewer_tokens_of_all_workers_is_taken(
    loads: list[int], remote: list[int], seed: int
) -> None:
    route = route_of(2)
    for endpoint, own, others in zip(route.whole.pools[0], loads, remote, strict=True):
        endpoint.state.in_flight_tokens, endpoint.state.remote_tokens = own, others
    totals = [own + others for own, others in zip(loads, remote, strict=True)]
    decision = choose(route, OPERATION, 0.0, random.Random(seed))
    assert decision is not None
    assert min(totals) == totals[route.whole.pools[0].index(decision.endpoint)]
    assert decision.reason == "least_load"


def test_equal_tokens_go_to_the_replica_with_fewer_requests() -> None:
    route, rng = route_of(2), random.Random(0)
    a, b = route.whole.pools[0]
    a.state.in_flight_requests = 1
    assert {choose(route, OPERATION, 0.0, rng).endpoint for _ in range(50)} == {b}  # type: ignore[union-attr]


def test_least_load_never_takes_the_heaviest_of_a_pool() -> None:
    route, rng = route_of(5), random.Random(0)
    for load, endpoint in enumerate(route.whole.pools[0]):
        endpoint.state.in_flight_tokens = load
    seen = counts(route_picks(route, 5000, rng))
    # Of the 10 pairs, replica i is the lighter in 4 - i.
    assert [round(seen[str(i)] / 500) for i in range(5)] == [4, 3, 2, 1, 0]
    assert seen["4"] == 0


def test_least_load_never_takes_the_heaviest_of_what_is_left_of_a_pool() -> None:
    route, rng = route_of(4), random.Random(0)
    for load, endpoint in enumerate(route.whole.pools[0]):
        endpoint.state.in_flight_tokens = load
    route.whole.pools[0][0].state.healthy = False
    seen = counts(route_picks(route, 3000, rng))
    # Of the 3 pairs, replica i is the lighter in 3 - i.
    assert [round(seen[str(i)] / 1000) for i in range(4)] == [0, 2, 1, 0]
    assert seen["3"] == 0


def route_picks(route: object, times: int, rng: random.Random) -> list[Endpoint]:
    picks = []
    for _ in range(times):
        decision = choose(route, OPERATION, 0.0, rng)  # type: ignore[arg-type]
        assert decision is not None
        picks.append(decision.endpoint)
    return picks


def counts(picks: list[Endpoint]) -> Counter[str]:
    return Counter(endpoint.replica for endpoint in picks)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("broken", [0, 1])
def test_idle_replicas_share_evenly_whether_or_not_one_is_broken(policy: str, broken: int) -> None:
    route, rng = route_of(5, policy=policy), random.Random(7)
    for endpoint in route.whole.pools[0][:broken]:
        endpoint.state.healthy = False
    usable = 5 - broken
    seen = counts(route_picks(route, 4000, rng))
    assert sorted(seen) == [str(i) for i in range(broken, 5)]
    assert all(abs(n - 4000 / usable) < 0.12 * 4000 / usable for n in seen.values())


@pytest.mark.parametrize("policy", POLICIES)
def test_idle_replicas_share_by_weight(policy: str) -> None:
    route, rng = route_of(policy=policy, weights=(3.0, 1.0)), random.Random(7)
    seen = Counter(e.engine for e in route_picks(route, 4000, rng))
    assert 2880 <= seen["w0"] <= 3120


def test_least_load_compares_load_per_unit_of_weight() -> None:
    route, rng = route_of(weights=(4.0, 1.0)), random.Random(0)
    big, small = route.whole.pools[0]
    big.state.in_flight_tokens, small.state.in_flight_tokens = 399, 100
    assert set(route_picks(route, 20, rng)) == {big}
    big.state.in_flight_tokens = 401
    assert set(route_picks(route, 20, rng)) == {small}


def test_round_robin_takes_each_in_turn_and_passes_over_the_unusable() -> None:
    route, rng = route_of(3, policy="round_robin"), random.Random(0)
    assert [e.replica for e in route_picks(route, 5, rng)] == ["0", "1", "2", "0", "1"]
    route.whole.pools[0][2].state.draining = True
    assert [e.replica for e in route_picks(route, 4, rng)] == ["0", "1", "0", "1"]


def test_weighted_round_robin_interleaves() -> None:
    route, rng = route_of(policy="round_robin", weights=(3.0, 1.0)), random.Random(0)
    assert [e.engine for e in route_picks(route, 8, rng)] == ["w0", "w0", "w1", "w0"] * 2


def test_the_only_usable_replica_is_named_as_such() -> None:
    route, rng = route_of(2), random.Random(0)
    route.whole.pools[0][0].state.healthy = False
    decision = choose(route, OPERATION, 0.0, rng)
    assert repr(decision) == "Decision(t0/1, tier=0, only)"


def test_a_lower_tier_serves_only_while_the_first_cannot() -> None:
    route, rng = route_of(1, 1), random.Random(0)
    first, second = endpoints(route)
    trip(first.state.breaker, 0.0, rng)
    assert [e.engine for e in route_picks(route, 2, rng)] == ["t1", "t1"]
    assert second.state.available(0.0)
    decision = choose(route, OPERATION, first.state.breaker.open_until, rng)
    assert decision is not None
    assert decision.endpoint is first


@pytest.mark.parametrize("policy", POLICIES)
def test_when_fewer_than_half_are_up_what_probes_say_is_ignored(policy: str) -> None:
    route, rng = route_of(5, policy=policy), random.Random(1)
    for endpoint in endpoints(route)[2:]:
        endpoint.state.healthy = False
    asked = Counter(choice.endpoint.replica for _ in range(500) if (choice := choose(route, OPERATION, 0.0, rng)))
    assert set("01234") == set(asked)
    endpoints(route)[2].state.healthy = True
    asked = Counter(choice.endpoint.replica for _ in range(500) if (choice := choose(route, OPERATION, 0.0, rng)))
    assert set("012") == set(asked)


def test_with_none_up_a_later_tier_comes_before_the_last_resort() -> None:
    route, rng = route_of(2, 1), random.Random(1)
    first, second, fallback = endpoints(route)
    first.state.healthy = second.state.healthy = False
    choice = choose(route, OPERATION, 0.0, rng)
    assert choice is not None
    assert (choice.endpoint, choice.reason) == (fallback, "only")
    fallback.state.draining = True
    choice = choose(route, OPERATION, 0.0, rng)
    assert choice is not None
    assert choice.endpoint in (first, second)
    assert choice.reason == "last_resort"
