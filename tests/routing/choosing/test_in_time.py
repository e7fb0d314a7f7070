"""Requests that would miss the objective of their model wherever they went, and those that would not."""

from __future__ import annotations

import heapq
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.choosing.explain import explain
from routing.choosing.overflow import TRIED
from routing.choosing.policy import MARGIN, SPARE, choose, choose_with_room, foresee, in_time, is_full
from routing.facts import NO_NEEDS, Needs, RequestFacts
from routing.fleet import ModelSpec, TargetSpec, build_fleet
from routing.lease import Lease, LeaseSeries
from routing.model import Endpoint
from routing.replicas.replica_table import ReplicaTable
from routing.route import ModelRoute
from routing.waiting.admission import AdmissionSettings
from routing.waiting.first_token import FirstToken
from tests.routing.fleets import OPERATION, SPOKEN

SLO_MS = 500.0
OWN = TargetSpec("own", "up", ("0", "1"), SPOKEN, 0)
HOSTED = TargetSpec("hosted", "up", ("api",), SPOKEN, 1)


def refusing(*, learned: bool = True, refuse_late: bool = True) -> ModelRoute:
    """Own replicas and a hosted one, of 20 ms and 0.1 ms a token: 4,800 tokens are in time."""
    spec = ModelSpec("m", (OWN, HOSTED), "slo", slo_ttft_ms=SLO_MS, refuse_late=refuse_late)
    route = build_fleet([spec], ReplicaTable()).models["m"]
    if learned:
        for endpoint in route.endpoints():
            endpoint.state.prefill.learn(1000.0, 120.0, 0.0)
    return route


def comes_ms(endpoint: Endpoint, tokens: int) -> float:
    return endpoint.state.prefill.ttft_ms(endpoint.state.prefill_tokens + tokens)


def asked(route: ModelRoute, tokens: int, now: float = 0.0, priority: int = 0) -> tuple[Endpoint, FirstToken | None]:
    """Where a request of so many tokens should go, and what is foreseen of it there."""
    facts = RequestFacts(OPERATION, tokens, 10)
    facts.priority = priority
    endpoint = choose(route, facts, now, random.Random(1))
    assert endpoint is not None
    return in_time(route, endpoint, facts, now)


def is_refused(first: FirstToken | None) -> bool:
    return first is not None and first.over_s > 0.0


def busy(route: ModelRoute, *tokens: int) -> None:
    for endpoint, waiting in zip(route.endpoints(), tokens, strict=True):
        endpoint.state.prefill_tokens = waiting


@settings(deadline=None)
@given(tokens=st.integers(1, 4700), waiting=st.lists(st.integers(0, 9000), min_size=3, max_size=3))
def test_it_is_refused_where_all_are_late_and_not_where_one_has_time_to_spare(tokens: int, waiting: list[int]) -> None:
    route = refusing()
    busy(route, *waiting)
    soonest_ms = min(comes_ms(endpoint, tokens) for endpoint in route.endpoints())
    endpoint, first = asked(route, tokens)
    assert first is not None
    if soonest_ms > SLO_MS:
        assert is_refused(first)
    elif soonest_ms <= SPARE * SLO_MS:
        assert not is_refused(first)
    assert is_refused(first) is (comes_ms(endpoint, tokens) > SLO_MS)
    assert first.comes_s == pytest.approx(comes_ms(endpoint, tokens) / 1e3)


@settings(deadline=None)
@given(tokens=st.integers(1, 100_000), others=st.integers(0, 9000), at=st.integers(0, 2))
def test_an_idle_replica_refuses_nobody_however_long_the_prompt(tokens: int, others: int, at: int) -> None:
    route = refusing()
    busy(route, 9000, 9000, 9000)
    assert is_refused(asked(route, 100)[1])  # so it overflows
    busy(route, *[0 if place == at else others for place in range(3)])
    assert not is_refused(asked(route, tokens)[1])


@settings(deadline=None)
@given(tokens=st.integers(1, 100_000), waiting=st.integers(0, 100_000))
def test_without_the_setting_or_for_batch_work_or_where_nothing_was_learned_nobody_is(
    tokens: int, waiting: int
) -> None:
    for route, priority in ((refusing(refuse_late=False), 0), (refusing(), -1), (refusing(learned=False), 0)):
        busy(route, waiting, waiting, waiting)
        assert asked(route, tokens, priority=priority)[1] is None


@pytest.mark.parametrize(("other_tokens", "goes"), [(0, True), (1200, True), (1400, False)])
def test_where_it_costs_least_and_would_be_late_it_goes_to_one_that_has_time_to_spare(
    other_tokens: int, goes: bool
) -> None:
    """What it costs others to compute a hot prompt again may be worth some lateness, and is not worth a refusal."""
    route = refusing()
    facts = RequestFacts(OPERATION, 1000, 10)
    busy(route, 5000, other_tokens, 9000)
    late, other, _ = route.endpoints()
    endpoint, first = in_time(route, late, facts, 0.0)
    assert endpoint is (other if goes else late)
    assert is_refused(first) is not goes


def test_while_others_are_late_what_is_foreseen_is_believed_as_far_as_it_was_right() -> None:
    route = refusing()
    own = route.whole.pools[0]
    for endpoint in own:
        for off_ms in (-50.0, 50.0) * 20:
            endpoint.state.prefill.learn(1000.0, 120.0 + off_ms, 0.0)
    busy(route, 4500, 4500, 9000)
    assert not is_refused(asked(route, 100)[1])  # 480 ms
    busy(route, 9000, 9000, 9000)
    assert is_refused(asked(route, 100)[1])
    busy(route, 4500, 4500, 9000)
    _, first = asked(route, 100)
    assert first is not None
    assert first.margin_s == pytest.approx(0.050 * MARGIN, rel=0.05)
    assert is_refused(first)
    busy(route, 3500, 3500, 9000)
    assert not is_refused(asked(route, 100)[1])


def test_a_full_replica_is_not_asked_because_it_would_be_sooner() -> None:
    spec = ModelSpec("m", (OWN,), "slo", slo_ttft_ms=SLO_MS, refuse_late=True, admission=AdmissionSettings(in_flight=1))
    route = build_fleet([spec], ReplicaTable()).models["m"]
    full, late = route.endpoints()
    for endpoint in (full, late):
        endpoint.state.prefill.learn(1000.0, 120.0, 0.0)
    full.state.charge(10, 10)
    late.state.prefill_tokens = 9000
    endpoint, first = in_time(route, late, RequestFacts(OPERATION, 100, 10), 0.0)
    assert endpoint is late
    assert is_refused(first)


def test_a_prompt_that_is_too_long_for_any_engine_is_refused_only_while_others_are_late() -> None:
    route = refusing()
    busy(route, 100, 100, 100)
    assert not is_refused(asked(route, 8000)[1])  # 830 ms, of which 10 are for others
    busy(route, 9000, 9000, 9000)
    assert is_refused(asked(route, 100, now=1.0)[1])
    busy(route, 100, 100, 100)
    _, first = asked(route, 8000, now=2.9)
    assert first is not None
    assert first.over_s == pytest.approx(0.010)  # it may come again once nothing is before it
    assert not is_refused(asked(route, 8000, now=3.1)[1])


def test_of_what_a_request_may_take_its_wait_in_line_is_gone() -> None:
    route = refusing()
    endpoint = next(route.endpoints())
    endpoint.state.prefill_tokens = 1000
    facts = RequestFacts(OPERATION, 1000, 10)
    choose(route, facts, 0.0, random.Random(1))
    busy(route, 1000, 1000, 1000)
    refused = [is_refused(in_time(route, endpoint, facts, 0.0, waited_s=waited_s)[1]) for waited_s in (0.27, 0.29)]
    assert refused == [False, True]


class Prompt:
    """Of 63 whole blocks."""

    def prefix(self) -> list[int]:
        return list(range(1, 64))

    def session(self) -> str:
        return ""

    def needs(self) -> Needs:
        return NO_NEEDS


def test_one_that_is_idle_is_asked_though_who_holds_the_prompt_would_be_sooner() -> None:
    """It would be late there by the margin alone, and the idle one is as soon as it can be."""
    route = refusing()
    for endpoint in route.whole.pools[0]:
        for off_ms in (-100.0, 100.0) * 20:
            endpoint.state.prefill.learn(1000.0, 120.0 + off_ms, 0.0)
    busy(route, 9000, 9000, 9000)
    assert is_refused(asked(route, 100)[1])  # so it overflows
    holder, idle, _ = route.endpoints()
    facts = RequestFacts(OPERATION, 4500, 10, Prompt())
    route.sent(facts, holder)
    busy(route, 4100, 0, 9000)
    assert route.prefixes is not None
    facts.matched(route.prefixes)
    picker = route.whole.pickers[0]
    assert picker.ttft_ms(holder, facts, 0.0) < picker.ttft_ms(idle, facts, 0.0) < SLO_MS
    assert is_refused(foresee(route, holder, facts, 0.0, room=False)[1])
    endpoint, first = in_time(route, holder, facts, 0.0)
    assert endpoint is idle
    assert not is_refused(first)


@settings(deadline=None, max_examples=300)
@given(seed=st.integers(0, 10**6))
def test_whatever_is_known_nobody_is_refused_while_one_that_may_be_asked_is_idle(seed: int) -> None:
    rng, now = random.Random(seed), 1000.0
    admission = AdmissionSettings(in_flight=rng.choice([0, 3]))
    spec = ModelSpec("m", (OWN, HOSTED), "slo", slo_ttft_ms=SLO_MS, refuse_late=True, admission=admission)
    route = build_fleet([spec], ReplicaTable()).models["m"]
    facts = RequestFacts(OPERATION, rng.choice([1, 100, 3000, 30_000]), 10, Prompt())
    for endpoint in route.endpoints():
        state = endpoint.state
        for _ in range(rng.randint(0, 30)):
            state.prefill.learn(rng.uniform(0.0, 5000.0), rng.uniform(1.0, 3000.0), now)
        if rng.random() < 0.7:
            state.charge(rng.randint(1, 20_000), 10)
        if rng.random() < 0.3:
            state.tell(rng.randint(0, 5), rng.randint(0, 5), rng.random(), now, 2.0)
        if rng.random() < 0.3:
            route.sent(facts, endpoint)
        state.healthy = rng.random() < 0.85
    chosen = choose(route, facts, now, rng)
    assert chosen is not None
    found, room = choose_with_room(route, facts, now, rng, chosen)
    first = in_time(route, found or chosen, facts, now, room)[1]
    if room and is_refused(first):
        states = [one.state for one in route.endpoints() if not is_full(one, facts, route, now)]
        assert not [state for state in states if state.available(now) and not state.all_ahead_tokens(now)]


def test_of_many_that_would_be_refused_one_is_sent_to_see_whether_it_is_late() -> None:
    route = refusing()
    busy(route, 9000, 9000, 9000)
    told = [is_refused(asked(route, 100)[1]) for _ in range(3 * TRIED)]
    assert told == ([True] * (TRIED - 1) + [False]) * 3


@settings(deadline=None)
@given(tokens=st.integers(1, 4700), off_ms=st.floats(0.0, 1e5))
def test_however_little_is_foreseen_half_of_what_is_left_is_for_what_comes_before(tokens: int, off_ms: float) -> None:
    route = refusing()
    for endpoint in route.endpoints():
        for sign in (-1.0, 1.0) * 20:
            endpoint.state.prefill.learn(1000.0, max(0.0, 120.0 + sign * off_ms), 0.0)
    busy(route, 90_000_000, 90_000_000, 90_000_000)
    asked(route, 100)  # so it overflows, if anything can
    endpoint = next(route.endpoints())
    busy(route, 0, 0, 0)
    first = foresee(route, endpoint, RequestFacts(OPERATION, tokens, 10), 0.0)[1]
    if first is not None and first.alone_s < first.due_s:
        assert first.latest_s >= (first.alone_s + first.due_s) / 2 - 1e-9


class Together:
    """A replica that computes however many prompts together, in about 270 ms."""

    def __init__(self, seed: int) -> None:
        spec = ModelSpec(
            "m", (TargetSpec("api", "up", ("0",), SPOKEN, 0),), "slo", slo_ttft_ms=SLO_MS, refuse_late=True
        )
        self.route = build_fleet([spec], ReplicaTable()).models["m"]
        self.rng = random.Random(seed)
        self.ends: list[tuple[float, int, Lease]] = []
        self.sent = 0

    def asked(self, now: float, streams: bool = True) -> bool:
        """Whether one more was refused."""
        while self.ends and self.ends[0][0] <= now:
            ends_s, _, lease = heapq.heappop(self.ends)
            lease.works(ends_s, self.rng)
            lease.first_byte()
            lease.release(ends_s)
        facts = RequestFacts(OPERATION, 2000, 10)
        facts.streams = streams
        endpoint = choose(self.route, facts, now, self.rng)
        assert endpoint is not None
        endpoint, first = in_time(self.route, endpoint, facts, now)
        if is_refused(first):
            return True
        self.sent += 1
        lease = Lease(endpoint.state, facts, now, None, LeaseSeries())
        ends_s = now + max(30.0, self.rng.gauss(270.0, 150.0)) * 1e-3
        heapq.heappush(self.ends, (ends_s, self.sent, lease))
        return False


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_who_was_only_ever_asked_alone_is_not_taken_to_be_slow_for_ever(seed: int) -> None:
    """All prompts are alike, so that the line of what the first ones took says nothing of a queue."""
    engine = Together(seed)
    assert not any(engine.asked(float(second)) for second in range(60))
    refused = [engine.asked(60.0 + at / 150.0) for at in range(150 * 120)]
    assert sum(refused[: 150 * 2]) > 20
    assert sum(refused[-150 * 20 :]) == 0


def test_plain_answers_alone_tell_that_a_replica_is_not_slow_any_more() -> None:
    engine = Together(1)
    prefill = next(engine.route.endpoints()).state.prefill
    for tokens in (1000.0, 3000.0) * 30:
        prefill.learn(tokens, 20.0 + 0.24 * tokens, 0.0)
    told = [engine.asked(1.0 + at / 20.0, streams=False) for at in range(20 * 240)]
    assert sum(told[:400]) > 100
    assert sum(told[-400:]) == 0


def test_an_explanation_says_that_it_would_be_refused_and_why() -> None:
    route = refusing()
    busy(route, 9000, 7000, 9000)
    told = explain(route, RequestFacts(OPERATION, 100, 10), 0.0, random.Random(1))
    assert (told.refused, told.waits) == (True, False)
    assert told.reason == "its first token would come in 730 ms, and is due in 500 ms"
    busy(route, 9000, 0, 9000)
    told = explain(route, RequestFacts(OPERATION, 100, 10), 5.0, random.Random(1))
    assert (told.refused, told.reason) == (False, "the one of least cost in tier 0")


@pytest.mark.parametrize(
    "changes",
    [{"policy": "prefix"}, {"slo_ttft_ms": None}, {"admission": AdmissionSettings(enabled=False)}],
)
def test_a_route_without_what_it_rests_on_is_not_built(changes: dict[str, object]) -> None:
    spec: dict[str, object] = {"policy": "slo", "slo_ttft_ms": SLO_MS, "refuse_late": True, **changes}
    with pytest.raises(ValueError, match="model 'm': only policy slo, with an objective and admission, refuses"):
        build_fleet([ModelSpec("m", (OWN,), **spec)], ReplicaTable())  # type: ignore[arg-type]


def test_where_all_are_full_those_that_are_late_still_say_that_it_overflows() -> None:
    """Nobody was picked then for being in time."""
    route = refusing()
    busy(route, 9000, 9000, 9000)
    endpoint, picker = next(route.endpoints()), route.whole.pickers[0]
    facts = RequestFacts(OPERATION, 100, 10)
    assert is_refused(foresee(route, endpoint, facts, 0.0, room=False)[1])
    assert not picker.overflows(0.0)  # to ask changes nothing
    assert is_refused(in_time(route, endpoint, facts, 0.0, room=False)[1])
    assert picker.overflows(0.0)
