"""The life of one inference request, from its last byte in to its settlement: a state machine driven by callbacks.

    begin ─> attempt ──head, first body byte──> relay ──> settled
               │  └─ failed before that ─> retry.next ─> attempt (at once, or by timer)
               │                               └─ give up ─> answered with the failure ─> settled
               └─ client gone: upstream aborted, settled (from any state)

No task and no future per request: on uvloop they cost 7 us, more than routing, metrics and the access line together
(measured). What must wait (a back-off) waits in a timer.

Laws:
- our own response head is held until the first body byte of a 2xx answer, so everything before it may be retried;
- after that byte nothing is retried: a failure is told inside the stream;
- `settle` runs exactly once, whatever happens, and gives back everything that was taken.
"""

from __future__ import annotations

import asyncio
import random
from math import ceil
from typing import TYPE_CHECKING, Protocol

from engines.errors import (
    AnswerTruncated,
    BadAnswer,
    ClientStalled,
    ConnectFailed,
    ConnectionLost,
    EngineError,
    FirstByteTimeout,
    IdleTimeout,
    NoConnectionFree,
    TotalTimeout,
)
from engines.model import Deadlines, Operation, Usage
from engines.port import Exchange, Headers
from engines.wire import FORMATS, ApiError
from gateway import clock, envelope
from gateway.errors import Failure
from gateway.refusal import error_said, error_type, parse_retry_after
from gateway.relay import PlainRelay, StreamRelay
from routing import retry
from routing.breaker import Verdict
from routing.outcome import Outcome, outcome_of_status
from routing.policy import choose

if TYPE_CHECKING:
    from gateway.envelope import Envelope
    from gateway.fleet.snapshot import Serving, Upstream
    from gateway.http.request import Request
    from gateway.identity import Principal
    from routing.model import Decision, Endpoint

MAX_ERROR_BYTES = 64 * 1024
"""How much of an engine's error answer is kept; enough for any message, small enough to hold for every request."""

_SUCCESS = Verdict.SUCCESS

_OUTCOMES: dict[type[EngineError], tuple[Outcome, str]] = {
    ConnectFailed: (Outcome.CONNECT_FAILED, "connect_failed"),
    NoConnectionFree: (Outcome.OVERLOADED, "connections_busy"),
    ConnectionLost: (Outcome.CONNECTION_LOST, "connection_lost"),
    FirstByteTimeout: (Outcome.FIRST_BYTE_TIMEOUT, "timeout"),
    TotalTimeout: (Outcome.OUT_OF_TIME, "timeout"),
    BadAnswer: (Outcome.BAD_ANSWER, "bad_answer"),
    AnswerTruncated: (Outcome.CONNECTION_LOST, "answer_truncated"),
}

OPERATION_KEYS = {operation: operation.value for operation in Operation}
"""What routing knows an operation by; asking an enum for its value costs 0.1 us each time."""


class Settlement(Protocol):
    """Where a flight's account goes; see `gateway.accounts.accounting`."""

    def settle(self, flight: Flight) -> None: ...
    def retried(self, engine: str, outcome: Outcome) -> None: ...
    def fell_back(self, model: str, source: str, target: str) -> None: ...
    def refused(
        self,
        request: Request,
        request_id: bytes,
        operation: Operation,
        model: str,
        key_id: str,
        failure: Failure,
        received_s: float,
    ) -> None: ...


class Flight:
    """One request in progress. It is the `Sink` of its engine call and the `Work` of its connection."""

    # Defaults live on the class: setting forty attributes for each request would cost 2 us.
    line: Upstream | None = None
    """The endpoint of the attempt in progress, or of the last one."""
    deadlines: Deadlines | None = None
    """The client's own, when they are tighter than the engine's."""
    attempts = 0
    first_dispatch_s = 0.0
    dispatched_s = 0.0
    first_byte_s = 0.0
    last_content_s = 0.0
    """When the finish reason came, which is with or right after the last content."""
    finished_s = 0.0
    usage: Usage | None = None
    cost_usd: float | None = None
    """GPU cost so far; the price of the tokens is added when the request is settled."""
    finish_reason = ""
    error_kind = ""
    answer_status = 0
    settled = False
    _exchange: Exchange | None = None
    _retry: retry.RetryState | None = None
    _retry_timer: asyncio.TimerHandle | None = None
    _ticket = 0
    _mark = 0.0
    _status = 0
    _upstream_headers: Headers = ()
    _error_parts: list[bytes] | None = None
    _error_size = 0
    _paused = False
    _charged = False
    """Whether the attempt in progress has taken what `_release` gives back."""
    _body: tuple[str, bool, bool, bytes] | None = None
    """The rewritten body and what it was written for."""
    _forward = b""

    def __init__(
        self,
        request: Request,
        operation: Operation,
        request_id: bytes,
        principal: Principal,
        parsed: Envelope,
        serving: Serving,
        settlement: Settlement,
        loop: asyncio.AbstractEventLoop,
        rng: random.Random,
        received_s: float,
    ) -> None:
        self.request = request
        self.operation = operation
        self._spoken = OPERATION_KEYS[operation]
        self.wire_format = FORMATS[operation]
        self.request_id = request_id
        self.principal = principal
        self.envelope = parsed
        self.route = route = serving.route
        self.model = route.name
        self._upstreams = serving.upstreams
        self._settlement = settlement
        self._loop = loop
        self._rng = rng
        self.received_s = received_s
        self.prompt_tokens = route.tokens.prompt_tokens(len(request.body))
        self.output_tokens = route.tokens.output_tokens(parsed.output_limit)

    # -- attempts ------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Choose an endpoint and send."""
        self.route.budget.deposit()
        decision = choose(self.route, self._spoken, self.received_s, self._rng)
        if decision is None:
            self.fail(self._nobody())
        else:
            self._send(decision, self.received_s)

    def _send(self, decision: Decision, now: float) -> None:
        endpoint = decision.endpoint
        line = self._upstreams[endpoint]
        try:
            body = self._body_for(endpoint, line)
        except RecursionError:  # parsed a few frames above, it was just not too deep
            self.fail(Failure("invalid_json", envelope.DEPTH))
            return
        self.line = line
        state = endpoint.state
        self._ticket = state.breaker.admit(now)
        state.charge(self.prompt_tokens, self.output_tokens)
        if line.meter is not None:
            self._mark = line.meter.start(now)
        line.series.in_flight += 1
        self._charged = True
        self.attempts = attempt = self.attempts + 1
        self._status = 0
        self._error_parts = None
        self.first_byte_s = 0.0
        self.dispatched_s = now = clock.monotonic()
        if attempt == 1:
            self.first_dispatch_s = now
        deadlines = line.deadlines
        bounds = self.deadlines
        if bounds is not None:
            deadlines = Deadlines(
                deadlines.connect_s,
                min(deadlines.first_byte_s, bounds.first_byte_s),
                min(deadlines.idle_s, bounds.idle_s),
                # Each attempt has what is left of the client's time, the whole of which runs from the request.
                None if bounds.total_s is None else max(0.001, self.received_s + bounds.total_s - now),
            )
        exchange = line.engine.send(endpoint.replica, self.operation, body, self._headers_up(), deadlines, self)
        if self.attempts == attempt and self._charged:  # a send may fail, and be retried, before it returns
            self._exchange = exchange
            if self._paused:
                exchange.pause()

    def _body_for(self, endpoint: Endpoint, line: Upstream) -> bytes:
        parsed = self.envelope
        streams = bool(parsed.stream) and self.operation in envelope.STREAMS_WITH_OPTIONS
        ask = streams and line.engine.accepts_stream_options and not envelope.asks_usage(parsed)
        drop = parsed.stream_options is not None and not line.engine.accepts_stream_options
        if endpoint.model == parsed.model and not ask and not drop:
            return self.request.body
        known = self._body
        if known is not None and known[:3] == (endpoint.model, ask, drop):
            return known[3]
        body = envelope.rewrite(self.request.body, endpoint.model, ask_usage=ask, drop_stream_options=drop)
        self._body = (endpoint.model, ask, drop, body)
        return body

    def _headers_up(self) -> bytes:
        if not self._forward:
            fields = self.request.fields
            block = b"x-request-id: %b\r\n" % self.request_id
            if not FORWARDED.isdisjoint(fields):
                for name in FORWARDED & fields.keys():
                    block += b"%b: %b\r\n" % (name, fields[name])
            self._forward = block
        return self._forward

    # -- engines.port.Sink, until the first body byte of a 2xx answer --------------------------------------------------

    def head(self, status: int, headers: Headers) -> None:
        self._status = status
        self._upstream_headers = headers
        if not 200 <= status < 300:
            self._error_parts = []
            self._error_size = 0

    def data(self, data: bytes) -> None:
        parts = self._error_parts
        if parts is not None:
            if self._error_size < MAX_ERROR_BYTES:
                parts.append(data)
                self._error_size += len(data)
            return
        self._first_byte()
        relay = self._relay()
        relay.data(data)

    def flush(self) -> None:
        pass  # an error answer is collected whole

    def done(self) -> None:
        self._exchange = None
        if self._error_parts is None:
            # A 2xx without a body: nothing that could be relayed, so it is answered (or retried) as a failure.
            if self.envelope.stream:
                self._failed(Outcome.CONNECTION_LOST, "answer_truncated", "the engine ended its stream before it began")
            else:
                self._first_byte()
                self._relay().done()
            return
        status = self._status
        outcome = outcome_of_status(status)
        if status < 400:
            self._error_parts = None
            self._failed(Outcome.BAD_ANSWER, "bad_answer", f"the engine answered {status}; redirects are not followed")
        elif outcome is Outcome.ANSWERED:
            self._record(_SUCCESS)
            self._pass_error(b"".join(self._error_parts or ()), outcome)
        else:
            self._failed(outcome, "engine_error", f"the engine answered {status}")

    def failed(self, error: EngineError) -> None:
        self._exchange = None
        outcome, kind = _OUTCOMES.get(type(error), (Outcome.CONNECTION_LOST, "engine_error"))
        if outcome is Outcome.FIRST_BYTE_TIMEOUT and not self.is_engines_fault(error):
            outcome = Outcome.OUT_OF_TIME
        self._error_parts = None
        self._status = 0
        self._failed(outcome, kind, str(error))

    def _first_byte(self) -> None:
        line = self.line
        assert line is not None
        self.first_byte_s = now = clock.monotonic()
        line.endpoint.state.first_byte(self.prompt_tokens)
        self._record(_SUCCESS, now)

    def _relay(self) -> StreamRelay | PlainRelay:
        """Hand the rest of the answer to the relay that fits it."""
        streaming = False
        if self.envelope.stream:
            for name, value in self._upstream_headers:
                if name == b"content-type":
                    streaming = value.startswith(b"text/event-stream")
        relay: StreamRelay | PlainRelay
        if streaming:
            relay = StreamRelay(self, self._status, self._upstream_headers)
        else:
            relay = PlainRelay(self, self._status, self._upstream_headers)
        if self._exchange is not None:
            self._exchange.sink = relay
        return relay

    # -- failing and retrying ------------------------------------------------------------------------------------------

    def _failed(self, outcome: Outcome, kind: str, message: str) -> None:
        """An attempt ended before its first body byte."""
        now = clock.monotonic()
        line = self.line
        assert line is not None
        self._record(outcome.verdict, now)
        self._release(now)
        if self._retry is None:
            self._retry = retry.RetryState(self.route, self._spoken, self._deadline_s())
        retry_after_s = self._retry_after_s()
        failed = retry.Failure(line.endpoint, outcome, retry_after_s)
        verdict = retry.next(self._retry, failed, now, self._rng)
        if isinstance(verdict, retry.Wait):
            self._settlement.retried(line.endpoint.engine, outcome)
            if verdict.seconds > 0:
                self._retry_timer = self._loop.call_later(verdict.seconds, self._again)
            else:
                self._again()
        elif self._error_parts is not None:
            self._pass_error(b"".join(self._error_parts), outcome)
        else:
            retry_after_s = 1.0 if outcome is Outcome.OVERLOADED else None
            self.fail(Failure(kind, self._sentence(message), retry_after_s=retry_after_s))

    def _again(self) -> None:
        self._retry_timer = None
        if self.settled:
            return
        assert self._retry is not None
        assert self.line is not None
        now = clock.monotonic()
        decision = self._retry.choose(now, self._rng)
        if decision is None:
            self.fail(self._nobody())
            return
        before = self.line.endpoint
        if decision.tier > before.tier:
            self._settlement.fell_back(self.model, before.engine, decision.endpoint.engine)
        self._send(decision, now)

    def _pass_error(self, body: bytes, outcome: Outcome) -> None:
        """Tell the client what the engine said, unless that would tell it about us."""
        line = self.line
        assert line is not None
        status = self._status
        if status in (401, 402, 403, 407):
            # Our credentials, not the client's: a provider's message may quote part of the key.
            self.fail(Failure("engine_auth", self._sentence("the engine refused the gateway's credentials")))
            return
        retry_after_s = self._retry_after_s()
        for secret in line.engine.secrets:
            body = body.replace(secret, b"***")
        headers = self.head_down()
        if retry_after_s is not None:
            headers += b"retry-after: %d\r\n" % max(1, ceil(retry_after_s))
        if outcome.verdict is Verdict.FAILURE:
            headers += b"x-should-retry: false\r\n"
        said = error_said(body)
        if said is not None:
            if status in (404, 405):
                # Not about the request: the server behind this engine has no such route for its model.
                what = f"{line.endpoint.engine} does not speak {self.operation.value} for this model"
                self.fail(Failure("unsupported_operation", f"model {self.model!r}: engine {what}"))
                return
            error = ApiError(self._sentence(f"the engine answered {status}{said}"), error_type(status), "engine_error")
            body = self.wire_format.error_body(error, self.request_id.decode())
        self.error_kind = self.error_kind or ("rate_limited" if status == 429 else f"engine_{status}")
        self.settle(status)
        self.request.connection.respond(status, b"content-type: application/json\r\n" + headers, body)

    def refuse_stream(self, status: int, body: bytes) -> None:
        """The stream's first event is an error, and no byte of it has left: answer it as an error."""
        self.abort_upstream()
        self._status = status
        self._pass_error(body, outcome_of_status(status))

    def fail(self, failure: Failure) -> None:
        """Answer with a failure of our own and settle."""
        self.error_kind = failure.kind
        body = failure.body(self.wire_format, self.request_id.decode())
        headers = b"content-type: application/json\r\n" + failure.headers() + self.head_down()
        self.settle(failure.status)
        self.request.connection.respond(failure.status, headers, body)

    def _nobody(self) -> Failure:
        """No replica may be asked. The client may try again when the first breaker lets a probe through."""
        now = clock.monotonic()
        waits = [
            endpoint.state.breaker.open_until - now
            for pool in self.route.speakers[self._spoken].pools
            for endpoint in pool
            if not endpoint.state.breaker.closed
        ]
        return Failure(
            "no_replica",
            f"no replica of model {self.model!r} is available at the moment; try again shortly",
            retry_after_s=max(1.0, min(waits, default=1.0)),
        )

    def _sentence(self, message: str) -> str:
        line = self.line
        engine = f" (engine {line.endpoint.engine}, attempt {self.attempts})" if line is not None else ""
        return f"model {self.model!r}: {message}{engine}"

    def _deadline_s(self) -> float | None:
        deadlines = self.deadlines
        if deadlines is None or deadlines.total_s is None:
            return None
        return self.received_s + deadlines.total_s

    def _retry_after_s(self) -> float | None:
        if self._status == 0:
            return None
        for name, value in self._upstream_headers:
            if name == b"retry-after":
                return parse_retry_after(value)
        return None

    # -- gateway.http.connection.Work ----------------------------------------------------------------------------------

    def client_gone(self) -> None:
        """The client left: stop the engine's work now."""
        if self.settled:
            return
        if self._exchange is not None:
            self._exchange.abort()
            self._exchange = None
        if self._retry_timer is not None:
            self._retry_timer.cancel()
        if self._charged:  # between attempts there is none to tell of: the last one has been told
            self._record(Verdict.IGNORED)
        self.error_kind = self.error_kind or "client_gone"
        self.settle(499)

    def client_paused(self) -> None:
        self._paused = True
        if self._exchange is not None:
            self._exchange.pause()

    def client_resumed(self) -> None:
        self._paused = False
        if self._exchange is not None:
            self._exchange.resume()

    # -- settling ------------------------------------------------------------------------------------------------------

    def abort_upstream(self) -> None:
        """Stop the engine's work; the answer goes no further."""
        if self._exchange is not None:
            self._exchange.abort()
            self._exchange = None

    def broke(self) -> None:
        """The answer broke after its first byte: the replica's fault, told with the ticket of its success."""
        self._record(Outcome.CUT_SHORT.verdict)

    def is_engines_fault(self, error: EngineError) -> bool:
        """Whether an error counts against its replica: not when the client's own deadline or reading ended it."""
        line, bounds = self.line, self.deadlines
        assert line is not None
        match error:
            case TotalTimeout() | ClientStalled():
                return False
            case FirstByteTimeout():
                return bounds is None or bounds.first_byte_s >= line.deadlines.first_byte_s
            case IdleTimeout():
                return bounds is None or bounds.idle_s >= line.deadlines.idle_s
            case _:
                return True

    def settle(self, status: int) -> None:
        """Close the account: called once for every request, by whoever ends it."""
        if self.settled:
            return
        self.settled = True
        self.answer_status = status
        self.finished_s = now = clock.monotonic()
        self._release(now)
        # A call knows its sink, the sink its flight: without this cut each request would be garbage for the collector,
        # which would stop all streams for 50 ms now and then (measured) to find it.
        self._exchange = None
        self._settlement.settle(self)

    def _record(self, verdict: Verdict, now: float | None = None) -> None:
        line = self.line
        if line is not None:
            at = clock.monotonic() if now is None else now
            line.endpoint.state.breaker.record(self._ticket, verdict, at, self._rng)

    def _release(self, now: float) -> None:
        """Give back what `_send` took for the attempt in progress, if there is one."""
        line = self.line
        if line is None or not self._charged:
            return
        self._charged = False
        if self.first_byte_s:
            line.endpoint.state.release(0, self.output_tokens)
        else:
            line.endpoint.state.release(self.prompt_tokens, self.output_tokens)
        line.series.in_flight -= 1
        if line.meter is not None:
            self.cost_usd = line.meter.finish(self._mark, now) + (self.cost_usd or 0.0)

    def head_down(self) -> bytes:
        """The gateway's own response headers."""
        line = self.line
        if line is None or not self.attempts:
            return b"x-request-id: %b\r\n" % self.request_id
        return b"x-request-id: %b\r\n%bx-penstock-attempts: %d\r\nx-penstock-overhead-ms: %.3f\r\n" % (
            self.request_id,
            line.headers,
            self.attempts,
            (self.first_dispatch_s - self.received_s) * 1e3,
        )


FORWARDED = frozenset(
    {
        b"traceparent",
        b"tracestate",
        b"x-session-id",
        b"anthropic-version",
        b"anthropic-beta",
        b"openai-beta",
    }
)
"""Request headers that mean something to an engine. Credentials, cookies and hop-by-hop headers never go up."""
