"""What an endpoint cannot do is decided before anything is picked, and said."""

from __future__ import annotations

import dataclasses
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.choosing.filters import passed_over
from routing.choosing.pickers import POLICIES
from routing.choosing.policy import choose
from routing.facts import NO_NEEDS, Needs, RequestFacts
from routing.failing import retry
from routing.failing.outcome import Outcome
from routing.failing.retry import FailedAttempt, GiveUp, RetryState
from routing.model import CHEAPEST, PREFIX, SESSION, SLO, Endpoint
from tests.routing.fleets import FACTS, OPERATION, endpoints, route_of


class Only:
    """Lets the named replicas be asked."""

    def __init__(self, reason: str, *replicas: tuple[str, str]) -> None:
        self.reason = reason
        self.replicas = replicas

    def concerns(self, facts: RequestFacts) -> bool:
        return True

    def passes_over(self, endpoint: Endpoint, facts: RequestFacts, now: float) -> str:
        return "" if endpoint.state.key in self.replicas else self.reason


class Sees:
    """An engine that knows no images is no place for one."""

    def concerns(self, facts: RequestFacts) -> bool:
        return True

    def passes_over(self, endpoint: Endpoint, facts: RequestFacts, now: float) -> str:
        return "it reads no images" if facts.needs.images and endpoint.engine == "t0" else ""


@settings(deadline=None)
@given(data=st.data(), policy=st.sampled_from(POLICIES), seed=st.integers(0, 99))
def test_what_a_filter_passes_over_is_never_chosen_and_all_else_may_be(
    data: st.DataObject, policy: str, seed: int
) -> None:
    bare = route_of(3, 2, policy=policy)
    everyone = endpoints(bare)
    allowed = data.draw(st.lists(st.sampled_from(everyone), unique=True))
    tried = data.draw(st.lists(st.sampled_from(everyone), unique=True))
    route = dataclasses.replace(bare, filters=(Only("no", *[e.state.key for e in allowed]),))
    rng = random.Random(seed)
    picks: set[Endpoint | None] = {choose(route, FACTS, 0.0, rng, tried) for _ in range(60)}
    fresh = [e for e in allowed if e not in tried]
    best = min((e.tier for e in fresh or allowed), default=0)
    expected: set[Endpoint | None] = {e for e in (fresh or allowed) if e.tier == best}
    assert picks == (expected or {None})


def test_the_first_filter_that_objects_says_why() -> None:
    first, second = Only("busy", ("t0", "0")), Only("old", ("t0", "1"))
    route = dataclasses.replace(route_of(3), filters=(first, second))
    assert {e.replica: reason for e, reason in passed_over(route, FACTS, 0.0).items()} == {
        "0": "old",
        "1": "busy",
        "2": "busy",
    }


def test_a_route_without_filters_passes_nothing_over() -> None:
    assert passed_over(route_of(3), FACTS, 0.0) == {}


def test_a_retry_asks_no_endpoint_that_a_filter_passes_over() -> None:
    route = dataclasses.replace(route_of(2, 1), filters=(Only("no", ("t0", "0")),))
    rng = random.Random(1)
    state = RetryState(route, FACTS)
    failed = FailedAttempt(route.whole.pools[0][0], Outcome.FIRST_BYTE_TIMEOUT)
    assert retry.next(state, failed, 0.0, rng) == GiveUp("not_retryable")
    assert state.choose(0.0, rng) is None


def test_what_a_request_needs_decides_its_tier() -> None:
    route = dataclasses.replace(route_of(1, 1), filters=(Sees(),))
    chosen = choose(route, RequestFacts(OPERATION, 1, 1, Prompt(Needs(images=True))), 0.0, random.Random(1))
    assert chosen is not None
    assert chosen.engine == "t1"
    assert passed_over(route, FACTS, 0.0) == {}


# -- facts -----------------------------------------------------------------------------------------------------------


class Prompt:
    """A source that counts what it is asked."""

    def __init__(self, needs: Needs = NO_NEEDS) -> None:
        self.asked: list[str] = []
        self._needs = needs

    def prefix(self) -> tuple[int, ...]:
        self.asked.append("prefix")
        return (1, 2)

    def session(self) -> str:
        self.asked.append("session")
        return "s"

    def needs(self) -> Needs:
        self.asked.append("needs")
        return self._needs


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_asks_for_what_costs_only_where_it_wants_it(policy: str) -> None:
    source = Prompt()
    choose(route_of(3, policy=policy), RequestFacts(OPERATION, 1, 1, source), 0.0, random.Random(1))
    assert source.asked == (
        ["prefix"] if policy in (PREFIX, CHEAPEST, SLO) else ["session"] if policy == SESSION else []
    )


def test_a_late_fact_is_asked_once_and_stays_known_without_the_prompt_unless_it_is_as_large() -> None:
    source = Prompt(Needs(tools=True))
    facts = RequestFacts(OPERATION, 1, 1, source)
    for _ in range(2):
        assert (facts.prefix, facts.session, facts.needs) == ((1, 2), "s", Needs(tools=True))
    facts.let_go()
    assert (facts.prefix, facts.session) == ((), "s")  # keys are as long as the prompt
    assert source.asked == ["prefix", "session", "needs"]
