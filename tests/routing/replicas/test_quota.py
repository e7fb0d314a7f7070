"""A provider's limits as load, and as a reason to stand aside."""

from __future__ import annotations

import random

import pytest

from routing.failing import retry
from routing.failing.outcome import Outcome
from routing.fleet import ModelSpec, TargetSpec, build_fleet
from routing.replicas import quota
from routing.replicas.replica import MOST_ASIDE_S
from routing.replicas.replica_table import ReplicaTable
from routing.route import ModelRoute
from tests.routing.fleets import FACTS, SPOKEN, endpoints, route_of


def picks(route: ModelRoute, now: float, times: int = 20) -> set[str]:
    rng = random.Random(1)
    picker = route.speakers[FACTS.operation].pickers[0]
    return {chosen.replica for _ in range(times) if (chosen := picker.pick(FACTS, now, rng)) is not None}


@pytest.mark.parametrize("policy", ["least_load", "latency"])
def test_one_whose_limits_are_nearly_used_up_is_passed_over_before_it_refuses(policy: str) -> None:
    route = route_of(2, policy=policy)
    first, second = endpoints(route)
    assert picks(route, 0.0) == {"0", "1"}
    quota.told(first.state, 0.05, 60.0, 0.0)
    assert picks(route, 0.0) == {"1"}
    assert picks(route, 60.0) == {"0", "1"}
    quota.told(second.state, 0.0, 60.0, 0.0)
    assert picks(route, 1.0) == {"0"}


def test_one_that_does_not_say_until_when_stands_aside_for_longer_each_time() -> None:
    state = endpoints(route_of(1))[0].state
    now, told = 100.0, []
    for _ in range(7):
        quota.refused_unsaid(state, now)
        quota.refused_unsaid(state, now + 0.1)  # another that was on its way
        told.append(state.limited_until_s - now)
        now = state.limited_until_s + 0.5
    assert told == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    quota.refused_unsaid(state, now + 100.0)
    assert state.limited_until_s == now + 102.0


def test_what_is_left_decides_how_long_it_counts() -> None:
    state = endpoints(route_of(1))[0].state
    told = []
    for left in (1.0, 0.25, 0.2, 0.125, 0.0):
        quota.told(state, left, 60.0, 100.0)
        told.append(round(state.scarce_until_s - 100.0 if state.scarce_until_s else 0.0, 6))
    assert told == [0.0, 0.0, 12.0, 30.0, 60.0]


def test_one_that_refused_a_request_is_passed_over_until_it_said() -> None:
    route = route_of(2)
    first, _ = endpoints(route)
    quota.refused(first.state, 20.0, 0.0)
    assert picks(route, 19.9) == {"1"}
    assert first.state.available(0.0) is True  # where nobody else is left, a request may wait for it
    assert picks(route, 20.0) == {"0", "1"}


def test_a_key_that_is_used_up_stands_aside_for_as_long_as_it_asked() -> None:
    route = route_of(2, policy="round_robin")
    first, _ = endpoints(route)
    quota.used_up(first.state, 30.0, 0.0)
    assert picks(route, 29.9) == {"1"}
    first.state.stand_in()  # a request that was on its way before is answered
    assert picks(route, 29.9) == {"1"}
    assert picks(route, 30.0) == {"0", "1"}
    quota.used_up(first.state, 86_400.0, 100.0)
    assert first.state.aside_until_s == 100.0 + MOST_ASIDE_S


def test_standing_aside_for_another_reason_does_not_shorten_it() -> None:
    state = endpoints(route_of(1))[0].state
    quota.used_up(state, 300.0, 0.0)
    assert state.stand_aside(0.0) is True
    assert state.aside_until_s == 300.0
    state.eject(0.0, 10.0, 60.0)
    assert state.aside_until_s == 300.0


@pytest.mark.parametrize(("keyed", "next_is"), [(frozenset({"a"}), retry.Wait), (frozenset(), retry.GiveUp)])
def test_a_key_that_is_refused_says_nothing_of_another(keyed: frozenset[str], next_is: type) -> None:
    target = TargetSpec("a", "up", ("key1", "key2"), SPOKEN, 0)
    route = build_fleet([ModelSpec("m", (target,), keyed=keyed)], ReplicaTable()).models["m"]
    state = retry.RetryState(route, FACTS)
    first, second = endpoints(route)
    failure = retry.FailedAttempt(first, Outcome.CREDENTIALS_REFUSED)
    verdict = retry.next(state, failure, 0.0, random.Random(1))
    assert isinstance(verdict, next_is)
    if keyed:
        assert state.choose(0.0, random.Random(1)) is second
        last = retry.next(state, retry.FailedAttempt(second, Outcome.CREDENTIALS_REFUSED), 0.0, random.Random(1))
        assert last == retry.GiveUp("not_retryable")


def test_a_request_that_is_forbidden_does_not_walk_through_the_keys() -> None:
    targets = (TargetSpec("a", "up", ("key1", "key2"), SPOKEN, 0), TargetSpec("b", "up", ("0",), SPOKEN, 0))
    route = build_fleet([ModelSpec("m", targets, keyed=frozenset({"a"}))], ReplicaTable()).models["m"]
    state = retry.RetryState(route, FACTS)
    first, _, other = endpoints(route)
    rng = random.Random(1)
    assert isinstance(retry.next(state, retry.FailedAttempt(first, Outcome.FORBIDDEN), 0.0, rng), retry.Wait)
    assert state.choose(0.0, rng) is other
    last = retry.next(state, retry.FailedAttempt(other, Outcome.FORBIDDEN), 0.0, rng)
    assert last == retry.GiveUp("not_retryable")
