"""One connection to the target and the answer that arrives on it: bytes in, a filled record out.

Every read has one time stamp, taken before anything is parsed, and all events of the read share it: they arrived
together. A connection carries one exchange at a time, and goes back to the pool only after an answer that ended as HTTP
says it must, with nothing behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic_ns
from typing import Protocol, cast

import httptools

from loadtests.client.delta import CONTENT, NOTHING, REASONING, BadEvent, DeltaReader, Usage, read_plain
from loadtests.client.record import Record
from loadtests.client.sse import SseOverflow, SseReader

MAX_BODY_BYTES = 64 * 1024 * 1024
"""An unstreamed answer beyond this is `bad_response`."""
_TOLD_PIECES = 16
"""Pieces of a failed answer's body that are looked at to say what it was."""
MAX_LABEL = 128
"""Characters kept of a response header."""

Done = Callable[[Record, str], None]
"""Called once with the finished record and, if it was asked for, the text of the answer."""

_LABELS = {
    b"x-penstock-engine": "engine",
    b"x-penstock-replica": "replica",
    b"x-penstock-arm": "arm",
    b"x-request-id": "request_id",
}


class Exchange:
    """One request on its way."""

    __slots__ = ("connection", "done", "keep_text", "over", "record", "said", "stream", "timer")

    def __init__(self, record: Record, done: Done, *, stream: bool, keep_text: bool) -> None:
        self.record = record
        self.done = done
        self.stream = stream
        self.keep_text = keep_text
        self.timer: asyncio.TimerHandle | None = None
        self.connection: Connection | None = None
        self.over = False
        self.said = b""
        """What the target, or the operating system, said of a failure."""


class Owner(Protocol):
    """What a connection needs of the client."""

    def opened(self, connection: Connection) -> None: ...
    def released(self, connection: Connection) -> None:
        """It is free for the next exchange."""

    def closed(self, connection: Connection) -> None: ...
    def finish(self, exchange: Exchange, error: str, text: str) -> None: ...


class Connection(asyncio.Protocol):
    """See the module. `begin` only when it is free."""

    transport: asyncio.Transport

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._exchange: Exchange | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._feed = self._parser.feed_data
        self._stamp = 0

    def begin(self, exchange: Exchange, wire: bytes) -> None:
        """Send a request; the answer belongs to `exchange`."""
        self._exchange = exchange
        self._record = exchange.record
        exchange.connection = self
        self._status = 0
        self._sized = False
        self._complete = False
        self._keep = False
        self._doomed = False
        self._content_type = b""
        self._events: SseReader | None = None
        self._deltas = DeltaReader(exchange.keep_text)
        self._read = self._deltas.read
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._gaps: list[int] = []
        self._ck = 0
        self._bore = NOTHING
        self._failure = ""
        self._telling = b""
        self.transport.write(wire)

    def give_up(self, error: str) -> None:
        """Close at once. The exchange, if there is one, ends with `error` and with what had arrived."""
        self.transport.abort()
        self._conclude(error)

    # -- asyncio.Protocol --------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is not derived from it
        self._owner.opened(self)

    def data_received(self, data: bytes) -> None:
        self._stamp = monotonic_ns()
        if self._exchange is None:
            self.transport.abort()  # an answer to nothing
            return
        try:
            self._feed(data)
        except httptools.HttpParserCallbackError:
            raise  # ours, not the target's
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.give_up("bad_response")
            return
        if self._complete:
            self._body_ended(self._stamp)
        elif self._doomed:
            self.give_up(self._failure)

    def connection_lost(self, exc: Exception | None) -> None:
        self._owner.closed(self)
        if self._exchange is None:
            return
        if not self._status:
            self._conclude("reset")
        elif self._sized or exc is not None:
            self._conclude("truncated")
        else:
            self._keep = False
            self._body_ended(monotonic_ns())  # a body without a length lasts as long as the connection

    # -- httptools ---------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._keep = False  # and if one is complete already, this is one too many

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._complete:
            return
        name = name.lower()
        if name in _LABELS:
            setattr(self._record, _LABELS[name], value.decode("latin-1")[:MAX_LABEL])
        elif name == b"content-type":
            self._content_type = value.lower()
        elif name in (b"content-length", b"transfer-encoding"):
            self._sized = True
        elif name == b"x-penstock-attempts":
            self._record.attempts = int(value) if value.isdigit() and len(value) < 10 else 0
        elif name == b"retry-after":
            self._record.retry_after_s = _seconds(value)

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self._complete or status < 200:  # 1xx is not the answer yet
            return
        self._status = status
        if status < 300 and self._content_type.startswith(b"text/event-stream"):
            self._events = SseReader()

    def on_body(self, body: bytes) -> None:
        events = self._events
        if events is None:
            self._keep_body(body)
            return
        try:
            arrived = events.feed(body)
        except SseOverflow:
            self._failure = self._failure or "bad_event"
            self._doomed = True
            return
        stamp = self._stamp
        for name, data in arrived:
            try:
                bears = self._read(name, data)
            except BadEvent:
                self._failure = self._first_failure("bad_event")
                self._telling = self._telling or data
                continue
            if self._deltas.failed:
                self._telling = self._telling or data
            if bears:
                if self._ck:
                    self._gaps.append(stamp - self._ck)
                else:
                    self._record.c1 = stamp
                self._ck = stamp
                if bears & ~self._bore:
                    self._bears_first(bears, stamp)

    def on_message_complete(self) -> None:
        if self._status:
            self._complete = True
            self._keep = self._parser.should_keep_alive()

    # ----------------------------------------------------------------------------------------------------------------

    def _keep_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > MAX_BODY_BYTES:
            self._failure = self._failure or "bad_response"
            self._doomed = True
        elif not self._complete:
            self._body.append(body)

    def _bears_first(self, bears: int, stamp: int) -> None:
        new = bears & ~self._bore
        self._bore |= bears
        if new & REASONING:
            self._record.first_reasoning = stamp
        if new & CONTENT:
            self._record.first_content = stamp

    def _body_ended(self, at_ns: int) -> None:
        self._record.te = at_ns
        self._conclude(self._verdict())

    def _verdict(self) -> str:
        """What a body that ended as it must amounts to; plain answers are judged where they are read."""
        if not 200 <= self._status < 300:
            return f"http_{self._status}"
        if self._events is None:
            assert self._exchange is not None
            return "not_sse" if self._exchange.stream else ""
        return "" if self._deltas.finish_reason else "no_finish"

    def _first_failure(self, later: str) -> str:
        return self._failure or ("in_stream" if self._deltas.failed else later)

    def _conclude(self, error: str) -> None:
        """Fill in the record, and let the connection go before `done`, which may want it for the next request."""
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        exchange.connection = None
        record, deltas = self._record, self._deltas
        error = self._first_failure(error)
        record.status = self._status
        if self._ck:
            record.ck = self._ck
            record.gaps = self._gaps
            record.chunks = len(self._gaps) + 1
            record.max_gap_ns = max(self._gaps, default=0)
        usage, record.finish_reason = deltas.usage, deltas.finish_reason
        text = "".join(deltas.texts or ())
        if not error and self._events is None:
            try:
                answer = read_plain(b"".join(self._body))
            except BadEvent:
                error = "bad_response"
            else:
                usage, record.finish_reason, text = answer.usage, answer.finish_reason, answer.text
        if usage is not None:
            _note(record, usage)
        if error:
            exchange.said = self._telling or b"".join(self._body[:_TOLD_PIECES])
        if self._keep and not self.transport.is_closing():
            self._owner.released(self)
        elif not self.transport.is_closing():
            self.transport.close()
        self._owner.finish(exchange, error, text if exchange.keep_text else "")


def _note(record: Record, usage: Usage) -> None:
    record.tokens = usage.completion_tokens
    record.prompt_tokens = usage.prompt_tokens
    record.cached_tokens = usage.cached_tokens


def _seconds(value: bytes) -> float | None:
    """`Retry-After` in seconds; a date is not read."""
    try:
        wait_s = float(value)
    except ValueError:
        return None
    return wait_s if 0 <= wait_s < float("inf") else None
