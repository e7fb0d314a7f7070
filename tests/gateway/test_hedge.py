"""A stream whose first byte is late is asked for once more, and whatever comes of it, nothing is left over."""

from __future__ import annotations

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from engines.errors import ConnectFailed, ConnectionLost, EngineError
from engines.model import Operation
from gateway import clock
from gateway.accounts.prices import Rates, Row, Table, Tables
from gateway.fleet.snapshot import Upstream, Upstreams
from routing.failing.hedging import HedgingSettings
from routing.model import Endpoint
from routing.route import RetrySettings
from tests.gateway.flights import JSON, Bench, FakeExchange, StepClock
from tests.gateway.relayed import DONE, ERROR, FINISH, USAGE, answer, chunk

AFTER = HedgingSettings(after_ms=500.0)


def bench_of(now: StepClock, replicas: int = 2, **more: object) -> Bench:
    return Bench(now, replicas, hedging=AFTER, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(("winner", "result"), [(0, "lost"), (1, "won")])
def test_the_first_of_two_to_answer_wins_and_the_other_engine_is_freed(
    now: StepClock, winner: int, result: str
) -> None:
    bench = bench_of(now)
    _, client = bench.begin()
    bench.loop.fire()
    first, second = bench.calls
    assert (now.now_s, first.replica, second.replica, first.body) == (1000.5, "0", "1", second.body)
    now.now_s += 0.25
    call, other = bench.calls[winner], bench.calls[1 - winner]
    call.head()
    call.read(chunk())
    assert (other.aborted, bench.outstanding()["t0 series"]) == (True, 1)
    call.done(FINISH, USAGE, DONE)
    assert (bench.ledger.hedges, bench.outstanding(), bench.loop.waiting) == ([result], {}, [])
    assert (client.headers["x-penstock-replica"], client.headers["x-penstock-attempts"]) == (str(winner), "2")
    assert bench.ledger.records[0].attempts == 2


def test_both_attempts_are_paid_for(now: StepClock) -> None:
    bench = bench_of(now)
    bench.begin()
    bench.loop.fire()
    now.now_s += 0.5
    bench.calls[1].head()
    bench.calls[1].read(chunk())
    now.now_s += 1.0
    bench.calls[1].done(FINISH, DONE)
    # The meter counts a US dollar a second: the first for 1 s until it was abandoned, the second for 1.5 s.
    assert bench.ledger.records[0].cost_usd == pytest.approx(2.5)


def test_of_a_provider_the_prompt_of_the_loser_is_taken_to_be_billed(now: StepClock) -> None:
    rates = Rates(Tables(Table((), (Row(10**12, 0, 0, 10**13, 0, 0),)), {}), "configured")
    bench = bench_of(now, rates=rates)
    flight, _ = bench.begin()
    bench.loop.fire()
    bench.calls[1].head()
    bench.calls[1].done(chunk(), FINISH, USAGE, DONE)
    record = bench.ledger.records[0]
    assert (record.input_tokens, record.output_tokens) == (11, 7)
    gpu_usd = 0.5  # of the half second that the first one ran
    assert record.cost_usd == pytest.approx(11 + 7 * 10.0 + flight.facts.prompt_tokens + gpu_usd)
    assert record.tries is not None
    assert [(one.outcome, one.input_tokens, one.usage_source) for one in record.tries] == [
        ("abandoned", flight.facts.prompt_tokens, "estimated"),
        ("answered", 11, "reported"),
    ]


def test_a_stream_that_begins_in_time_is_asked_for_once(now: StepClock) -> None:
    bench = bench_of(now)
    bench.begin()
    assert len(bench.loop.waiting) == 1
    bench.calls[0].head()
    bench.calls[0].read(chunk())
    assert (bench.loop.waiting, bench.ledger.hedges) == ([], [])
    bench.calls[0].done(FINISH, DONE)
    assert (len(bench.calls), bench.outstanding()) == (1, {})


def test_an_answer_that_is_no_stream_is_never_hedged_for_its_first_byte_is_its_last(now: StepClock) -> None:
    bench = bench_of(now)
    bench.begin(stream=False)
    assert bench.loop.waiting == []
    bench.calls[0].answer(200, answer())


def test_a_response_is_never_hedged_for_an_engine_may_store_it_or_do_it_in_the_background(now: StepClock) -> None:
    bench = bench_of(now)
    flight, _ = bench.begin(Operation.RESPONSES, input="hello")
    assert (len(bench.calls), bench.loop.waiting) == (1, [])
    flight.client_gone()


def test_the_delay_is_learned_of_streams_and_none_is_hedged_before(now: StepClock) -> None:
    bench = Bench(now, 2, hedging=HedgingSettings())
    for _ in range(31):
        bench.forget()
        bench.begin()
        assert bench.loop.waiting == []
        now.now_s += 0.1
        bench.calls[0].head()
        bench.calls[0].done(chunk(), FINISH, DONE)
    at_s = now.now_s
    bench.begin()
    (timer,) = bench.loop.waiting
    assert 0.1 <= timer.due_s - at_s <= 0.11
    assert bench.ledger.hedges == []
    bench.ledger.settled.clear()


def test_where_there_is_no_other_replica_and_no_budget_the_reason_is_counted(now: StepClock) -> None:
    alone = bench_of(now, 1)
    alone.begin()
    alone.loop.fire()
    assert (len(alone.calls), alone.ledger.hedges) == (1, ["no_replica"])
    poor = bench_of(now, retry=RetrySettings(budget_floor_per_s=0.0, budget_per_request=0.0, budget_cap=1.0))
    poor.begin()
    poor.loop.fire()
    assert (len(poor.calls), poor.ledger.hedges) == (1, ["budget"])


def test_one_that_waits_for_its_retry_is_not_hedged_and_one_that_was_retried_is(now: StepClock) -> None:
    bench = bench_of(now, 3)
    bench.begin()
    bench.calls[0].failed(ConnectFailed("refused"))  # the second is asked at once
    bench.loop.fire()
    assert [call.replica for call in bench.calls] == ["0", "1", "2"]
    bench.calls[2].head()
    bench.calls[2].done(chunk(), FINISH, DONE)
    assert (bench.ledger.hedges, bench.outstanding()) == (["won"], {})


def test_a_hedge_that_fails_leaves_the_first_attempt_alone_and_is_told_when_both_have(now: StepClock) -> None:
    bench = bench_of(now, retry=RetrySettings(max_attempts=1))
    bench.engines[0].refusals = []
    _, client = bench.begin()
    bench.loop.fire()
    bench.calls[1].failed(ConnectFailed("refused"))
    assert (client.state, len(bench.calls)) == ("waiting", 2)
    bench.calls[0].failed(ConnectionLost("closed"))
    assert (client.status, bench.ledger.hedges, bench.outstanding()) == (502, ["neither"], {})


@pytest.mark.parametrize("refuser", [0, 1])
def test_one_that_refuses_the_request_itself_is_the_answer_and_the_other_engine_is_freed(
    now: StepClock, refuser: int
) -> None:
    bench = bench_of(now)
    _, client = bench.begin()
    bench.loop.fire()
    bench.calls[refuser].answer(400, b'{"error": {"message": "too long", "type": "invalid_request_error"}}', JSON)
    assert (client.status, client.error["message"]) == (400, "too long")
    assert client.headers["x-penstock-replica"] == str(refuser)
    assert bench.calls[1 - refuser].aborted
    assert (bench.ledger.hedges, bench.outstanding(), bench.loop.waiting) == (["neither"], {}, [])


def test_a_hedge_that_cannot_be_written_for_its_engine_is_none_and_the_first_may_answer(now: StepClock) -> None:
    bench = bench_of(now)
    flight, client = bench.begin()
    prompt = flight._prompt
    assert prompt is not None
    prompt.body = b"["  # in its place: one whose text leaves in doubt how to rewrite it
    bench.engines[0].continuous_usage = True  # so the second one wants it written anew
    bench.loop.fire()
    (call,) = bench.calls
    assert (client.state, call.aborted) == ("waiting", False)
    call.head()
    call.done(chunk(), FINISH, DONE)
    assert (client.status, bench.ledger.hedges, bench.ledger.records[0].attempts) == (200, [], 1)
    assert (bench.outstanding(), bench.loop.waiting) == ({}, [])


@pytest.mark.parametrize("sent", [False, True])
def test_a_mistake_with_a_hedge_frees_the_first_engine_too(now: StepClock, sent: bool) -> None:
    bench = bench_of(now)
    _, client = bench.begin()
    if sent:
        bench.engines[0].mistakes = [KeyError("odd")]
    else:
        known = bench.serving.upstreams

        def odd(endpoint: Endpoint) -> Upstream:
            if endpoint.replica == "1":
                raise KeyError("odd")
            return known[endpoint]

        bench.serving.upstreams = Upstreams(odd)
    bench.loop.fire()
    (call,) = bench.calls
    assert (client.status, client.error["code"], call.aborted) == (500, "internal_error", True)
    assert (len(bench.ledger.settled), bench.outstanding(), bench.loop.waiting) == (1, {}, [])


def test_a_client_that_leaves_frees_both_engines(now: StepClock) -> None:
    bench = bench_of(now)
    flight, _ = bench.begin()
    bench.loop.fire()
    flight.client_gone()
    assert [call.aborted for call in bench.calls] == [True, True]
    assert (bench.ledger.hedges, bench.outstanding(), bench.loop.waiting) == (["neither"], {}, [])


def test_an_error_in_the_winners_first_event_is_retried_although_the_loser_is_gone(now: StepClock) -> None:
    bench = bench_of(now, 3)
    _, client = bench.begin()
    bench.loop.fire()
    bench.calls[1].head()
    bench.calls[1].read(ERROR)
    assert [call.replica for call in bench.calls] == ["0", "1", "2"]
    bench.calls[2].head()
    bench.calls[2].done(chunk(), FINISH, DONE)
    assert (client.status, bench.outstanding()) == (200, {})


def test_a_replica_that_is_always_outrun_is_known_to_be_slow(now: StepClock) -> None:
    bench = bench_of(now)
    slow, quick = bench.table
    for _ in range(30):
        now.now_s += 1.0
        bench.forget()
        bench.begin()
        if bench.calls[0].replica == "0":
            bench.loop.fire()
        now.now_s += 0.02
        bench.calls[-1].head()
        bench.calls[-1].done(chunk(), FINISH, DONE)
    assert slow.prefill.base_ms > 400 > 100 > quick.prefill.base_ms


# -- every order of events -------------------------------------------------------------------------------------------

BEFORE: tuple[EngineError, ...] = (ConnectFailed("refused"), ConnectionLost("closed"))


class Races(RuleBasedStateMachine):
    """Two or three engines, a client and a clock that do anything in any order, hedging on."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = StepClock()
        self.real = clock.SOURCES.monotonic
        clock.SOURCES.monotonic = self.clock
        self.gone = False

    @initialize(
        replicas=st.integers(1, 3),
        refusals=st.lists(st.sampled_from(BEFORE), max_size=2),
        late=st.booleans(),
    )
    def begin(self, replicas: int, refusals: list[EngineError], late: bool) -> None:
        """`late`: the first engine is, so that there are two from the start; else few examples ever see a hedge."""
        self.bench = Bench(self.clock, replicas, 1, hedging=AFTER)
        self.bench.engines[0].refusals = refusals
        self.flight, self.client = self.bench.begin()
        self.headed: set[int] = set()
        if late and self.bench.loop.waiting:
            self.bench.loop.fire()

    @property
    def open(self) -> list[FakeExchange]:
        return [call for call in self.bench.calls if call.open]

    def one(self, pick: random.Random) -> FakeExchange:
        return pick.choice(self.open)

    def ready(self, call: FakeExchange) -> FakeExchange:
        if id(call) not in self.headed:
            self.headed.add(id(call))
            call.head()
        return call

    @precondition(lambda self: self.open)
    @rule(pick=st.randoms(use_true_random=False), data=st.sampled_from([chunk(), b": ping\n\n", FINISH, ERROR]))
    def read(self, pick: random.Random, data: bytes) -> None:
        self.ready(self.one(pick)).read(data)

    @precondition(lambda self: self.open)
    @rule(pick=st.randoms(use_true_random=False), data=st.lists(st.sampled_from([chunk(), FINISH, DONE]), max_size=3))
    def done(self, pick: random.Random, data: list[bytes]) -> None:
        self.ready(self.one(pick)).done(*data)

    @precondition(lambda self: self.open)
    @rule(pick=st.randoms(use_true_random=False), which=st.sampled_from(BEFORE))
    def failed(self, pick: random.Random, which: EngineError) -> None:
        self.one(pick).failed(which)

    @precondition(lambda self: any(id(call) not in self.headed for call in self.open))
    @rule(pick=st.randoms(use_true_random=False), status=st.sampled_from([400, 422, 503]))
    def refused(self, pick: random.Random, status: int) -> None:
        pick.choice([call for call in self.open if id(call) not in self.headed]).answer(status, b"{}", JSON)

    @precondition(lambda self: len(self.open) == 2 and not any(id(call) in self.headed for call in self.open))
    @rule(at=st.integers(0, 1), status=st.sampled_from([400, 422]))
    def one_of_two_refuses_the_request_itself(self, at: int, status: int) -> None:
        self.open[at].answer(status, b"{}", JSON)

    @precondition(lambda self: self.bench.loop.waiting)
    @rule()
    def timer(self) -> None:
        self.bench.loop.fire()

    @rule(seconds=st.sampled_from([0.1, 1.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now_s += seconds

    @precondition(lambda self: not self.gone and self.client.state in ("waiting", "streaming"))
    @rule()
    def client_leaves(self) -> None:
        self.gone = True
        self.flight.client_gone()

    @invariant()
    def two_at_most_and_one_that_answers(self) -> None:
        assert len(self.open) <= 2
        assert len({call.replica for call in self.open}) == len(self.open)
        if self.client.state == "streaming":
            assert len(self.open) <= 1

    @invariant()
    def everything_comes_back(self) -> None:
        running = {call.replica for call in self.bench.engines[0].calls if call.open}
        for state in self.bench.table:
            here = state.key[0] == "t0" and state.key[1] in running
            here = here or (state.key[0] == "t1" and any(call.open for call in self.bench.engines[1].calls))
            assert state.in_flight_requests == int(here)
        if self.flight.settled:
            assert (self.bench.outstanding(), self.open, self.bench.loop.waiting) == ({}, [], [])
            assert len(self.bench.ledger.records) == 1
            assert self.gone or self.client.state == "answered"

    def teardown(self) -> None:
        while not self.flight.settled:
            if self.open:
                self.open[0].failed(BEFORE[1])
            else:
                self.timer()
        self.everything_comes_back()
        sent = [result for result in self.bench.ledger.hedges if result in ("won", "lost", "neither")]
        assert len(sent) <= 1
        clock.SOURCES.monotonic = self.real


def test_any_mix_of_hedges_failures_and_cancellations_leaves_nothing_in_flight() -> None:
    run_state_machine_as_test(Races, settings=settings(deadline=None, stateful_step_count=12))
