"""Who holds a prompt and is full for a moment is waited for; who has no more places, or no more room, is not."""

from __future__ import annotations

import dataclasses
import random

import pytest

from routing.choosing.explain import explain
from routing.choosing.policy import choose_with_room
from routing.facts import RequestFacts
from routing.lease import Lease, LeaseSeries
from routing.model import Endpoint
from routing.route import ModelRoute
from routing.waiting.admission import Admission, AdmissionSettings
from tests.routing.choosing.test_costs import asks, text
from tests.routing.fleets import endpoints, route_of

PROMPT = text("a", 12_000)
NOW = 5.0


def held_by_one(policy: str = "prefix", in_flight: int = 0) -> tuple[ModelRoute, Endpoint]:
    """Three replicas, one of which was sent the prompt and has just begun with another request."""
    route = route_of(3, policy=policy)
    if in_flight:
        route = dataclasses.replace(route, line=Admission(AdmissionSettings(in_flight=in_flight)))
    holder = endpoints(route)[1]
    for endpoint in endpoints(route):
        endpoint.state.prefill.learn(3000, 200.0, NOW)
    asked(route)
    if route.notes:
        route.sent(asks(PROMPT), holder)
    lease = Lease(holder.state, RequestFacts("/v1/chat/completions", 100, 10), NOW, None, LeaseSeries())
    lease.first_byte()
    return route, holder


def asked(route: ModelRoute, prompt: bytes = PROMPT, priority: int = 0) -> tuple[Endpoint | None, bool]:
    facts = asks(prompt)
    facts.priority = priority
    found = choose_with_room(route, facts, NOW, random.Random(1))
    told = explain(route, facts, NOW, random.Random(1))
    assert told.chosen is found[0]
    assert told.waits is not found[1]
    return found


def test_who_has_others_to_prefill_is_still_asked_for_what_it_holds() -> None:
    route, holder = held_by_one()
    holder.state.tell(1, 1, 0.1, NOW)
    assert (holder, True) == asked(route)
    facts = asks(PROMPT)
    assert "holds the prompt" in explain(route, facts, NOW, random.Random(1)).reason


def test_a_prompt_that_it_does_not_hold_goes_elsewhere() -> None:
    route, holder = held_by_one()
    holder.state.tell(1, 1, 0.1, NOW)
    chosen, room = asked(route, text("b", 12_000))
    assert room
    assert chosen is not holder


def test_a_queue_that_takes_longer_than_the_prompt_is_not_waited_for() -> None:
    route, holder = held_by_one()
    holder.state.tell(1, 1, 0.1, NOW)
    for _ in range(10):
        Lease(holder.state, asks(text("c", 12_000)), NOW, None, LeaseSeries())
    chosen, room = asked(route)
    assert room
    assert chosen is not holder


def test_a_prompt_that_it_holds_needs_little_of_a_kv_cache_without_room() -> None:
    route, holder = held_by_one()
    holder.state.tell(1, 0, 0.95, NOW)
    assert (holder, True) == asked(route)
    assert asked(route, text("b", 12_000))[0] is not holder


def test_half_a_prompt_that_it_does_not_hold_is_too_much() -> None:
    route, holder = held_by_one()
    holder.state.tell(1, 1, 0.1, NOW)
    assert (holder, True) == asked(route, text("a", 20_000))
    assert asked(route, text("a", 30_000))[0] is not holder


def test_one_that_runs_as_many_as_ever_while_others_wait_has_no_more_places() -> None:
    route, holder = held_by_one()
    for reports in range(3):
        assert asked(route)[0] is holder, reports
        holder.state.tell(4, 2, 0.1, NOW)
    assert asked(route)[0] is not holder
    holder.state.tell(3, 2, 0.1, NOW)
    assert asked(route)[0] is holder


def test_the_configured_limit_is_a_limit() -> None:
    route, holder = held_by_one(in_flight=1)
    holder.state.tell(1, 1, 0.1, NOW)
    assert asked(route)[0] is not holder


def test_work_for_idle_time_waits_behind_nobody() -> None:
    route, holder = held_by_one()
    holder.state.tell(1, 1, 0.1, NOW)
    assert asked(route, priority=-1)[0] is not holder


def test_where_all_are_full_requests_wait_here() -> None:
    route, _ = held_by_one()
    for endpoint in endpoints(route):
        if endpoint.state.in_flight_requests == 0:
            Lease(endpoint.state, RequestFacts("/v1/chat/completions", 100, 10), NOW, None, LeaseSeries())
        endpoint.state.tell(1, 1, 0.1, NOW)
    assert not asked(route)[1]


@pytest.mark.parametrize("policy", ["least_load", "latency"])
def test_a_policy_that_does_not_look_into_caches_spares_the_full(policy: str) -> None:
    route, holder = held_by_one(policy)
    holder.state.tell(1, 1, 0.1, NOW)
    assert asked(route)[0] is not holder
