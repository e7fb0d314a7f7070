"""A request that only one endpoint can answer goes there or nowhere."""

from __future__ import annotations

import random

import pytest

from routing.choosing.pickers import POLICIES
from routing.choosing.pinned import pinned
from routing.choosing.policy import choose, in_time, is_full
from routing.failing.outcome import Outcome
from routing.failing.retry import FailedAttempt, GiveUp, RetryState, next
from routing.fleet import ModelSpec, TargetSpec, build_fleet
from routing.replicas.replica_table import ReplicaTable
from routing.waiting.admission import AdmissionSettings
from tests.routing.fleets import FACTS, OPERATION, SPOKEN, endpoints, route_of


@pytest.mark.parametrize("policy", POLICIES)
def test_it_is_the_only_choice_in_whatever_tier_it_is(policy: str) -> None:
    route, rng = route_of(3, 3, policy=policy), random.Random(0)
    for endpoint in endpoints(route):
        assert {choose(pinned(route, endpoint, OPERATION), FACTS, 0.0, rng) for _ in range(5)} == {endpoint}


def test_one_that_is_down_is_asked_all_the_same_and_one_that_drains_is_not() -> None:
    route, rng = route_of(3), random.Random(0)
    held = endpoints(route)[1]
    held.state.healthy = False
    assert choose(pinned(route, held, OPERATION), FACTS, 0.0, rng) is held
    held.state.draining = True
    assert choose(pinned(route, held, OPERATION), FACTS, 0.0, rng) is None


def test_after_a_failure_nobody_else_is_asked() -> None:
    route, rng = route_of(2, 2), random.Random(0)
    held = endpoints(route)[2]
    state = RetryState(pinned(route, held, OPERATION), FACTS)
    verdict = next(state, FailedAttempt(held, Outcome.CONNECT_FAILED), 0.0, rng)
    if not isinstance(verdict, GiveUp):
        assert state.choose(1.0, rng) is held


def test_it_stands_in_no_line_and_shares_the_budget() -> None:
    targets = (TargetSpec("e", "up", ("0", "1"), SPOKEN),)
    spec = ModelSpec("m", targets, admission=AdmissionSettings(in_flight=1))
    route = build_fleet([spec], ReplicaTable()).models["m"]
    held = endpoints(route)[0]
    held.state.charge(10, 10)
    narrow = pinned(route, held, OPERATION)
    assert is_full(held, FACTS, route, 0.0)
    assert not is_full(held, FACTS, narrow, 0.0)
    assert narrow.budget is route.budget
    assert narrow.tokens is route.tokens
    assert set(narrow.speakers) == {OPERATION}


def test_it_is_sent_there_though_others_would_be_refused_for_being_late() -> None:
    target = TargetSpec("e", "up", ("0", "1"), SPOKEN)
    spec = ModelSpec("m", (target,), "slo", slo_ttft_ms=500.0, refuse_late=True)
    route = build_fleet([spec], ReplicaTable()).models["m"]
    held = endpoints(route)[0]
    held.state.prefill.learn(1000.0, 120.0, 0.0)
    held.state.prefill_tokens = 100_000
    assert in_time(pinned(route, held, OPERATION), held, FACTS, 0.0) == (held, None)
