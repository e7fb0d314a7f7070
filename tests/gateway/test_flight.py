"""The life of one request: whatever an engine and a client do, it is answered once and its account is closed once."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from engines.errors import (
    AnswerTruncated,
    BadAnswer,
    ClientStalled,
    ConnectFailed,
    ConnectionLost,
    EngineError,
    FirstByteTimeout,
    IdleTimeout,
    TotalTimeout,
)
from engines.model import Deadlines, Operation
from engines.port import Headers
from gateway import clock
from gateway.body.envelope import MOST_MEMBERS
from gateway.errors import TABLE
from routing.failing.breaker import BreakerSettings, Verdict
from routing.route import DEFAULT_RETRY, RetrySettings
from tests.engines.test_sse import parsed
from tests.gateway.flights import JSON, NO_RETRY, SSE, Bench, FakeConnection, FakeExchange, StepClock
from tests.gateway.relayed import DONE, ERROR, FINISH, USAGE, answer, chunk

OVERLOADED = json.dumps({"error": {"message": "full", "type": "overloaded", "param": None, "code": 503}}).encode()


pytestmark = pytest.mark.usefixtures("now")


# -- every order of events -------------------------------------------------------------------------------------------

BEFORE: tuple[EngineError, ...] = (
    ConnectFailed("refused"),
    ConnectionLost("closed"),
    FirstByteTimeout("too slow"),
    BadAnswer("no HTTP"),
    TotalTimeout("time is up"),
)
AFTER: tuple[EngineError, ...] = (
    AnswerTruncated("closed"),
    IdleTimeout("silent"),
    TotalTimeout("time is up"),
    ClientStalled("not read"),
)
PIECES = (
    chunk(),
    chunk()[:25],
    chunk()[25:],
    FINISH,
    USAGE,
    ERROR,
    DONE,
    FINISH + USAGE + DONE,
    ERROR + DONE,
    b": ping\n\n",
    b"\n",
    b"data: {nonsense\n\n",
    answer(),
)
# What is usual comes often, or hardly any life would get as far as a stream.
STATUSES = (*[200] * 12, 204, 302, 400, 401, 404, 408, 429, 500, 501, 503, 520, 529)
HEADS: tuple[Headers, ...] = (*[SSE] * 8, JSON, (), (*JSON, (b"retry-after", b"1")), (*JSON, (b"retry-after", b"99")))


def claims_no_false_success(client: FakeConnection) -> None:
    """A `[DONE]` comes after a finish reason and after no error."""
    if client.headers.get("content-type", "").startswith("text/event-stream"):
        told = [data for _, data in parsed(client.body)]
        before = [told[:place] for place, data in enumerate(told) if data == "[DONE]"]
        assert all(any('"finish_reason":"stop"' in data for data in earlier) for earlier in before)
        assert not any(data.startswith('{"error"') for earlier in before for data in earlier)


@settings(deadline=None)
@given(
    reads=st.lists(st.lists(st.sampled_from(PIECES), min_size=1, max_size=3), max_size=5),
    end=st.sampled_from([None, *AFTER]),
    leaves=st.booleans(),
)
def test_any_stream_and_any_end_make_one_honest_answer(
    reads: list[list[bytes]], end: EngineError | None, leaves: bool
) -> None:
    bench = Bench(StepClock(), retry=NO_RETRY)
    flight, client = bench.begin()
    (call,) = bench.calls
    call.head()
    for read in reads:
        call.read(*read)
        claims_no_false_success(client)
    if leaves:
        flight.client_gone()
    elif call.open and end is not None:
        call.failed(end)
    else:
        call.done()
    claims_no_false_success(client)
    assert (call.open, bench.outstanding(), len(bench.ledger.settled)) == (False, {}, 1)
    assert leaves or client.state == "answered"


class Lives(RuleBasedStateMachine):
    """An engine and a client that do anything the ports allow, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = StepClock()
        self.real = clock.SOURCES.monotonic
        clock.SOURCES.monotonic = self.clock

    @initialize(
        tiers=st.sampled_from([(1,), (2,), (1, 2)]),
        operation=st.sampled_from(
            [*[Operation.CHAT] * 6, Operation.MESSAGES, Operation.RESPONSES, Operation.EMBEDDINGS]
        ),
        stream=st.sampled_from([True, True, True, False]),
        half_open=st.booleans(),
        deadline=st.booleans(),
        refusals=st.lists(st.sampled_from(BEFORE), max_size=2),
    )
    def begin(
        self,
        tiers: tuple[int, ...],
        operation: Operation,
        stream: bool,
        half_open: bool,
        deadline: bool,
        refusals: list[EngineError],
    ) -> None:
        bench = self.bench = Bench(self.clock, *tiers, breaker=BreakerSettings(min_failures=2, max_probes=2))
        if half_open:
            for state in bench.table:
                for _ in range(2):
                    state.breaker.record(state.breaker.admit(900.0), Verdict.FAILURE, 900.0, random.Random(1))
        bench.engines[0].refusals = refusals
        deadlines = Deadlines(total_s=5.0) if deadline else None
        self.flight, self.client = bench.begin(operation, stream=stream, deadlines=deadlines)
        self.headed: set[int] = set()
        self.gone = False

    @property
    def call(self) -> FakeExchange | None:
        return next((call for call in self.bench.calls if call.open), None)

    @property
    def begun(self) -> bool:
        return self.call is not None and id(self.call) in self.headed

    def now_open(self) -> FakeExchange:
        assert self.call is not None
        return self.call

    @precondition(lambda self: self.call is not None and not self.begun)
    @rule(status=st.sampled_from(STATUSES), headers=st.sampled_from(HEADS))
    def head(self, status: int, headers: Headers) -> None:
        self.headed.add(id(self.call))
        self.now_open().head(status, headers)

    @precondition(lambda self: self.begun)
    @rule(data=st.lists(st.sampled_from(PIECES), min_size=1, max_size=3))
    def read(self, data: list[bytes]) -> None:
        self.now_open().read(*data)

    @precondition(lambda self: self.begun)
    @rule(data=st.lists(st.sampled_from(PIECES), max_size=3))
    def done(self, data: list[bytes]) -> None:
        self.now_open().done(*data)

    @precondition(lambda self: self.call is not None)
    @rule(which=st.integers(0, 3))
    def failed(self, which: int) -> None:
        in_body = self.flight.attempt is not None and self.flight.attempt.first_byte_s > 0
        self.now_open().failed(AFTER[which] if in_body else BEFORE[1 + which])

    @precondition(lambda self: self.bench.loop.waiting)
    @rule()
    def timer(self) -> None:
        self.bench.loop.fire()

    @rule(seconds=st.sampled_from([0.0, 0.5, 4.0, 50.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now_s += seconds

    @precondition(lambda self: not self.gone and self.client.state in ("waiting", "streaming"))
    @rule(pauses=st.booleans())
    def client_reads(self, pauses: bool) -> None:
        if pauses:
            self.flight.client_paused()
        else:
            self.flight.client_resumed()

    @precondition(lambda self: not self.gone and self.client.state in ("waiting", "streaming"))
    @rule()
    def client_leaves(self) -> None:
        self.gone = True
        self.flight.client_gone()

    @invariant()
    def one_settlement_and_nothing_left_after_it(self) -> None:
        if not hasattr(self, "flight"):
            return
        assert len(self.bench.ledger.settled) == int(self.flight.settled)
        if self.flight.settled:
            assert (self.bench.outstanding(), self.call, self.bench.loop.waiting) == ({}, None, [])
            assert self.gone or self.client.state in ("answered", "cut")
        else:
            assert self.client.state in ("waiting", "streaming")
            assert (self.call is None) == bool(self.bench.loop.waiting)

    @invariant()
    def a_paused_client_pauses_the_engine(self) -> None:
        if hasattr(self, "flight") and self.call is not None:
            assert self.call.paused == self.flight._paused

    @invariant()
    def no_success_is_claimed_after_an_error(self) -> None:
        if hasattr(self, "flight") and self.flight.streams and self.flight.operation is Operation.CHAT:
            claims_no_false_success(self.client)

    def teardown(self) -> None:
        if hasattr(self, "flight"):
            while not self.flight.settled:
                if self.call is not None:
                    self.failed(0)
                else:
                    self.timer()
                self.one_settlement_and_nothing_left_after_it()
                self.no_success_is_claimed_after_an_error()
            counted = [series for engine in ("", "t0", "t1") for series in [self.bench.metrics.series("m", engine)]]
            assert sum(sum(series.codes.values()) for series in counted) == 1
            assert len(self.bench.ledger.records) == 1
        clock.SOURCES.monotonic = self.real


def test_any_order_of_events_ends_in_one_answer_and_one_settlement() -> None:
    run_state_machine_as_test(Lives, settings=settings(deadline=None, stateful_step_count=15))


# -- retries ---------------------------------------------------------------------------------------------------------


def test_nothing_is_answered_before_the_first_body_byte() -> None:
    bench = Bench(StepClock(), 2)
    _, client = bench.begin()
    bench.calls[0].head(200, SSE)
    assert client.state == "waiting"
    bench.calls[0].failed(ConnectionLost("closed"))
    assert [call.replica for call in bench.calls] == ["0", "1"]
    bench.calls[1].head()
    bench.calls[1].done(chunk(), FINISH, DONE)
    assert (client.body, client.headers["x-penstock-attempts"]) == (chunk() + FINISH + DONE, "2")
    assert bench.ledger.retries == ["connection_lost"]


def test_nothing_is_retried_after_the_first_body_byte() -> None:
    bench = Bench(StepClock(), 2)
    bench.begin()
    bench.calls[0].head()
    bench.calls[0].read(chunk()[:5])
    bench.calls[0].failed(AnswerTruncated("closed"))
    assert len(bench.calls) == 1


def test_refusals_from_within_send_are_retried_like_any_other() -> None:
    bench = Bench(StepClock(), 3)
    bench.engines[0].refusals = [ConnectFailed("refused"), ConnectFailed("refused")]
    _, client = bench.begin(stream=False)
    assert [call.replica for call in bench.calls] == ["0", "1", "2"]
    bench.calls[2].answer(200, answer())
    assert (client.body, client.headers["x-penstock-replica"]) == (answer(), "2")


def test_a_single_replica_is_asked_again_after_a_back_off() -> None:
    bench = Bench(StepClock())
    _, client = bench.begin()
    bench.calls[0].failed(ConnectionLost("closed"))
    assert (len(bench.calls), len(bench.loop.waiting), bench.outstanding()) == (1, 1, {})
    bench.loop.fire()
    bench.calls[1].head()
    bench.calls[1].done(FINISH)
    assert client.status == 200


def test_a_client_that_leaves_during_a_back_off_is_asked_for_no_more() -> None:
    bench = Bench(StepClock())
    flight, client = bench.begin()
    bench.calls[0].failed(ConnectionLost("closed"))
    flight.client_gone()
    assert bench.loop.waiting == []
    assert (client.state, bench.ledger.records[0].status, bench.ledger.records[0].error) == (
        "waiting",
        499,
        "client_gone",
    )


def test_a_probe_gives_its_place_back_once_when_its_client_leaves_during_the_back_off() -> None:
    bench = Bench(StepClock(), breaker=BreakerSettings(min_failures=1, jitter_ratio=0.0))
    (state,) = bench.table
    state.breaker.record(state.breaker.admit(900.0), Verdict.FAILURE, 900.0, random.Random(1))
    flight, _ = bench.begin()
    bench.calls[0].answer(429, OVERLOADED, (*JSON, (b"retry-after", b"1")))
    assert bench.loop.waiting
    flight.client_gone()
    assert bench.outstanding() == {}


def test_a_later_tier_serves_and_the_fallback_is_counted() -> None:
    bench = Bench(StepClock(), 1, 1)
    _, client = bench.begin(stream=False)
    bench.calls[0].failed(FirstByteTimeout("too slow"))
    bench.engines[1].calls[0].answer(200, answer())
    assert bench.ledger.fallbacks == [("t0", "t1")]
    assert client.headers["x-penstock-engine"] == "t1"


def test_when_every_attempt_is_spent_the_last_failure_is_told() -> None:
    bench = Bench(StepClock(), 1, retry=NO_RETRY)
    _, client = bench.begin()
    bench.calls[0].failed(ConnectFailed("no connection to the engine within 5 s"))
    assert (client.status, client.error["code"]) == (502, "engine_unreachable")
    assert client.error["message"] == "model 'm': no connection to the engine within 5 s (engine t0, attempt 1)"


@pytest.mark.parametrize("status", [401, 500, 502, 504, None])
def test_only_a_client_in_whose_place_we_have_tried_again_is_told_not_to(status: int | None) -> None:
    for attempts in (1, 2):
        bench = Bench(StepClock(), *[1] * attempts, retry=NO_RETRY)
        _, client = bench.begin(stream=False)
        for call in (engine.calls[0] for engine in bench.engines):
            if status is None:
                call.failed(ConnectFailed("refused"))
            else:
                call.answer(status, b"")
        assert client.headers["x-penstock-attempts"] == str(attempts)
        assert client.headers.get("x-should-retry") == (None if attempts == 1 else "false")


@pytest.mark.parametrize("status", [429, 503, 529])
def test_a_client_may_try_again_after_any_number_of_overloads(status: int) -> None:
    bench = Bench(StepClock(), 1, 1, retry=NO_RETRY)
    _, client = bench.begin(stream=False)
    for engine in bench.engines:
        engine.calls[0].answer(status, OVERLOADED)
    assert (client.status, client.headers["x-penstock-attempts"]) == (status, "2")
    assert "x-should-retry" not in client.headers


def test_a_refusal_keeps_what_it_says_of_limits_and_nothing_else_of_the_engine() -> None:
    limits = {
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "6m0s",
        "anthropic-ratelimit-requests-limit": "50",
        "retry-after-ms": "1250",
    }
    private = {"server": "uvicorn", "set-cookie": "a=1", "x-envoy-upstream": "10.0.0.9"}
    sent = [(name.encode(), value.encode()) for name, value in {**limits, **private, "retry-after": "9"}.items()]
    for status in (400, 429, 503):
        headers = told(status, OVERLOADED, (*JSON, *sent))[1]
        assert limits == {name: headers[name] for name in limits}
        assert headers["retry-after"] == "2"
        assert not private.keys() & headers.keys()


LIMITED = [(b"retry-after", b"5")], [(b"retry-after", b"30"), (b"retry-after-ms", b"30000")]


@pytest.mark.parametrize(
    ("first", "last", "told"),
    [
        (*LIMITED, ("3", "3000")),
        (*LIMITED[::-1], ("5", None)),
        ([], LIMITED[1], ("30", "30000")),
        (LIMITED[0], [], (None, None)),  # it names no time, and may be the first
        ([(b"retry-after", b"0")], LIMITED[1], ("1", "0")),
    ],
)
def test_of_several_engines_that_refuse_the_client_is_told_when_the_first_serves_again(
    now: StepClock, first: list[tuple[bytes, bytes]], last: list[tuple[bytes, bytes]], told: tuple[str | None, ...]
) -> None:
    bench = Bench(now, 1, 1, retry=NO_RETRY)
    _, client = bench.begin()
    bench.calls[0].answer(429, OVERLOADED, (*JSON, *first))
    now.now_s += 2.0
    bench.calls[1].answer(429, OVERLOADED, (*JSON, *last))
    assert (client.status, client.headers["x-penstock-attempts"]) == (429, "2")
    assert (client.headers.get("retry-after"), client.headers.get("retry-after-ms")) == told


def test_an_exact_retry_after_is_what_we_wait_for_ourselves() -> None:
    bench = Bench(StepClock())
    bench.begin(stream=False)
    at_s = bench.clock.now_s
    bench.calls[0].answer(429, OVERLOADED, (*JSON, (b"retry-after", b"60"), (b"retry-after-ms", b"1250")))
    (timer,) = bench.loop.waiting
    assert timer.due_s == at_s + 1.25
    bench.loop.fire()
    bench.calls[1].answer(200, answer())


def test_a_rate_limit_of_every_engine_is_the_clients_to_wait_for() -> None:
    bench = Bench(StepClock(), 2, 1, retry=DEFAULT_RETRY)
    _, client = bench.begin(stream=False)
    for asked in range(3):
        bench.calls[asked].answer(429, OVERLOADED, (*JSON, (b"retry-after", b"1")))
    assert (client.status, client.headers["retry-after"], client.headers["x-penstock-attempts"]) == (429, "1", "3")
    assert bench.loop.waiting == []


def test_a_request_that_an_engine_had_taken_is_sent_again_only_where_the_operator_says_so() -> None:
    for retry, asked in ((DEFAULT_RETRY, 1), (RetrySettings(after_send=True), 2)):
        bench = Bench(StepClock(), 1, 1, retry=retry)
        _, client = bench.begin(stream=False)
        bench.calls[0].failed(ConnectionLost("the engine closed the connection before answering"))
        assert len(bench.calls) == asked
        if asked == 1:
            assert (client.status, client.error["code"]) == (502, "engine_connection_lost")
            assert "x-should-retry" not in client.headers
        else:
            bench.calls[1].answer(200, answer())
            assert client.status == 200


def test_each_attempt_has_what_is_left_of_the_clients_time(now: StepClock) -> None:
    bench = Bench(now, 2)
    bench.begin(deadlines=Deadlines(total_s=10.0))
    now.now_s += 4.0
    bench.calls[0].failed(ConnectionLost("closed"))
    assert [call.deadlines.total_s for call in bench.calls] == [10.0, 6.0]


def bounds_of(*tiers: int, read_s: float) -> list[tuple[float, float]]:
    """First byte and idle bounds of the attempts of a request whose every attempt is too slow."""
    stepped = clock.SOURCES.monotonic
    assert isinstance(stepped, StepClock)
    bench = Bench(stepped, *tiers, retry=DEFAULT_RETRY)
    bench.begin(deadlines=Deadlines(float("inf"), read_s, read_s))
    for engine in bench.engines:
        for call in engine.calls:
            stepped.now_s += call.deadlines.first_byte_s
            call.failed(FirstByteTimeout("too slow"))
    return [(round(call.deadlines.first_byte_s, 6), call.deadlines.idle_s) for call in bench.calls]


def test_an_attempt_takes_a_part_of_the_sdks_time_while_a_fallback_is_left_and_the_last_one_more_than_all() -> None:
    assert bounds_of(2, read_s=100.0) == [(105.0, 105.0)]
    assert bounds_of(1, 1, read_s=100.0) == [(60.0, 105.0), (45.0, 105.0)]
    assert bounds_of(1, 1, 1, read_s=100.0) == [(60.0, 105.0), (24.0, 105.0), (21.0, 105.0)]


def test_an_engines_own_bound_holds_where_it_is_tighter_and_is_never_met_by_the_sdks_at_once() -> None:
    assert bounds_of(1, read_s=1000.0) == [(600.0, 120.0)]
    assert bounds_of(1, read_s=600.0) == [(605.0, 120.0)]  # what both have by default
    assert bounds_of(1, 1, read_s=2000.0)[0] == (600.0, 120.0)


def test_too_slow_for_the_client_says_nothing_about_a_replica() -> None:
    bench = Bench(StepClock(), 1, 1, breaker=BreakerSettings(min_failures=1))
    _, client = bench.begin(stream=False, deadlines=Deadlines(float("inf"), 10.0, 10.0))
    bench.calls[0].failed(FirstByteTimeout("too slow"))
    assert bench.ledger.retries == ["too_slow"]
    bench.calls[1].failed(FirstByteTimeout("too slow"))
    assert (client.status, client.error["code"], bench.outstanding()) == (504, "timeout", {})
    assert all(state.breaker.closed and not sum(state.breaker._bad) for state in bench.table)


def test_a_fallback_that_cannot_be_asked_is_none(now: StepClock) -> None:
    bench = Bench(now, 1, 1)
    next(state for state in bench.table if state.key[0] == "t1").draining = True
    flight, _ = bench.begin(deadlines=Deadlines(float("inf"), 100.0, 100.0))
    assert bench.calls[0].deadlines.first_byte_s == 105.0
    flight.client_gone()


def test_a_model_without_a_replica_says_when_to_come_back(now: StepClock) -> None:
    bench = Bench(now, breaker=BreakerSettings(min_failures=1, open_s=30.0, jitter_ratio=0.0))
    (state,) = bench.table
    state.breaker.record(state.breaker.admit(now.now_s), Verdict.FAILURE, now.now_s, random.Random(1))
    _, client = bench.begin()
    assert (client.status, client.error["code"], client.headers["retry-after"]) == (503, "no_replica_available", "30")
    assert client.error["message"] == "no replica of model 'm' is available at the moment; try again in 30 s"
    assert "x-should-retry" not in client.headers


# -- the engine's own errors -----------------------------------------------------------------------------------------


def told(
    status: int, body: bytes, headers: Headers = JSON, operation: Operation = Operation.CHAT
) -> tuple[int, dict[str, str], bytes, str]:
    bench = Bench(StepClock(), retry=NO_RETRY, secrets=(b"sk-secret-key",))
    _, client = bench.begin(operation, stream=False)
    bench.calls[0].answer(status, body, headers)
    assert bench.outstanding() == {}
    return client.status, client.headers, client.body, bench.ledger.records[0].error


def test_vllms_400_passes_as_it_is() -> None:
    shape = {"message": "too long", "type": "BadRequestError", "param": "input_tokens", "code": 400}
    body = json.dumps({"error": shape}).encode()
    assert (told(400, body)[0], told(400, body)[2], told(400, body)[3]) == (400, body, "engine_400")


def test_vllms_messages_error_passes_as_it_is() -> None:
    body = json.dumps({"type": "error", "error": {"type": "BadRequestError", "message": "too long"}}).encode()
    sent = json.loads(told(400, body, operation=Operation.MESSAGES)[2])
    assert sent == json.loads(body) | {"request_id": "req-1"}


@pytest.mark.parametrize("status", [401, 402, 403])
def test_what_an_engine_says_about_our_credentials_stays_here(status: int) -> None:
    code, _, body, kind = told(status, b'{"error":{"message":"Incorrect API key sk-se***"}}')
    assert (code, kind) == (TABLE["engine_auth"].status, "engine_auth")
    assert b"sk-se" not in body


def test_secrets_are_taken_out_of_what_passes() -> None:
    _, _, body, _ = told(400, b'{"error":{"message":"the header was sk-secret-key"}}')
    assert json.loads(body)["error"]["message"] == "the header was ***"


def test_an_overload_passes_with_its_retry_after_and_leaves_the_sdk_free() -> None:
    status, headers, body, _ = told(503, OVERLOADED, (*JSON, (b"retry-after", b"7")))
    assert (status, headers["retry-after"], body) == (503, "7", OVERLOADED)
    assert "x-should-retry" not in headers


def test_a_retry_after_is_passed_on_in_whole_seconds_and_never_too_early() -> None:
    assert told(429, OVERLOADED, (*JSON, (b"retry-after", b"30.2")))[1]["retry-after"] == "31"


def test_a_rate_limit_passes_under_its_own_name() -> None:
    status, _, _, kind = told(429, OVERLOADED)
    assert (status, kind) == (429, "rate_limited")


@pytest.mark.parametrize("body", [b"", b"<html>Bad gateway</html>", b'{"oops":1}', b"[1]", b"\xff"])
def test_an_error_without_an_error_object_gets_one(body: bytes) -> None:
    status, _, got, _ = told(502, body)
    error = json.loads(got)["error"]
    assert (status, error["message"]) == (502, "model 'm': the engine answered 502 (engine t0, attempt 1)")


def test_a_status_that_has_no_name_passes() -> None:
    assert told(520, b"<html>web server is down</html>")[0] == 520


def test_an_error_answer_is_kept_only_so_far() -> None:
    bench = Bench(StepClock(), retry=NO_RETRY)
    flight, client = bench.begin(stream=False)
    bench.calls[0].head(500, JSON)
    for _ in range(100):
        bench.calls[0].read(b"x" * 10_000)
    assert sum(map(len, flight.attempts[0].error_parts or ())) <= 80_000
    bench.calls[0].done()
    assert client.status == 500


def test_an_answer_without_a_body_is_retried_when_a_stream_was_asked_for() -> None:
    bench = Bench(StepClock(), 2)
    bench.begin()
    bench.calls[0].answer(200, b"", SSE)
    assert bench.ledger.retries == ["bad_answer"]
    bench.calls[1].failed(ConnectFailed("refused"))


# -- what goes up ----------------------------------------------------------------------------------------------------


def sent(**members: object) -> dict[str, object]:
    bench = Bench(StepClock(), accepts_stream_options=bool(members.pop("accepts", True)))
    bench.engines[0].continuous_usage = bool(members.pop("always", False))
    flight, _ = bench.begin(**members)  # type: ignore[arg-type]
    flight.client_gone()
    body = json.loads(bench.calls[0].body)
    assert isinstance(body, dict)
    return body


def test_usage_is_asked_for_and_the_model_is_renamed() -> None:
    assert sent(top_k=3) == {"model": "up", "stream": True, "top_k": 3, "stream_options": {"include_usage": True}}


def test_an_engine_that_takes_no_stream_options_gets_none() -> None:
    assert sent(accepts=False) == {"model": "up", "stream": True}
    assert sent(accepts=False, stream_options={"include_usage": True}) == {"model": "up", "stream": True}


@pytest.mark.parametrize("text", ["", "x" * 20_000], ids=["small", "large"])
@pytest.mark.parametrize("own", [{}, {"stream_options": {"include_usage": True}}], ids=["unasked", "asked"])
def test_usage_in_every_event_is_asked_for_where_the_engine_is_to_give_it(text: str, own: dict[str, object]) -> None:
    asked = {"include_usage": True, "continuous_usage_stats": True}
    assert sent(always=True, user=text, **own)["stream_options"] == asked
    assert "stream_options" not in sent(always=True, stream=False, user=text)
    assert "continuous_usage_stats" not in str(sent(user=text, **own))


def test_a_plain_request_is_not_given_stream_options() -> None:
    assert sent(stream=False) == {"model": "up", "stream": False}


def test_only_headers_that_mean_something_to_an_engine_go_up() -> None:
    bench = Bench(StepClock(), 2)
    flight, _ = bench.begin(
        fields={b"authorization": b"Bearer sk", b"cookie": b"a", b"traceparent": b"00-1", b"anthropic-version": b"2023"}
    )
    bench.calls[0].failed(ConnectFailed("refused"))
    assert bench.calls[0].headers == bench.calls[1].headers
    assert sorted(bench.calls[1].headers.split(b"\r\n")) == [
        b"",
        b"anthropic-version: 2023",
        b"traceparent: 00-1",
        b"x-request-id: req-1",
    ]
    flight.client_gone()


# -- the client ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("progress", ["sent", "headed", "streaming"])
def test_a_client_that_leaves_stops_its_engine_at_once(progress: str) -> None:
    bench = Bench(StepClock())
    flight, _ = bench.begin()
    (call,) = bench.calls
    if progress != "sent":
        call.head()
    if progress == "streaming":
        call.read(chunk())
    flight.client_gone()
    flight.client_gone()
    assert (call.aborted, bench.outstanding(), len(bench.ledger.settled)) == (True, {}, 1)
    assert bench.ledger.records[0].error == "client_gone"
    (state,) = bench.table
    assert sum(state.breaker._bad) == 0


def test_a_pause_outlives_a_retry() -> None:
    bench = Bench(StepClock(), 2)
    flight, _ = bench.begin()
    flight.client_paused()
    bench.calls[0].failed(ConnectionLost("closed"))
    assert bench.calls[1].paused
    flight.client_resumed()
    assert not bench.calls[1].paused
    flight.client_gone()


# -- the account -----------------------------------------------------------------------------------------------------


def test_the_record_says_what_happened(now: StepClock) -> None:
    bench = Bench(now)
    bench.begin()
    (call,) = bench.calls
    now.now_s += 0.5
    call.head()
    call.read(chunk())
    now.now_s += 3.0
    call.done(FINISH, USAGE, DONE)
    (record,) = bench.ledger.records
    assert (record.status, record.error, record.finish_reason, record.stream) == (200, "", "stop", True)
    assert (record.ttft_ms, record.tpot_ms, record.duration_ms) == (500.0, 500.0, 3500.0)
    assert (record.input_tokens, record.output_tokens, record.usage_source) == (11, 7, "reported")
    assert record.cost_usd == 3.5  # the whole replica, at one dollar a second


def test_the_prompts_share_is_given_back_at_the_first_byte() -> None:
    bench = Bench(StepClock())
    flight, _ = bench.begin()
    (state,) = bench.table
    assert state.prefill_tokens == flight.facts.prompt_tokens
    bench.calls[0].head()
    assert state.prefill_tokens == flight.facts.prompt_tokens
    bench.calls[0].read(b": ping\n\n")
    assert (state.prefill_tokens, state.in_flight_tokens) == (0, flight.facts.output_tokens)
    flight.client_gone()


def test_an_error_answer_without_end_that_is_cut_is_told_with_its_status() -> None:
    bench = Bench(StepClock(), retry=NO_RETRY)
    _, client = bench.begin(stream=False)
    bench.calls[0].head(500, JSON)
    for _ in range(10):
        bench.calls[0].read(b"x" * 10_000)
    bench.calls[0].failed(AnswerTruncated("the engine's error answer is over 1048576 bytes"))
    assert (client.status, client.error["code"], bench.outstanding()) == (500, "engine_error", {})


def test_a_body_whose_model_cannot_be_exchanged_is_refused_and_nothing_is_held() -> None:
    bench = Bench(StepClock())
    many: dict[str, Any] = {f"k{at}": 0 for at in range(MOST_MEMBERS + 1)}
    _, client = bench.begin(stream_options={"include_usage": False}, **many)
    assert (client.status, client.error["code"], client.error["param"]) == (400, "invalid_json", "model")
    assert (bench.calls, bench.outstanding()) == ([], {})
