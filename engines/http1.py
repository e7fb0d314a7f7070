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
    ClientStalled,
    ConnectionLost,
    EngineError,
    FirstByteTimeout,
    IdleTimeout,
    TotalTimeout,
)
from engines.lazy_timer import NEVER, LazyTimer
from engines.outbox import outbox

if TYPE_CHECKING:
    from engines.model import Deadlines
    from engines.pool import Pool
    from engines.port import Sink

MAX_HEAD_BYTES = 64 * 1024
REPLAY_WINDOW_S = 0.02
"""A reused connection that closes, unanswered, this soon after the write was being closed as we wrote."""
SMALL_BODY_BYTES = 32 * 1024
TOO_LONG = f"the engine's response headers are over {MAX_HEAD_BYTES} bytes"


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


# How far the answer has come. Numbers, because the order is compared for every read.
WAITING, STARTED, HEAD, BODY, WHOLE = range(5)


class Connection(asyncio.Protocol):
    """One keep-alive connection to one origin."""

    __slots__ = (
        "_call",
        "_excess",
        "_head_bytes",
        "_headers",
        "_idle_s",
        "_keep_alive",
        "_loop",
        "_outbox",
        "_parser",
        "_pausing",
        "_phase",
        "_pool",
        "_sent_at",
        "_sent_before",
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
        self._outbox = outbox(loop)
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._timer = LazyTimer(loop, self._expired)
        self._call: Call | None = None
        self.closed = False
        self.counted = True
        """Whether the pool counts it among its open connections."""
        self.reused = False
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._phase = WAITING
        self._sent_at = 0.0
        self._sent_before = 0
        """`Outbox.flushes` as it was when the request was written: while it is the same, not a byte of it has left."""
        self._idle_s = 0.0
        """How far each read moves the deadline; 0.0 when that takes more than an addition."""
        self._until_close = self._pausing = self._excess = self._keep_alive = False

    # -- what the pool and the call use --------------------------------------------------------------------------------

    def send(self, call: Call) -> None:
        """Write the request. The connection must be open and free."""
        transport = self._transport
        assert transport is not None
        self._call = call
        call.connection = self
        self._headers = []
        self._head_bytes = 0
        self._phase = WAITING
        self._sent_at = now = self._loop.time()
        deadlines = call.deadlines
        deadline = now + deadlines.first_byte_s
        if deadlines.total_s is not None:
            deadline = min(deadline, call.started_at + deadlines.total_s)
        self._timer.set(deadline)
        self._sent_before = self._outbox.flushes
        # One buffer for a small request: a second one would cost a second write call to the kernel.
        if len(call.body) <= SMALL_BODY_BYTES:
            self._outbox.write(transport, call.head + call.body)
        else:
            self._outbox.write(transport, call.head)
            self._outbox.write(transport, call.body)

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

    # -- asyncio.Protocol ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports register no subclass

    def data_received(self, data: bytes) -> None:
        call = self._call
        if call is None:
            self._close()
            return
        if self._phase < HEAD:
            if self._sent_before == self._outbox.flushes:
                self._unasked(call)
                return
            self._phase = STARTED
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            if isinstance(cause, EngineError):
                self._fail(cause)
            else:
                self._fail(BadAnswer("the engine's answer could not be read"))
                raise
        except (httptools.HttpParserUpgrade, httptools.HttpParserError) as error:
            if self._phase == WHOLE:  # junk past the answer: as in `on_message_begin`
                self._excess = True
                self._finish()
            else:
                self._fail(BadAnswer(f"the engine's answer is not valid HTTP: {error}"))
        else:
            phase = self._phase
            if phase == BODY and not call.finished:
                # The timer stands at a later deadline or fires early and looks again: no need to touch it.
                if self._idle_s and self._timer.deadline != NEVER:
                    self._timer.deadline = self._loop.time() + self._idle_s
                else:
                    self._move_deadline()
                call.sink.flush()
            elif phase == WHOLE:
                self._finish()
            elif phase < HEAD and self._head_bytes > MAX_HEAD_BYTES:
                self._fail(BadAnswer(TOO_LONG))

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._timer.cancel()
        call, self._call = self._call, None
        self._pool.lost(self)
        if call is None or call.finished:
            return
        phase = self._phase
        if phase >= HEAD and self._until_close and exc is None:
            call.finished = True
            call.sink.done()
        elif phase == BODY:
            call.fail(AnswerTruncated("the engine closed the connection in the middle of its answer"))
        elif (
            phase == WAITING
            and self.reused
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

    # -- httptools callbacks -------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._phase == WHOLE:
            self._excess = True  # bytes past the answer, in the same read: the answer stands, the connection does not

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._phase < HEAD:  # later ones are trailers: nobody asked for them, and nothing bounds them
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        call = self._call
        if call is None or self._phase == WHOLE:
            return
        status = self._parser.get_status_code()
        if status < 200:
            # An interim answer (RFC 9110 section 15.2): skip it and wait for the final one.
            if status == 101:
                raise BadAnswer("the engine wants to switch protocols")
            self._headers = []
            return
        headers = self._headers
        if self._head_bytes > MAX_HEAD_BYTES and sum([len(n) + len(v) + 4 for n, v in headers]) > MAX_HEAD_BYTES:
            raise BadAnswer(TOO_LONG)
        fields = dict(headers)
        coding = fields.get(b"transfer-encoding")
        length = fields.get(b"content-length")
        if len(fields) != len(headers):
            names = [name for name, _ in headers]
            if names.count(b"content-length") > 1 or names.count(b"transfer-encoding") > 1:
                raise BadAnswer("the engine stated the length of its answer twice")
        if coding is not None:
            if coding.lower() != b"chunked":
                raise BadAnswer("the engine used a transfer coding other than chunked")
            if length is not None:
                raise BadAnswer("the engine sent both content-length and transfer-encoding")
        self._phase = HEAD
        self._excess = False
        self._until_close = coding is None and length is None and status not in (204, 304)
        call.sink.head(status, headers)

    def on_body(self, body: bytes) -> None:
        call = self._call
        if call is not None and self._phase != WHOLE:
            if self._phase == HEAD:
                self._phase = BODY
                deadlines = call.deadlines
                self._move_deadline()
                self._idle_s = deadlines.idle_s if deadlines.total_s is None else 0.0
            call.sink.data(body)

    def on_message_complete(self) -> None:
        if self._phase in (HEAD, BODY):
            self._phase = WHOLE
            self._keep_alive = self._parser.should_keep_alive()  # the parser forgets once it has returned

    # -- inside --------------------------------------------------------------------------------------------------------

    def _unasked(self, call: Call) -> None:
        """Bytes came before the request left: no answer to it. It was never sent, so it may go elsewhere, once."""
        self._close()
        call.connection = None
        if call.replayed:
            call.fail(BadAnswer("the engine speaks before it is asked"))
        else:
            call.replayed = True
            self._pool.send_fresh(call)

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
        deadline = self._loop.time() + (deadlines.idle_s if self._phase >= BODY else deadlines.first_byte_s)
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
            self._fail(ClientStalled(f"the client read nothing for {deadlines.idle_s:g} s"))
        elif self._phase >= BODY:
            self._fail(IdleTimeout(f"the engine sent nothing for {deadlines.idle_s:g} s"))
        else:
            self._fail(FirstByteTimeout(f"the engine sent no answer within {deadlines.first_byte_s:g} s"))

    def _fail(self, error: EngineError) -> None:
        call, self._call = self._call, None
        if isinstance(error, BadAnswer) and self._phase >= BODY:
            error = AnswerTruncated(str(error))
        self._close()
        if call is not None:
            call.connection = None
            call.fail(error)

    def _close(self) -> None:
        self._call = None
        self._timer.deadline = NEVER
        if not self.closed:
            self.closed = True
            self._pool.lost(self)
            if self._transport is not None:
                self._transport.abort()
