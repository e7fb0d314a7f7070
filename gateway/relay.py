"""The answer on its way to the client. Bytes pass as they came; whole events are the smallest thing ever written.

`StreamRelay` holds back the trailing incomplete event, so that an error can always be appended cleanly; it reads only
events that may say how the stream ends, and it enforces the one rule every format shares: a stream succeeds only if
its engine said so. `PlainRelay` holds an answer until it is whole (then its cost is known when its head leaves), up to
`HOLD_BYTES`; a larger one passes through.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from engines.errors import ClientStalled, EngineError, IdleTimeout, TotalTimeout
from engines.sse import payload, split, whole_events
from engines.wire import Finding, WireFormat
from gateway import clock
from gateway.errors import Failure
from gateway.reply import UNCACHED

if TYPE_CHECKING:
    from engines.port import Headers
    from gateway.attempt import Attempt
    from gateway.reply import Reply

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


class Account(Protocol):
    """The request that an answer is for: what it asked, and who closes its account."""

    error_kind: str

    @property
    def model(self) -> str: ...
    @property
    def settled(self) -> bool: ...
    @property
    def cost_usd(self) -> float | None:
        """Known once it is settled."""

    @property
    def asked_usage(self) -> bool:
        """Whether the usage event is the client's."""

    @property
    def choices(self) -> int:
        """How many choices must finish; 0 where an answer has just one end."""

    def head_down(self) -> bytes:
        """The gateway's own response headers."""

    def settle(self, status: int) -> None: ...

    def fail(self, failure: Failure) -> None:
        """Tell the client, in whatever way is still open, and settle."""

    def refuse_stream(self, status: int, body: bytes) -> None:
        """The stream's first event is an error, and nothing has left."""


class StreamRelay:
    """A `Sink` for the events of one stream."""

    __slots__ = (
        "_account",
        "_asked_usage",
        "_attempt",
        "_ended",
        "_error",
        "_finished",
        "_format",
        "_held",
        "_ordinary_tail",
        "_out",
        "_reply",
    )

    def __init__(self, account: Account, attempt: Attempt, reply: Reply, wire_format: WireFormat) -> None:
        self._account = account
        self._attempt = attempt
        self._reply = reply
        self._format = wire_format
        reply.begin(attempt.status, passed_headers(attempt.headers) + UNCACHED + account.head_down())
        self._held = b""
        self._out = reply.events
        self._ordinary_tail = NEVER_A_TAIL
        self._ended = False
        self._error = False
        self._finished: frozenset[bytes] = frozenset()
        self._asked_usage = account.asked_usage

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
        if self._out:
            self._reply.flush()

    def done(self) -> None:
        if self._held:
            # Some servers leave the last blank line out; the body ended as promised, so the event is whole.
            rest, self._held = self._held.rstrip(b"\r\n"), b""
            if rest:
                self.data(rest + b"\n\n")
        if self._account.settled:
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
            self._broken(kind_of(error), str(error), blame=self._attempt.is_engines_fault(error))

    def _read(self, block: bytes) -> bytes:
        """Note what the events say; return those that pass."""
        passed: list[bytes] = []
        account, attempt = self._account, self._attempt
        for event in split(block):
            finding = self._format.read_event(event)
            if finding.usage is not None:
                usage = finding.usage
                attempt.usage = usage if attempt.usage is None else attempt.usage.merged(usage)
                if finding.usage_only:
                    if not self._asked_usage:
                        continue
                    event = with_cost(event, attempt)
            if finding.finish_reason:
                attempt.finish_reason = finding.finish_reason
                self._finished |= finding.finished
                attempt.last_content_s = clock.monotonic()
            if finding.error:
                self._error = True
                account.error_kind = "engine_error"
                if self._reply.untold and not passed:
                    # Nothing has left yet: this can still be an honest HTTP error.
                    account.refuse_stream(finding.error_status or 502, payload(event))
                    return b""
                for secret in attempt.upstream.engine.secrets:
                    event = event.replace(secret, b"***")
            if finding.ends:
                if self._error or not attempt.finish_reason:
                    continue  # vLLM sends [DONE] after an error too: it must not claim success
                self._ended = True
            passed.append(event)
        return b"".join(passed)

    def _is_whole(self) -> bool:
        """Whether the engine said how its answer ended: with its marker, or of each choice that was asked for."""
        if self._ended or not self._attempt.finish_reason:
            return self._ended
        return len(self._finished) >= self._account.choices

    def _broken(self, kind: str, message: str, *, blame: bool = True) -> None:
        """Tell the client inside its stream, and end it without a success marker."""
        self._held = b""
        if blame:
            self._attempt.broke()
        self._attempt.stop()
        self._account.fail(Failure(kind, f"model {self._account.model!r}: {message}"))

    def _finish(self) -> None:
        self._account.settle(200)
        self._reply.end()


class PlainRelay:
    """A `Sink` for an answer that is one document."""

    __slots__ = ("_account", "_attempt", "_format", "_parts", "_passing", "_reply", "_size", "_tail")

    def __init__(self, account: Account, attempt: Attempt, reply: Reply, wire_format: WireFormat) -> None:
        self._account = account
        self._attempt = attempt
        self._reply = reply
        self._format = wire_format
        self._parts: list[bytes] = []
        self._size = 0
        self._passing = False
        self._tail = b""

    def head(self, status: int, headers: Headers) -> None:
        raise AssertionError("the head came before the relay")

    def data(self, data: bytes) -> None:
        if self._passing:
            self._tail = (self._tail + data)[-TAIL_BYTES:]
            self._reply.pass_on(0, b"", data)
            return
        self._parts.append(data)
        self._size += len(data)
        if self._size > HOLD_BYTES:
            whole = b"".join(self._parts)
            self._parts.clear()
            self._passing = True
            self._tail = whole[-TAIL_BYTES:]
            attempt = self._attempt
            self._reply.pass_on(attempt.status, passed_headers(attempt.headers) + self._account.head_down(), whole)

    def flush(self) -> None:
        pass

    def done(self) -> None:
        account, attempt = self._account, self._attempt
        if self._passing:
            self._take(self._format.read_answer(usage_in(self._tail)))
            account.settle(attempt.status)
            self._reply.end()
            return
        parts = self._parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        self._take(self._format.read_answer(body))
        account.settle(attempt.status)
        headers = passed_headers(attempt.headers) + account.head_down()
        cost_usd = account.cost_usd
        if cost_usd is not None:
            headers += b"x-penstock-cost-usd: %.9g\r\n" % cost_usd
        self._reply.respond(attempt.status, headers, body)

    def failed(self, error: EngineError) -> None:
        if self._attempt.is_engines_fault(error):
            self._attempt.broke()
        self._account.fail(Failure(kind_of(error), f"model {self._account.model!r}: {error}"))

    def _take(self, finding: Finding) -> None:
        self._attempt.usage = finding.usage
        self._attempt.finish_reason = finding.finish_reason
        if finding.error:
            self._account.error_kind = "engine_error"


def with_cost(event: bytes, attempt: Attempt) -> bytes:
    """The usage event with the price of the answer in it: a stream's head left before its cost was known."""
    rates, usage = attempt.upstream.rates, attempt.usage
    if rates is None or usage is None:
        return event
    return event.replace(b'"usage":{"', b'"usage":{"cost_usd":%.9g,"' % rates.cost_usd(usage), 1)


def usage_in(tail: bytes) -> bytes:
    """The last `usage` member of a document whose end is `tail`, as a document of its own (it may not parse)."""
    at = tail.rfind(b'"usage"')
    return b"{" + tail[at:] if at >= 0 else b"{}"


def kind_of(error: EngineError) -> str:
    """The row of `gateway.errors` for an answer that broke after its first byte."""
    if isinstance(error, ClientStalled):
        return "client_stalled"
    return "timeout" if isinstance(error, (IdleTimeout, TotalTimeout)) else "answer_truncated"
