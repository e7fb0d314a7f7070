"""The answer on its way to the client. Bytes pass as they came; whole events are the smallest thing ever written.

`StreamRelay` holds back the trailing incomplete event, so that an error can always be appended cleanly; it reads only
events that may say how the stream ends, and it enforces the one rule every format shares: a stream succeeds only if
its engine said so. `PlainRelay` holds an answer until it is whole (then its cost is known when its head leaves), up to
`HOLD_BYTES`; a larger one passes through.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engines.errors import ClientStalled, EngineError, IdleTimeout, TotalTimeout
from engines.sse import payload, split, whole_events
from engines.wire import Finding
from gateway import clock, envelope
from gateway.errors import Failure

if TYPE_CHECKING:
    from engines.port import Headers
    from gateway.flight import Flight

NEVER_A_TAIL = b"\0"
"""No event ends so: nothing is ordinary yet."""
HOLD_BYTES = 256 * 1024
TAIL_BYTES = 16 * 1024
"""Of an answer too large to hold, this much of its end is kept to find the usage in."""
MAX_EVENT_BYTES = 8 * 1024 * 1024
"""A `response.completed` event repeats the whole answer, so events can be large; an endless one must still end."""

PASSED = frozenset(
    {
        b"content-type",
        b"openai-processing-ms",
        b"openai-version",
        b"openai-organization",
        b"request-id",
        b"endpoint-load-metrics",
        b"content-encoding",
    }
)
"""Response headers that are the client's business; `x-ratelimit-*` and `anthropic-ratelimit-*` are too."""
USUAL = frozenset({b"date", b"server", b"content-length", b"transfer-encoding", b"connection", b"vary"})
"""What nearly every engine sends and no client of ours should see; only spares a search."""


def passed_headers(headers: Headers) -> bytes:
    """The engine's headers that go to the client, as a block."""
    block = b""
    for name, value in headers:
        if name not in USUAL and (name in PASSED or b"ratelimit-" in name):
            block += b"%b: %b\r\n" % (name, value)
    return block


class StreamRelay:
    """A `Sink` for the events of one stream."""

    __slots__ = (
        "_asked_usage",
        "_connection",
        "_ended",
        "_error",
        "_finished",
        "_flight",
        "_format",
        "_head",
        "_held",
        "_ordinary_tail",
        "_out",
    )

    def __init__(self, flight: Flight, status: int, headers: Headers) -> None:
        self._flight = flight
        self._connection = flight.request.connection
        self._format = flight.wire_format
        self._head: tuple[int, bytes] | None = (
            status,
            passed_headers(headers) + b"cache-control: no-cache\r\nx-accel-buffering: no\r\n" + flight.head_down(),
        )
        self._held = b""
        self._out: list[bytes] = []
        """Whole events that leave when the read they came in is over."""
        self._ordinary_tail = NEVER_A_TAIL
        self._ended = False
        self._error = False
        self._finished: frozenset[bytes] = frozenset()
        parsed = flight.envelope
        self._asked_usage = flight.operation not in envelope.STREAMS_WITH_OPTIONS or envelope.asks_usage(parsed)

    def head(self, status: int, headers: Headers) -> None:
        raise AssertionError("the head came before the relay")

    def data(self, data: bytes) -> None:
        # Nearly every block is one event that ends as an ordinary one did before: two searches, 0.2 us.
        if data.endswith(self._ordinary_tail) and not self._held and data.count(b"\n\n") == 1:
            self._out.append(data)
            return
        held = self._held
        if held:
            data = held + data
        size = whole_events(data)
        if size != len(data):
            self._held = data[size:]
            if len(self._held) > MAX_EVENT_BYTES:
                self._broken("answer_truncated", f"the engine sent an event over {MAX_EVENT_BYTES} bytes")
                return
            if not size:
                return
            data = data[:size]
        elif held:
            self._held = b""
        if self._format.may_matter(data):
            data = self._read(data)
            if not data:
                return
        else:
            self._ordinary_tail = self._format.ordinary_tail(data) or NEVER_A_TAIL
        self._out.append(data)

    def flush(self) -> None:
        out = self._out
        if not out:
            return
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        if self._head is None:
            self._connection.write(data)
        else:
            status, headers = self._head
            self._head = None
            self._connection.begin_stream(status, headers, data)

    def done(self) -> None:
        if self._held:
            # Some servers leave the last blank line out; the body ended as promised, so the event is whole.
            rest, self._held = self._held.rstrip(b"\r\n"), b""
            if rest:
                self.data(rest + b"\n\n")
        flight = self._flight
        if flight.settled:
            return
        if not self._error and not self._is_whole():
            self._broken("no_finish_reason", "the engine's stream ended without a finish reason")
            return
        if not self._error and not self._ended and self._format.end_marker:
            self._out.append(self._format.end_marker)
        self._finish()

    def failed(self, error: EngineError) -> None:
        self._held = b""
        if self._error or self._is_whole():
            self.done()  # the engine had said how it ended; only the end of the body was lost
        else:
            self._broken(kind_of(error), str(error), blame=self._flight.is_engines_fault(error))

    def _read(self, block: bytes) -> bytes:
        """Note what the events say; return those that pass."""
        passed: list[bytes] = []
        flight = self._flight
        for event in split(block):
            finding = self._format.read_event(event)
            if finding.usage is not None:
                usage = finding.usage
                flight.usage = usage if flight.usage is None else flight.usage.merged(usage)
                if finding.usage_only:
                    if not self._asked_usage:
                        continue
                    event = with_cost(event, flight)
            if finding.finish_reason:
                flight.finish_reason = finding.finish_reason
                self._finished |= finding.finished
                flight.last_content_s = clock.monotonic()
            if finding.error:
                self._error = True
                flight.error_kind = "engine_error"
                if self._head is not None and not passed and not self._out:
                    # Nothing has left yet: this can still be an honest HTTP error.
                    flight.refuse_stream(finding.error_status or 502, payload(event))
                    return b""
                assert flight.line is not None
                for secret in flight.line.engine.secrets:
                    event = event.replace(secret, b"***")
            if finding.ends:
                if self._error or not flight.finish_reason:
                    continue  # vLLM sends [DONE] after an error too: it must not claim success
                self._ended = True
            passed.append(event)
        return b"".join(passed)

    def _is_whole(self) -> bool:
        """Whether the engine said how its answer ended: with its marker, or of each choice that was asked for."""
        flight = self._flight
        if self._ended or not flight.finish_reason:
            return self._ended
        if flight.operation not in envelope.STREAMS_WITH_OPTIONS:
            return True
        return len(self._finished) >= envelope.choices(flight.request.body)

    def _broken(self, kind: str, message: str, *, blame: bool = True) -> None:
        """Tell the client inside its stream, and end it without a success marker."""
        flight = self._flight
        self._held = b""
        failure = Failure(kind, f"model {flight.model!r}: {message}")
        if blame:
            flight.broke()
        flight.abort_upstream()
        if self._head is not None and not self._out:
            flight.fail(failure)
            return
        flight.error_kind = kind
        self._out.append(self._format.error_event(failure.api_error))
        self._finish()

    def _finish(self) -> None:
        out, connection = self._out, self._connection
        last = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        self._flight.settle(200)
        if self._head is not None:
            connection.begin_stream(*self._head, last)
            self._head = None
            last = b""
        connection.end_stream(last)


class PlainRelay:
    """A `Sink` for an answer that is one document."""

    __slots__ = ("_connection", "_flight", "_headers", "_length", "_parts", "_passing", "_size", "_status", "_tail")

    def __init__(self, flight: Flight, status: int, headers: Headers) -> None:
        self._flight = flight
        self._connection = flight.request.connection
        self._status = status
        self._headers = headers
        self._parts: list[bytes] = []
        self._size = 0
        self._passing = False
        self._tail = b""

    def head(self, status: int, headers: Headers) -> None:
        raise AssertionError("the head came before the relay")

    def data(self, data: bytes) -> None:
        if self._passing:
            self._tail = (self._tail + data)[-TAIL_BYTES:]
            self._connection.write(data)
            return
        self._parts.append(data)
        self._size += len(data)
        if self._size > HOLD_BYTES:
            whole = b"".join(self._parts)
            self._parts.clear()
            self._passing = True
            self._tail = whole[-TAIL_BYTES:]
            self._connection.begin_stream(self._status, passed_headers(self._headers) + self._flight.head_down(), whole)

    def flush(self) -> None:
        pass

    def done(self) -> None:
        flight = self._flight
        if self._passing:
            self._take(flight.wire_format.read_answer(usage_in(self._tail)))
            flight.settle(self._status)
            self._connection.end_stream()
            return
        parts = self._parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        self._take(flight.wire_format.read_answer(body))
        flight.settle(self._status)
        headers = passed_headers(self._headers) + flight.head_down()
        cost_usd = flight.cost_usd
        if cost_usd is not None:
            headers += b"x-penstock-cost-usd: %.9g\r\n" % cost_usd
        self._connection.respond(self._status, headers, body)

    def failed(self, error: EngineError) -> None:
        flight = self._flight
        kind = kind_of(error)
        if flight.is_engines_fault(error):
            flight.broke()
        if self._passing:
            # A document cannot carry an error at its end: the missing last chunk is the sign.
            flight.error_kind = kind
            flight.settle(self._status)
            self._connection.cut()
        else:
            flight.fail(Failure(kind, f"model {flight.model!r}: {error}"))

    def _take(self, finding: Finding) -> None:
        flight = self._flight
        flight.usage = finding.usage
        flight.finish_reason = finding.finish_reason
        if finding.error:
            flight.error_kind = "engine_error"


def with_cost(event: bytes, flight: Flight) -> bytes:
    """The usage event with the price of the answer in it: a stream's head left before its cost was known."""
    line, usage = flight.line, flight.usage
    if line is None or line.rates is None or usage is None:
        return event
    return event.replace(b'"usage":{"', b'"usage":{"cost_usd":%.9g,"' % line.rates.cost_usd(usage), 1)


def usage_in(tail: bytes) -> bytes:
    """The last `usage` member of a document whose end is `tail`, as a document of its own (it may not parse)."""
    at = tail.rfind(b'"usage"')
    return b"{" + tail[at:] if at >= 0 else b"{}"


def kind_of(error: EngineError) -> str:
    """The row of `gateway.errors` for an answer that broke after its first byte."""
    if isinstance(error, ClientStalled):
        return "client_stalled"
    return "timeout" if isinstance(error, (IdleTimeout, TotalTimeout)) else "answer_truncated"
