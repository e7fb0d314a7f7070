"""When a second attempt is due, and where it may go."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.facts import RequestFacts
from routing.failing.hedging import LEAST_SAMPLES, Hedging, HedgingSettings, Withheld, second
from routing.fleet import ModelSpec, TargetSpec, build_fleet, build_route
from routing.model import Endpoint
from routing.replicas.replica_table import ReplicaTable
from routing.route import ModelRoute, RetrySettings
from routing.waiting.admission import AdmissionSettings
from routing.waiting.turns import Ticket
from tests.routing.fleets import FACTS, OPERATION, SPOKEN, endpoints, route_of, trip

RNG = random.Random(5)


def test_a_delay_that_is_set_holds_from_the_start() -> None:
    assert Hedging(HedgingSettings(250.0)).delay_s(100, 0.0) == 0.25


def test_a_learned_delay_is_the_p95_of_prompts_of_that_size_once_enough_are_known() -> None:
    hedging, rng = Hedging(HedgingSettings()), random.Random(2)
    for made in range(int(LEAST_SAMPLES) + 1):
        assert hedging.delay_s(1000, made * 0.01) is None
        hedging.learn(1000, rng.uniform(0.04, 0.06), made * 0.01)
    for _ in range(200):
        hedging.learn(100_000, rng.uniform(4.0, 6.0), 0.3)
    short_s, long_s = hedging.delay_s(900, 0.3), hedging.delay_s(90_000, 0.3)
    assert short_s is not None
    assert long_s is not None
    assert 0.055 < short_s < 0.067
    assert 5.5 < long_s < 6.7
    assert hedging.delay_s(30, 0.3) is None
    assert hedging.delay_s(1000, 3600.0) is None  # an hour later nothing of it is worth anything


def test_hedges_do_not_shorten_the_delay_that_makes_them() -> None:
    """Of a heavy tail, hedged for an hour: the delay stays the p95 of one attempt."""
    hedging, rng = Hedging(HedgingSettings()), random.Random(3)
    sent = hedged = 0
    for step in range(40_000):
        now = step * 0.1
        first_s = rng.lognormvariate(-3.0, 0.8)
        delay_s = hedging.delay_s(500, now)
        if delay_s is not None:
            sent += 1
            if first_s > delay_s:
                hedged += 1
                first_s = min(first_s, delay_s + rng.lognormvariate(-3.0, 0.8))
        hedging.learn(500, first_s, now)
    assert 0.03 < hedged / sent < 0.06


@pytest.mark.parametrize("policy", ["least_load", "round_robin", "random", "prefix", "latency", "session"])
def test_the_second_goes_to_another_replica_of_the_tier_and_to_no_other_tier(policy: str) -> None:
    route = route_of(3, 1, policy=policy)
    first, *others = route.speakers[OPERATION].pools[0]
    for _ in range(20):
        assert second(route, FACTS, [first], 0.0, RNG) in others
        for _ in range(5):  # requests that each bring a fifth of a token
            route.budget.deposit()
    alone = route_of(1, 1, policy=policy)
    assert second(alone, FACTS, [endpoints(alone)[0]], 0.0, RNG) is Withheld.NO_REPLICA


def test_the_same_replica_under_another_name_is_no_other_replica() -> None:
    targets = tuple(TargetSpec("a", name, ("0",), SPOKEN) for name in ("one", "two"))
    route = build_fleet([ModelSpec("m", targets)], ReplicaTable()).models["m"]
    assert second(route, FACTS, [endpoints(route)[0]], 0.0, RNG) is Withheld.NO_REPLICA


def test_none_goes_to_a_replica_that_is_full_or_whose_breaker_is_open() -> None:
    route = route_of(2)
    first, other = endpoints(route)
    route.line.settings = AdmissionSettings(in_flight=1)
    other.state.charge(10, 10)
    assert second(route, FACTS, [first], 0.0, RNG) is Withheld.NO_REPLICA
    route = route_of(2)
    first, other = endpoints(route)
    trip(other.state.breaker, 0.0, RNG)
    assert second(route, FACTS, [first], 0.0, RNG) is Withheld.NO_REPLICA


def test_none_is_sent_while_requests_wait_for_room() -> None:
    route = route_of(2)
    assert isinstance(route.line.offer(FACTS, None, 0.0, False), Ticket)
    assert second(route, FACTS, [endpoints(route)[0]], 0.0, RNG) is Withheld.WAITING


@settings(deadline=None)
@given(requests=st.integers(0, 60), asked=st.integers(1, 60))
def test_hedges_and_retries_draw_on_one_budget(requests: int, asked: int) -> None:
    route = route_of(3, retry=RetrySettings(budget_floor_per_s=0.0, budget_cap=10.0, budget_per_request=0.25))
    for _ in range(requests):
        route.budget.deposit()
    first = endpoints(route)[0]
    sent = sum(isinstance(second(route, FACTS, [first], 0.0, RNG), Endpoint) for _ in range(asked))
    assert sent == min(asked, int(min(10.0, 0.25 * requests)))


def test_what_is_learned_outlives_a_change_of_the_model() -> None:
    def route(after_ms: float | None, replicas: int, old: ModelRoute | None) -> ModelRoute:
        spec = ModelSpec(
            "m",
            (TargetSpec("a", "up", tuple(map(str, range(replicas))), SPOKEN),),
            admission=AdmissionSettings(),
            hedging=HedgingSettings(after_ms),
        )
        return build_route(spec, table, old)

    table = ReplicaTable()
    before = route(None, 1, None)
    assert before.hedging is not None
    for _ in range(40):
        before.hedging.learn(100, 0.1, 0.0)
    after = route(None, 2, before)
    assert after.hedging is not None
    assert after.hedging.delay_s(100, 0.0) == before.hedging.delay_s(100, 0.0) is not None
    assert build_route(ModelSpec("m", (TargetSpec("a", "up", ("0",), SPOKEN),)), table, after).hedging is None


def test_facts_of_a_prompt_without_a_token_have_a_size_too() -> None:
    hedging = Hedging(HedgingSettings())
    for _ in range(40):
        hedging.learn(RequestFacts(OPERATION, 0, 1).prompt_tokens, 0.1, 0.0)
    assert hedging.delay_s(0, 0.0) is not None
