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
from routing.replicas.replica import FAILED_S
from routing.replicas.reported import PLACES_LAST_S
from routing.route import ModelRoute
from routing.waiting.admission import Admission, AdmissionSettings
from tests.routing.choosing.test_costs import Session, asks, text
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
    took_one(holder)
    return route, holder


def took_one(endpoint: Endpoint) -> None:
    Lease(endpoint.state, RequestFacts("/v1/chat/completions", 100, 10), NOW, None, LeaseSeries()).first_byte()


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


def test_the_home_that_others_send_a_prompt_to_is_waited_for_though_nobody_told_us_that_it_holds_it() -> None:
    route = route_of(3, policy="prefix", peers=4)
    picker = route.asked("/v1/chat/completions").pickers[0]
    for endpoint in endpoints(route):
        endpoint.state.prefill.learn(3000, 200.0, NOW)
    home, _ = asked(route)
    assert home is not None
    assert picker.home(asks(PROMPT), NOW) is home
    took_one(home)
    home.state.tell(1, 1, 0.1, NOW)
    assert asked(route) == (home, True)
    others = [prompt for letter in "bcdefgh" if picker.home(asks(prompt := text(letter, 12_000)), NOW) is not home]
    assert others
    assert home not in [asked(route, prompt)[0] for prompt in others]


@pytest.mark.parametrize("policy", ["least_load", "latency"])
def test_a_policy_that_does_not_look_into_caches_spares_the_full(policy: str) -> None:
    route, holder = held_by_one(policy)
    holder.state.tell(1, 1, 0.1, NOW)
    assert asked(route)[0] is not holder


def test_of_tiers_the_next_one_is_asked_where_all_of_this_one_are_full() -> None:
    route = route_of(1, 1, policy="prefix")
    own, hosted = endpoints(route)
    asked(route)
    route.sent(asks(PROMPT), own)
    took_one(own)
    assert (own, True) == asked(route)
    own.state.tell(1, 1, 0.1, NOW)
    assert (hosted, True) == asked(route)


def test_where_more_wait_than_run_for_a_kv_cache_without_room_they_wait_for_others_to_end() -> None:
    route, holder = held_by_one()
    holder.state.tell(9, 0, 0.1, NOW)  # the most that it ran: now its KV cache has no room for as many
    for running, waiting, usage, waited_for in ((2, 2, 0.95, True), (2, 3, 0.95, False), (2, 3, 0.5, True)):
        holder.state.tell(running, waiting, usage, NOW)
        assert (asked(route)[0] is holder) is waited_for
    for waiting, waited_for in ((2, True), (3, False)):
        holder.state.tell(None, waiting, 0.95, NOW)  # with an answer vLLM does not tell how many run
        assert (asked(route)[0] is holder) is waited_for


def test_one_that_has_not_told_yet_how_many_run_is_waited_for_unless_its_kv_cache_has_no_room() -> None:
    route, holder = held_by_one()
    for usage, waited_for in ((0.1, True), (0.95, False)):
        holder.state.tell(None, 1, usage, NOW)
        assert (asked(route)[0] is holder) is waited_for


def test_one_that_came_back_with_fewer_places_is_known_by_those_after_a_minute() -> None:
    route, holder = held_by_one()
    holder.state.tell(9, 0, 0.1, NOW - PLACES_LAST_S - 1)
    for reports in range(3):
        holder.state.tell(1, 1, 0.1, NOW)
        assert (asked(route)[0] is holder) is (reports < 2)


@pytest.mark.parametrize(("seconds_ago", "waited_for"), [(0.1, False), (FAILED_S + 0.1, True)])
def test_who_has_refused_or_failed_something_is_not_waited_for(seconds_ago: float, waited_for: bool) -> None:
    route, holder = held_by_one()
    large = text("a", 400_000)  # to compute it takes longer than a failure weighs
    route.sent(asks(large), holder)
    holder.state.failed(NOW - seconds_ago)
    assert asked(route, large)[0] is holder  # it is the cheapest all the same
    holder.state.tell(1, 1, 0.1, NOW)
    assert (asked(route, large)[0] is holder) is waited_for


def in_session(name: str) -> RequestFacts:
    return RequestFacts("/v1/chat/completions", 3000, 32, Session(name))


def test_a_conversation_is_waited_for_where_it_lives_and_nowhere_else() -> None:
    route = route_of(3, policy="session")
    pool = endpoints(route)
    facts = in_session("s")
    home, _ = choose_with_room(route, facts, NOW, random.Random(1))
    assert home is not None
    away, idle = [one for one in pool if one is not home]
    for one in (home, away):
        took_one(one)
        one.state.tell(1, 1, 0.1, NOW)
    assert choose_with_room(route, facts, NOW, random.Random(1)) == (home, True)
    assert choose_with_room(route, asks(PROMPT), NOW, random.Random(1)) == (idle, True)  # of no conversation
    for _ in range(3):
        home.state.tell(1, 1, 0.1, NOW)  # it has no more places
    Lease(idle.state, asks(text("c", 50_000)), NOW, None, LeaseSeries())  # so that the full one is cheaper
    assert choose_with_room(route, facts, NOW, random.Random(1)) == (idle, True)
    told = explain(route, facts, NOW, random.Random(1))
    assert (told.chosen, told.waits) == (idle, False)


def test_the_queue_at_who_holds_a_hot_prompt_is_bounded_by_what_it_costs_elsewhere() -> None:
    route, holder = held_by_one()
    sent = 0
    while asked(route)[0] is holder:
        holder.state.tell(1, sent, 0.1, NOW)  # one runs, of ever more
        holder.state.tell(2, sent, 0.1, NOW)
        Lease(holder.state, asks(PROMPT), NOW, None, LeaseSeries())
        sent += 1
    assert 0 < sent < 20
