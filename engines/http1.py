"""The lean HTTP/1.1 client: one connection, one request at a time, answers pushed to a `Sink`.

State of a connection:

    OPEN ──send──> BUSY ──answer whole, keep-alive──> OPEN
      │              └─ answer whole, close / error / abort / deadline ──> CLOSED
      └─ idle too long, closed by the peer, a byte nobody asked for ──> CLOSED

Promises, each with a test:
- the sink hears `head`, `data`..., then exactly one of `done` and `failed`, and nothing after `abort`;
- the connection goes back to its pool only when both the request was wholly written and the answer wholly read;
- a byte that arrives while no request is in flight closes the connection (it could only be a smuggled answer);
- an answer that both chunks and counts its body, or counts it twice, is refused, and so is one over the header limit.

Framing is httptools' (llhttp, strict): 0.3 us per chunk, measured. httptools has no end-of-input call, so a body
delimited by close is ended in `connection_lost`; and it sets no limit on headers, so we do.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import httptools

from engines.errors import (
    AnswerTruncated,
    BadAnswer,
    ConnectionLost,
    EngineError,
    FirstByteTimeout,
    IdleTimeout,
    TotalTimeout,
)
from engines.lazy_timer import NEVER, LazyTimer

if TYPE_CHECKING:
    from engines.model import Deadlines
    from engines.pool import Pool
    from engines.port import Sink

MAX_HEAD_BYTES = 64 * 1024
REPLAY_WINDOW_S = 0.02
"""A reused connection that closes, unanswered, this soon after the write was being closed as we wrote."""
SMALL_BODY_BYTES = 32 * 1024


class Call:
    """One request on its way: an `Exchange` that may still wait for a connection."""

    __slots__ = ("body", "connection", "deadlines", "finished", "head", "replayed", "sink", "started_at")

    def __init__(self, head: bytes, body: bytes, deadlines: Deadlines, sink: Sink, started_at: float) -> None:
        self.head = head
        self.body = body
        self.deadlines = deadlines
        self.sink = sink
        self.started_at = started_at
        self.connection: Connection | None = None
        self.replayed = False
        self.finished = False

    def pause(self) -> None:
        if self.connection is not None:
            self.connection.pause()

    def resume(self) -> None:
        if self.connection is not None:
            self.connection.resume()

    def abort(self) -> None:
        if self.finished:
            return
        self.finished = True
        if self.connection is not None:
            self.connection.abort()

    def fail(self, error: EngineError) -> None:
        """Tell the sink, once."""
        if not self.finished:
            self.finished = True
            self.sink.failed(error)


class Connection(asyncio.Protocol):
    """One keep-alive connection to one origin."""

    __slots__ = (
        "_answered",
        "_call",
        "_chunked",
        "_excess",
        "_head_bytes",
        "_headers",
        "_keep_alive",
        "_length",
        "_loop",
        "_parser",
        "_pausing",
        "_pool",
        "_saw_body",
        "_saw_byte",
        "_saw_head",
        "_sent_at",
        "_timer",
        "_transport",
        "_until_close",
        "closed",
        "counted",
        "reused",
    )

    def __init__(self, pool: Pool, loop: asyncio.AbstractEventLoop) -> None:
        self._pool = pool
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._timer = LazyTimer(loop, self._expired)
        self._call: Call | None = None
        self.closed = False
        self.counted = True
        self.reused = False
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._saw_byte = self._saw_head = self._saw_body = False
        self._chunked = self._until_close = self._pausing = False
        self._answered = self._excess = self._keep_alive = False
        self._length: bytes | None = None
        self._sent_at = 0.0

    # -- what the pool and the call use ------------------------------------------------------------------------

    def send(self, call: Call) -> None:
        """Write the request. The connection must be open and free."""
        transport = self._transport
        assert transport is not None
        self._call = call
        call.connection = self
        self._headers = []
        self._head_bytes = 0
        self._saw_byte = self._saw_head = self._saw_body = False
        self._chunked = self._until_close = self._answered = self._excess = False
        self._length = None
        self._sent_at = now = self._loop.time()
        deadlines = call.deadlines
        deadline = now + deadlines.first_byte_s
        if deadlines.total_s is not None:
            deadline = min(deadline, call.started_at + deadlines.total_s)
        self._timer.set(deadline)
        # One buffer for a small request: a second one would cost a second write call to the kernel.
        if len(call.body) <= SMALL_BODY_BYTES:
            transport.write(call.head + call.body)
        else:
            transport.write(call.head)
            transport.write(call.body)

    def pause(self) -> None:
        if not self._pausing and self._transport is not None and not self.closed:
            self._pausing = True
            self._transport.pause_reading()
            self._move_deadline()

    def resume(self) -> None:
        if self._pausing and self._transport is not None and not self.closed:
            self._pausing = False
            self._transport.resume_reading()
            self._move_deadline()

    def abort(self) -> None:
        """Close now; what is in flight is lost, which tells the engine to stop working on it."""
        self._close()

    def keep_idle(self, deadline: float) -> None:
        """Stay open without a request until this loop time."""
        self.reused = True
        self._timer.set(deadline)

    # -- asyncio.Protocol --------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast("asyncio.Transport", transport)  # uvloop registers no subclass

    def data_received(self, data: bytes) -> None:
        if self._call is None:
            self._close()
            return
        self._saw_byte = True
        if not self._saw_head:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            self._fail(cause if isinstance(cause, EngineError) else BadAnswer("the engine's answer could not be read"))
            if cause is not None and not isinstance(cause, EngineError):
                raise
        except httptools.HttpParserUpgrade:
            self._fail(BadAnswer("the engine wants to switch protocols"))
        except httptools.HttpParserError as error:
            self._fail(self._broken(f"the engine's answer is not valid HTTP: {error}"))
        else:
            if self._answered:
                self._finish()
            elif self._saw_body:
                self._move_deadline()
            elif self._head_bytes > MAX_HEAD_BYTES and not self._saw_head:
                self._fail(BadAnswer(f"the engine's response headers are over {MAX_HEAD_BYTES} bytes"))

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._timer.cancel()
        call, self._call = self._call, None
        self._pool.lost(self)
        if call is None or call.finished:
            return
        if self._saw_head and self._until_close and exc is None:
            call.finished = True
            call.sink.done()
        elif self._saw_body:
            call.fail(AnswerTruncated("the engine closed the connection in the middle of its answer"))
        elif (
            self.reused
            and not self._saw_byte
            and not call.replayed
            and self._loop.time() - self._sent_at < REPLAY_WINDOW_S
        ):
            # RFC 9110 section 9.2.2 forbids repeating a POST unless we know it was not acted on; a kept-alive
            # connection that the server closed while we wrote is the one such case.
            call.replayed = True
            call.connection = None
            self._pool.send_fresh(call)
        else:
            call.fail(ConnectionLost("the engine closed the connection before answering"))

    # -- httptools callbacks -----------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._answered:
            self._excess = True  # bytes past the answer, in the same read: the answer stands, the connection does not

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"content-length":
            if self._length is not None:
                raise BadAnswer("the engine sent two content-length headers")
            self._length = value
        elif name == b"transfer-encoding":
            if self._chunked or value.lower() != b"chunked":
                raise BadAnswer("the engine used a transfer coding other than chunked")
            self._chunked = True
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        call = self._call
        if call is None or self._answered:
            return
        status = self._parser.get_status_code()
        if status < 200:
            # An interim answer (RFC 9110 section 15.2): skip it and wait for the final one.
            if status == 101:
                raise BadAnswer("the engine wants to switch protocols")
            self._headers = []
            self._length = None
            self._chunked = False
            return
        if self._chunked and self._length is not None:
            raise BadAnswer("the engine sent both content-length and transfer-encoding")
        if self._head_bytes > MAX_HEAD_BYTES and sum(len(n) + len(v) for n, v in self._headers) > MAX_HEAD_BYTES:
            raise BadAnswer(f"the engine's response headers are over {MAX_HEAD_BYTES} bytes")
        self._saw_head = True
        self._until_close = not self._chunked and self._length is None and status not in (204, 304)
        call.sink.head(status, self._headers)

    def on_body(self, body: bytes) -> None:
        call = self._call
        if call is not None and not self._answered:
            self._saw_body = True
            call.sink.data(body)

    def on_message_complete(self) -> None:
        if self._saw_head and not self._answered:
            self._answered = True
            self._keep_alive = self._parser.should_keep_alive()  # the parser forgets once it has returned

    # -- inside ------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Give the connection back and end the call; only after the parser has returned, so that bytes past the
        answer can never be read as the answer to the next request."""
        call, self._call = self._call, None
        transport = self._transport
        if call is None or transport is None:
            return
        call.connection = None
        keep = (
            self._keep_alive
            and not self._excess
            and not self.closed
            and not self._until_close
            and transport.get_write_buffer_size() == 0
            and not transport.is_closing()
        )
        if self._pausing:
            self._pausing = False
            if keep:
                transport.resume_reading()
        if keep:
            self._pool.release(self)
        else:
            self._close()
        if not call.finished:
            call.finished = True
            call.sink.done()

    def _move_deadline(self) -> None:
        call = self._call
        if call is None:
            return
        deadlines = call.deadlines
        deadline = self._loop.time() + (deadlines.idle_s if self._saw_body else deadlines.first_byte_s)
        if deadlines.total_s is not None:
            deadline = min(deadline, call.started_at + deadlines.total_s)
        self._timer.set(deadline)

    def _expired(self) -> None:
        call = self._call
        if call is None:
            self._close()
            return
        deadlines = call.deadlines
        now = self._loop.time()
        if deadlines.total_s is not None and now >= call.started_at + deadlines.total_s:
            self._fail(TotalTimeout(f"no complete answer within {deadlines.total_s:g} s"))
        elif self._pausing:
            self._fail(IdleTimeout(f"the client read nothing for {deadlines.idle_s:g} s"))
        elif self._saw_body:
            self._fail(IdleTimeout(f"the engine sent nothing for {deadlines.idle_s:g} s"))
        else:
            self._fail(FirstByteTimeout(f"the engine sent no answer within {deadlines.first_byte_s:g} s"))

    def _broken(self, message: str) -> EngineError:
        return AnswerTruncated(message) if self._saw_body else BadAnswer(message)

    def _fail(self, error: EngineError) -> None:
        call, self._call = self._call, None
        self._close()
        if call is not None:
            if self._saw_body and isinstance(error, BadAnswer):
                error = AnswerTruncated(str(error))
            call.connection = None
            call.fail(error)

    def _close(self) -> None:
        self._call = None
        self._timer.set(NEVER)
        if not self.closed:
            self.closed = True
            self._pool.lost(self)
            if self._transport is not None:
                self._transport.abort()
