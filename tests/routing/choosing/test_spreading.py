"""How many replicas a prompt that many ask for comes to."""

from __future__ import annotations

import random

import pytest

from gateway.virtual.fleet.modelled import ModelledFleet
from gateway.virtual.fleet.replicas import H100, fleet_of
from gateway.virtual.policies.figures import figures_of
from gateway.virtual.policies.named import policy_named
from gateway.virtual.trace import calls_of
from gateway.virtual.workloads import shared_prompts
from routing.choosing.costs import LOAD_MS, LOAD_ROOMY_MS, LeastCost
from routing.choosing.policy import choose
from routing.choosing.terms import LEAST_SHARE
from routing.route import ModelRoute
from tests.routing.choosing.test_costs import asks, text
from tests.routing.fleets import route_of


def load_ms(route: ModelRoute, now: float) -> float:
    """What two requests in flight on the first replica weigh."""
    picker = route.whole.pickers[0]
    assert isinstance(picker, LeastCost)
    cost = picker.opinion(asks(text("hot")), now, random.Random(1)).costs[0]
    assert cost is not None
    return cost.load_ms


def others_ms(route: ModelRoute, prompt: bytes) -> list[float]:
    """What computing it takes from others, on each replica."""
    picker = route.whole.pickers[0]
    assert isinstance(picker, LeastCost)
    return [cost.others_ms for cost in picker.opinion(asks(prompt), 0.0, random.Random(1)).costs]


def test_a_request_in_flight_weighs_more_where_caches_are_found_to_be_roomy() -> None:
    route = route_of(4, policy="prefix")
    first, index = route.whole.pools[0][0], route.prefixes
    first.state.charge(0, 32)
    first.state.charge(0, 32)
    assert index is not None
    for endpoint in route.whole.pools[0]:
        index.limit(endpoint.state.slot, 200)  # four prompts of 46 blocks
        route.sent(asks(text("old")), endpoint)
        route.sent(asks(text("hot")), endpoint)
    assert load_ms(route, 0.0) == pytest.approx(2 * LOAD_MS)  # nothing was found yet, so nobody knows
    for _ in range(1000):  # until what it is taken for at first has faded
        for endpoint in route.whole.pools[0]:
            route.sent(asks(text("hot")), endpoint)
    assert load_ms(route, 1.0) == pytest.approx(2 * LOAD_ROOMY_MS, rel=0.05)


def test_while_caches_are_nearly_empty_a_request_in_flight_weighs_what_it_does_where_they_are_roomy() -> None:
    route = route_of(4, policy="prefix")
    route.whole.pools[0][0].state.charge(0, 32)
    route.whole.pools[0][0].state.charge(0, 32)
    assert load_ms(route, 0.0) == pytest.approx(2 * LOAD_ROOMY_MS)


def test_what_is_computed_twice_costs_others_less_the_fewer_go_there_and_what_nobody_holds_does_not() -> None:
    route = route_of(4, policy="prefix")
    pool = route.whole.pools[0]
    route.sent(asks(text("hot")), pool[0])
    for endpoint, requests in zip(pool, (7, 4, 1, 0), strict=True):
        for _ in range(requests):
            endpoint.state.charge(0, 32)
    whole_ms = 0.1 * 3000
    hot, new = others_ms(route, text("hot")), others_ms(route, text("new"))
    assert hot[0] < 0.03 * whole_ms  # but for its last block
    assert hot[1:] == pytest.approx(
        [whole_ms, whole_ms / 3, LEAST_SHARE * whole_ms], abs=0.03 * whole_ms
    )  # of 3 in flight in the mean
    assert new == pytest.approx([whole_ms] * 4)


def test_a_hot_prompt_comes_to_a_replica_that_is_new_before_those_that_others_use() -> None:
    route, rng = route_of(3, policy="prefix"), random.Random(1)
    home, used, new = route.whole.pools[0]
    route.sent(asks(text("hot")), home)
    for _ in range(4):
        home.state.charge(0, 32)
        used.state.charge(0, 32)
    home.state.prefill_tokens = int(1.5 * 3000)
    assert choose(route, asks(text("hot")), 0.0, rng) is new
    new.state.healthy = False
    assert choose(route, asks(text("hot")), 1.0, rng) is home
    home.state.prefill_tokens = int(2.5 * 3000)
    assert choose(route, asks(text("hot")), 2.0, rng) is used


@pytest.mark.parametrize("policy", ["session", "latency"])
def test_where_nobody_knows_the_caches_a_request_in_flight_weighs_what_it_did(policy: str) -> None:
    route = route_of(4, policy=policy)
    first = route.whole.pools[0][0]
    first.state.charge(0, 32)
    first.state.charge(0, 32)
    for _ in range(8):
        route.sent(asks(text("hot")), first)
    assert load_ms(route, 1.0) == pytest.approx(2 * LOAD_MS)


def test_with_idle_replicas_a_hot_prompt_does_not_queue_at_those_that_hold_it() -> None:
    """Half of what 32 replicas could do: hits wait for other hits less than half of what a prompt takes to compute."""
    fleet = fleet_of((H100,), 32)
    calls = calls_of(shared_prompts(1, 1168.0, 5.0))
    figures = figures_of(ModelledFleet(fleet, policy_named("prefix"), 1).play(calls), fleet, 0.5)
    assert figures.ttft_p99_s < 0.5 * 3000 / H100.prefill_tokens_per_s
    assert figures.hit_ratio > 0.93
