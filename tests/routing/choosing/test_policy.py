from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.choosing.pickers import POLICIES
from routing.choosing.policy import choose
from routing.model import Endpoint
from routing.route import ModelRoute
from tests.routing.fleets import FACTS, endpoints, route_of, trip


@settings(deadline=None)
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
        chosen = choose(route, FACTS, 0.0, rng, tried)
        if not usable:
            if last:
                assert chosen in last
                assert chosen.tier == min(e.tier for e in last)
            else:
                assert chosen is None
            continue
        assert chosen is not None
        assert chosen.tier == min(e.tier for e in (fresh or usable))
        assert chosen in (fresh or usable)


@settings(deadline=None)
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
    chosen = choose(route, FACTS, 0.0, random.Random(seed))
    assert chosen is not None
    assert min(totals) == totals[route.whole.pools[0].index(chosen)]


def test_equal_tokens_go_to_the_replica_with_fewer_requests() -> None:
    route, rng = route_of(2), random.Random(0)
    a, b = route.whole.pools[0]
    a.state.in_flight_requests = 1
    assert {choose(route, FACTS, 0.0, rng) for _ in range(50)} == {b}


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


def route_picks(route: ModelRoute, times: int, rng: random.Random) -> list[Endpoint]:
    picks = []
    for _ in range(times):
        chosen = choose(route, FACTS, 0.0, rng)
        assert chosen is not None
        picks.append(chosen)
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


@pytest.mark.parametrize("policy", ["round_robin", "weighted"])
def test_turns_by_weight_interleave(policy: str) -> None:
    route, rng = route_of(policy=policy, weights=(3.0, 1.0)), random.Random(0)
    assert [e.engine for e in route_picks(route, 8, rng)] == ["w0", "w0", "w1", "w0"] * 2


def test_a_lower_tier_serves_only_while_the_first_cannot() -> None:
    route, rng = route_of(1, 1), random.Random(0)
    first, second = endpoints(route)
    trip(first.state.breaker, 0.0, rng)
    assert [e.engine for e in route_picks(route, 2, rng)] == ["t1", "t1"]
    assert second.state.available(0.0)
    chosen = choose(route, FACTS, first.state.breaker.open_until, rng)
    assert chosen is first


@pytest.mark.parametrize("policy", POLICIES)
def test_when_fewer_than_half_are_up_what_probes_say_is_ignored(policy: str) -> None:
    route, rng = route_of(5, policy=policy), random.Random(1)
    for endpoint in endpoints(route)[2:]:
        endpoint.state.healthy = False
    assert set("01234") == {e.replica for e in route_picks(route, 500, rng)}
    endpoints(route)[2].state.healthy = True
    assert set("012") == {e.replica for e in route_picks(route, 500, rng)}


def test_with_none_up_a_later_tier_comes_before_the_last_resort() -> None:
    route, rng = route_of(2, 1), random.Random(1)
    first, second, fallback = endpoints(route)
    first.state.healthy = second.state.healthy = False
    assert choose(route, FACTS, 0.0, rng) is fallback
    fallback.state.draining = True
    assert choose(route, FACTS, 0.0, rng) in (first, second)
