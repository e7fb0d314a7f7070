"""The laws of homes: the same for everybody, bounded, and worth nothing over a replica that holds the prompt anyway."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.choosing.explain import explain
from routing.choosing.homes import AFFINITY, BOUND, KEPT, KEPT_CROWDED, SESSION_PREFILLS, Homes
from routing.choosing.policy import choose
from routing.facts import RequestFacts
from routing.model import Endpoint
from routing.prefix.chain import chain
from routing.replicas.replica import MOST_FAILED_S
from routing.route import ModelRoute
from tests.routing.choosing.test_costs import KEY, Session, asks, text
from tests.routing.fleets import endpoints, route_of

TOKENS = 3000
PROMPT = text("p", 4 * TOKENS)
NAMES = [f"prompt {number} " for number in range(300)]


def homes_of(pool: list[Endpoint], choosers: int = 2, load_ms: float = 0.0, crowding: float = 0.0) -> Homes:
    homes = Homes(pool, session=False)
    homes.look(choosers, 0.1, load_ms, crowding)
    return homes


@given(st.randoms(use_true_random=False), st.floats(0.0, 1e6), st.integers(2, 64))
def test_a_home_is_the_same_whoever_asks_in_whatever_order_and_whatever_load(
    rng: random.Random, load_ms: float, choosers: int
) -> None:
    pool = list(endpoints(route_of(7, policy="prefix")))
    shuffled = list(endpoints(route_of(7, policy="prefix")))
    rng.shuffle(shuffled)
    ours, theirs = homes_of(pool), homes_of(shuffled, choosers, load_ms, rng.random())
    for name in NAMES[:20]:
        facts = asks(text(name))
        at, other = ours.of(facts, 0.0)[0], theirs.of(facts, 0.0)[0]
        assert pool[at].replica == shuffled[other].replica


def test_who_comes_takes_about_its_share_of_homes_and_no_other_moves() -> None:
    pool = list(endpoints(route_of(8, policy="prefix")))
    before, after = homes_of(pool[:7]), homes_of(pool)
    moved = Counter[str]()
    for name in NAMES:
        facts = asks(text(name))
        was, now = before.of(facts, 0.0)[0], after.of(facts, 0.0)[0]
        if was != now:
            moved[pool[now].replica] += 1
    assert set(moved) == {pool[7].replica}
    assert moved.total() < 2 * len(NAMES) / 8


@given(st.integers(2, 1000), st.floats(0.0, 1e7), st.floats(0.0, 1.0), st.integers(0, 5000))
def test_what_a_home_is_worth_is_bounded_by_prefills_or_by_the_mean_load(
    choosers: int, load_ms: float, crowding: float, tokens: int
) -> None:
    homes = homes_of(list(endpoints(route_of(4, policy="prefix"))), choosers, load_ms, crowding)
    facts = RequestFacts("op", tokens, 1, asks(PROMPT)._source)
    at, worth_ms = homes.of(facts, 0.0)
    assert at >= 0
    share = 1.0 - 1.0 / choosers
    most = max(AFFINITY * tokens * 0.1, BOUND * load_ms) * share
    assert 0.0 <= worth_ms <= most * (1 + 1e-9)
    if tokens:
        assert worth_ms == pytest.approx(most)
    assert KEPT_CROWDED <= homes.kept <= KEPT


def test_a_conversation_is_worth_its_prefills_whatever_the_load() -> None:
    homes = Homes(endpoints(route_of(4, policy="session")), session=True)
    homes.look(4, 0.1, 1e6, 1.0)
    at, worth_ms = homes.of(RequestFacts("op", 1000, 1, Session("s")), 0.0)
    assert at >= 0
    assert worth_ms == pytest.approx(SESSION_PREFILLS * 100.0)
    assert homes.kept == 0.0
    assert homes.of(RequestFacts("op", 1000, 1, Session("")), 0.0) == (-1, 0.0)


def with_home(peers: int = 2, replicas: int = 4) -> tuple[ModelRoute, Endpoint, Endpoint]:
    """A route, the home of the prompt and another replica that holds it."""
    route = route_of(replicas, policy="prefix", peers=peers)
    facts = asks(PROMPT)
    home = choose(route, facts, 0.0, random.Random(1))
    assert home is not None
    other = next(one for one in endpoints(route) if one is not home)
    assert route.prefixes is not None
    route.prefixes.add(chain(PROMPT, KEY), other.state.slot)
    return route, home, other


def test_a_home_with_a_queue_is_left_for_who_holds_the_prompt_long_before_it_is_left_for_who_does_not() -> None:
    route, home, other = with_home()
    assert route.prefixes is not None
    route.prefixes.add(chain(PROMPT, KEY), home.state.slot)
    home.state.prefill_tokens = TOKENS
    assert choose(route, asks(PROMPT), 1.0, random.Random(1)) is other
    other.state.prefill_tokens = TOKENS  # and not for the two that are idle
    assert choose(route, asks(PROMPT), 2.0, random.Random(1)) in {home, other}


def test_a_holder_that_fails_is_worth_nothing() -> None:
    route, home, other = with_home()
    home.state.prefill_tokens = 2 * TOKENS
    assert choose(route, asks(PROMPT), 1.0, random.Random(1)) is other
    for _ in range(5):
        other.state.failed(2.0)
    assert choose(route, asks(PROMPT), 2.0, random.Random(1)) is home
    assert choose(route, asks(PROMPT), 3.0 + MOST_FAILED_S, random.Random(1)) is other


@pytest.mark.parametrize(("waits", "stays"), [(5, False), (3, True)])
def test_a_home_may_have_so_many_prefills_more_than_who_is_idle(waits: int, stays: bool) -> None:
    """Of two gateways: half of `AFFINITY`."""
    route = route_of(16, policy="prefix", peers=2)
    home = choose(route, asks(PROMPT), 0.0, random.Random(1))
    assert home is not None
    home.state.prefill_tokens = waits * TOKENS
    assert (choose(route, asks(PROMPT), 1.0, random.Random(1)) is home) is stays


def test_where_all_have_long_queues_a_home_may_have_twice_the_mean() -> None:
    def stays(mean: int) -> bool:
        route = route_of(16, policy="prefix", peers=2)
        home = choose(route, asks(PROMPT), 0.0, random.Random(1))
        assert home is not None
        for one in endpoints(route):
            one.state.prefill_tokens = mean * TOKENS
        home.state.prefill_tokens = (mean + 15) * TOKENS
        return choose(route, asks(PROMPT), 1.0, random.Random(1)) is home

    assert not stays(3)
    assert stays(30)


def test_what_is_said_of_a_choice_is_what_was_compared() -> None:
    route, home, other = with_home()
    told = explain(route, asks(PROMPT), 1.0, random.Random(1))
    costs = {one.endpoint: one.cost for one in told.candidates if one.cost is not None}
    assert costs[home].affinity_ms < 0.0
    assert costs[other].affinity_ms < 0.0
    idle = [one for one in costs if one not in {home, other}]
    assert {costs[one].affinity_ms for one in idle} == {0.0}
    assert min(costs, key=lambda one: costs[one].total_ms) is told.chosen


def test_alone_nothing_is_at_home_and_who_holds_a_prompt_is_worth_no_more() -> None:
    route, _, _ = with_home(peers=1)
    told = explain(route, asks(PROMPT), 1.0, random.Random(1))
    assert {one.cost.affinity_ms for one in told.candidates if one.cost is not None} == {0.0}
