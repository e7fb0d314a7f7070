"""An explanation says what the choice does: the same endpoint, by the same sum, and nothing changes by asking."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.choosing.explain import Considered, explain
from routing.choosing.pickers import POLICIES, TERMS
from routing.choosing.policy import choose, choose_with_room
from routing.facts import RequestFacts
from routing.fleet import ModelSpec, TargetSpec, build_fleet
from routing.lease import Lease, LeaseSeries
from routing.model import SLO, Endpoint
from routing.replicas.replica_table import ReplicaTable
from routing.route import ModelRoute
from routing.waiting.admission import AdmissionSettings
from tests.routing.choosing.test_costs import asks, text
from tests.routing.fleets import OPERATION, SPOKEN, endpoints, route_of, trip


def busy(route: ModelRoute, data: st.DataObject, now: float) -> None:
    """Load on each replica, and prompts in their caches."""
    for endpoint in route.endpoints():
        state = endpoint.state
        for _ in range(data.draw(st.integers(0, 3))):
            facts = asks(text(data.draw(st.sampled_from("abc")), data.draw(st.integers(0, 8000))))
            choose(route, facts, now, random.Random(0))  # which looks the prompt up, where the policy wants that
            Lease(state, facts, now, None, LeaseSeries())
            route.sent(facts, endpoint)
        for _ in range(data.draw(st.integers(0, 3))):
            state.prefill.learn(data.draw(st.integers(0, 5000)), data.draw(st.floats(1, 3000)), now)
        if data.draw(st.booleans()):
            state.failed(now)
        state.scarce_until_s = data.draw(st.sampled_from([0.0, now + 0.05, now + 5.0]))
        state.plain_until_s = data.draw(st.sampled_from([0.0, now + 0.05, now + 5.0]))
        if data.draw(st.booleans()):
            state.tell(data.draw(st.integers(0, 20)), data.draw(st.integers(0, 5)), 0.5, now)


@settings(deadline=None)
@given(data=st.data(), policy=st.sampled_from(sorted(TERMS)), seed=st.integers(0, 99), peers=st.integers(1, 3))
def test_the_terms_add_up_to_what_the_choice_compares(data: st.DataObject, policy: str, seed: int, peers: int) -> None:
    weights = data.draw(st.sampled_from([(1.0, 1.0, 1.0), (1.0, 2.0, 0.5)]))
    route = route_of(policy=policy, weights=weights, peers=peers)
    busy(route, data, 5.0)
    facts = asks(text(data.draw(st.sampled_from("abc")), data.draw(st.integers(0, 8000))))
    told = explain(route, facts, 5.2, random.Random(seed))
    chosen, room = choose_with_room(route, facts, 5.2, random.Random(seed))
    totals = {one.endpoint: one.cost.total_ms for one in told.candidates if one.cost is not None}
    assert chosen is not None
    assert told.chosen is chosen
    assert room is not told.waits
    able = [totals[one.endpoint] for one in told.candidates if told.waits or one.endpoint is chosen or not one.full]
    assert totals[chosen] == pytest.approx(min(able), abs=1e-6)


@settings(deadline=None)
@given(seed=st.integers(0, 99), policy=st.sampled_from(POLICIES), asked=st.integers(1, 5), peers=st.integers(1, 2))
def test_to_ask_changes_nothing(seed: int, policy: str, asked: int, peers: int) -> None:
    def picks(times_asked: int) -> list[str]:
        route, rng, chosen = route_of(4, 1, policy=policy, peers=peers), random.Random(seed), []
        for turn in range(12):
            facts = asks(text("abc"[turn % 3]))
            for _ in range(times_asked):
                explain(route, asks(text("b")), turn * 0.01, random.Random(1))
            endpoint = choose(route, facts, turn * 0.01, rng)
            assert endpoint is not None
            Lease(endpoint.state, facts, turn * 0.01, None, LeaseSeries())
            route.sent(facts, endpoint)
            chosen.append(f"{endpoint.engine}/{endpoint.replica}")
        return chosen

    assert picks(0) == picks(asked)


def by_replica(route: ModelRoute, now: float = 0.0) -> dict[str, Considered]:
    told = explain(route, RequestFacts(OPERATION, 100, 10), now, random.Random(0))
    return {one.endpoint.replica: one for one in told.candidates}


def test_it_says_of_each_replica_why_nothing_is_sent_there() -> None:
    route = route_of(5)
    well, sick, leaves, refuses, fails = endpoints(route)
    sick.state.healthy = False
    leaves.state.draining = True
    refuses.state.stand_aside(0.0)
    trip(fails.state.breaker, 0.0, random.Random(0))
    told = by_replica(route)
    states = ["ready", "unhealthy", "draining", "aside", "breaker_open"]
    assert [told[one.replica].state for one in (well, sick, leaves, refuses, fails)] == states


class NotTheFirst:
    def concerns(self, facts: RequestFacts) -> bool:
        return True

    def passes_over(self, endpoint: Endpoint, facts: RequestFacts, now: float) -> str:
        return "it is the first" if endpoint.replica == "0" else ""


def test_it_says_which_filter_keeps_the_request_away() -> None:
    import dataclasses

    route = dataclasses.replace(route_of(2), filters=(NotTheFirst(),))
    told = by_replica(route)
    assert (told["0"].passed_over, told["1"].passed_over) == ("it is the first", "")


def one_model(**spec: object) -> ModelRoute:
    targets = (TargetSpec("own", "up", ("0", "1"), SPOKEN, 0), TargetSpec("hosted", "up", ("0",), SPOKEN, 1))
    return build_fleet([ModelSpec("m", targets, **spec)], ReplicaTable()).models["m"]  # type: ignore[arg-type]


def test_a_tier_that_would_be_late_is_passed_over_and_it_says_so() -> None:
    route = one_model(policy=SLO, slo_ttft_ms=100.0)
    for endpoint in route.whole.pools[0]:
        endpoint.state.charge(50_000, 0)
    told = explain(route, RequestFacts(OPERATION, 100, 10), 0.0, random.Random(0))
    assert told.chosen is route.whole.pools[1][0]
    assert told.reason == "the one of least cost in tier 1, because the tier before it would miss the objective"
    late = [one.cost.lateness_ms for one in told.candidates if one.cost is not None]
    assert [ms > 0 for ms in late] == [True, True, False]
    route.whole.pools[1][0].state.charge(50_000, 0)
    told = explain(route, RequestFacts(OPERATION, 100, 10), 1.0, random.Random(0))
    assert told.chosen is not None
    assert (told.chosen.tier, "no other tier would be sooner" in told.reason) == (0, True)


def test_where_all_are_full_it_says_that_the_request_waits() -> None:
    route = one_model(admission=AdmissionSettings(in_flight=1))
    for endpoint in route.endpoints():
        endpoint.state.charge(10, 10)
    told = explain(route, RequestFacts(OPERATION, 100, 10), 0.0, random.Random(0))
    assert (told.waits, [one.full for one in told.candidates]) == (True, [True] * 3)
    assert told.reason.startswith("it waits in the gateway, behind 0; then every endpoint is known to be full")


def test_with_nobody_there_it_says_so() -> None:
    route = route_of(2)
    for endpoint in route.endpoints():
        endpoint.state.draining = True
    told = explain(route, RequestFacts(OPERATION, 100, 10), 0.0, random.Random(0))
    assert (told.chosen, told.reason) == (None, "nobody is available")
    assert explain(route, RequestFacts("/other", 1, 1), 0.0, random.Random(0)).candidates == ()
    route = route_of(2)
    for endpoint in route.endpoints():
        endpoint.state.healthy = False
    told = explain(route, RequestFacts(OPERATION, 100, 10), 0.0, random.Random(0))
    assert told.chosen is not None
    assert told.reason == "nobody is available, so what probes say is not believed"
