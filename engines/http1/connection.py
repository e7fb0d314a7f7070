"""One keep-alive connection to one origin, one request at a time.

    OPEN ──send──> BUSY ──answer whole, keep-alive──> OPEN
      │              └─ answer whole, close / error / abort / deadline ──> CLOSED
      └─ idle too long, closed by the peer, a byte nobody asked for ──> CLOSED

Promises, each with a test:
- the sink hears exactly one of `done` and `failed`, whatever it raises itself, and nothing after `abort`;
- the connection goes back to its home only when both the request was wholly written and the answer wholly read;
- a byte that arrives while no request is in flight closes the connection (it could only be a smuggled answer);
- a large request is written as fast as the engine takes it and no faster;
- once it is closed it is part of no cycle: what it held is freed at once.

A body delimited by close ends where the peer said so (`eof_received`): over TLS that is its close_notify, and without
one the answer is cut short, for anybody can cut a TCP connection.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, cast

from engines.errors import AnswerTruncated, BadAnswer, ConnectionLost, EngineError
from engines.http1.answer import BODY, HEAD, LIMITS, WAITING, WHOLE, Answer, Limits
from engines.http1.call import Carrier
from engines.http1.deadlines import ahead, overdue
from engines.http1.upload import Upload
from engines.lazy_timer import NEVER, LazyTimer
from engines.outbox import outbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from engines.http1.call import Call, CarrierHome
    from engines.http1.familiar import Familiar

REPLAY_WINDOW_S: Final = 0.1
"""A reused connection that closes, unanswered, this soon after the write was being closed as we wrote. An engine on a
busy machine does so some 30 ms after its time was up, without having read what came meanwhile."""
SMALL_BODY_BYTES: Final = 32 * 1024


class Connection(asyncio.Protocol, Carrier):
    """One connection."""

    __slots__ = (
        "_answer",
        "_call",
        "_eof",
        "_home",
        "_idle_s",
        "_loop",
        "_loop_time",
        "_outbox",
        "_pausing",
        "_sent_at",
        "_sent_before",
        "_timer",
        "_transport",
        "_upload",
    )

    def __init__(
        self,
        home: CarrierHome,
        loop: asyncio.AbstractEventLoop,
        limits: Limits = LIMITS,
        familiar: Familiar | None = None,
    ) -> None:
        """`familiar` is what other connections to the same origin know of its answers."""
        self._home = home
        self._loop = loop
        self._loop_time: Callable[[], float] = loop.time
        self._outbox = outbox(loop)
        self._transport: asyncio.Transport | None = None
        self._answer = Answer(limits, familiar)
        self._timer = LazyTimer(loop, self._expired)
        self._call: Call | None = None
        self.closed = False
        self.counted = False
        self.reused = False
        self.idle_since = 0.0
        self._sent_at = 0.0
        self._sent_before = 0
        """`Outbox.flushes` as it was when the request was written: while it is the same, not a byte of it has left."""
        self._upload: Upload | None = None
        """Of a large request."""
        self._idle_s = 0.0
        """How far each read moves the deadline; 0.0 when that takes more than an addition."""
        self._pausing = self._eof = False

    # -- what the home and the call use --------------------------------------------------------------------------------

    def send(self, call: Call) -> None:
        """Write the request. The connection must be open and free."""
        transport = self._transport
        assert transport is not None
        self._call = call
        call.line, call.written, call.unsent_share = self, True, 0.0
        self._answer.expect(call)
        self._idle_s = 0.0
        self._sent_at = now = self._loop_time()
        deadlines = call.deadlines
        deadline = now + deadlines.first_byte_s
        self._timer.set(deadline if deadlines.total_s is None else ahead(call, now, deadlines.first_byte_s))
        self._sent_before = self._outbox.flushes
        body = call.body
        # One buffer for a small request: a second one would cost a second write call to the kernel.
        if len(body) <= SMALL_BODY_BYTES:
            self._outbox.write(transport, call.head + body)
        else:
            self._outbox.write(transport, call.head)
            self._upload = upload = Upload(transport, self._outbox, body)
            self._loop.call_soon(upload.write)  # after the outbox, which was told first

    def pause(self) -> None:
        if not self._pausing and self._transport is not None and not self.closed:
            self._pausing = self._answer.paused = True
            self._transport.pause_reading()
            self._move_deadline()

    def resume(self) -> None:
        if self._pausing and self._transport is not None and not self.closed:
            self._pausing = self._answer.paused = False
            guard = self._answer.guard
            if guard is not None and guard.held:
                self._loop.call_soon(self._hand_over)  # whoever resumes is not called from within
            else:
                self._transport.resume_reading()
            self._move_deadline()

    def abort(self) -> None:
        if self._call is not None and self._sent_before == self._outbox.flushes:
            self._call.written = False  # what waits for the end of the turn is dropped
        self._close()

    def keep_idle(self, now: float, deadline: float) -> None:
        self.reused = True
        self.idle_since = now
        self._timer.set(deadline)

    def dispose(self) -> None:
        """Leave every cycle. The last thing that happens to a connection."""
        self._timer.close()
        self._answer.close()
        self._stop_upload()
        self._transport = None

    # -- asyncio.Protocol ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports register no subclass

    def data_received(self, data: bytes) -> None:
        call = self._call
        if call is None:
            self._close()
            return
        answer = self._answer
        try:
            if answer.phase >= HEAD:
                answer.feed(data)
            elif self._sent_before != self._outbox.flushes:
                answer.begin(data)
            else:
                self._unasked(call)
                return
        except Exception as error:
            self._report(answer.broken(error))
        if answer.body_came:
            answer.body_came = False
            # The timer stands at a later deadline or fires early and looks again: no need to touch it.
            if self._idle_s and self._timer.deadline != NEVER:
                self._timer.deadline = self._loop.time() + self._idle_s
            else:
                self._body_came(call, len(data))
            try:
                call.sink.flush()
            except Exception as error:
                self._unreadable(error)
        elif self._call is call:  # not aborted from within
            if answer.problem is None:
                if answer.phase != WHOLE:
                    answer.no_body(len(data))
                elif answer.guard is None:
                    self._finish()
                    return
                else:
                    self._whole(call)
                    return
            if answer.problem is not None:
                self._fail(answer.problem)

    def eof_received(self) -> bool:
        self._eof = True
        return False

    def pause_writing(self) -> None:
        if self._upload is not None:
            self._upload.pause()

    def resume_writing(self) -> None:
        if self._upload is not None:
            self._upload.go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self._note_unsent()
        call, self._call = self._call, None
        self.closed = True
        self._home.lost(self)
        try:
            if call is not None and not call.finished:
                self._lost(call, self._eof and exc is None)
        finally:
            self.dispose()

    # -- inside --------------------------------------------------------------------------------------------------------

    def _lost(self, call: Call, ended: bool) -> None:
        """End the call whose connection has closed; `ended`: the peer said that it was done."""
        answer = self._answer
        call.line = None
        try:
            answer.end(ended and answer.phase >= HEAD and answer.until_close)
        except Exception as error:
            self._report(error)
            answer.problem = AnswerTruncated("the engine's answer could not be read")
        if answer.problem is not None:
            call.fail(answer.problem)
        elif answer.phase == WHOLE:
            self._report(call.complete())
        elif answer.phase >= BODY:
            call.fail(AnswerTruncated("the engine closed the connection in the middle of its answer"))
        elif answer.phase > WAITING or not self.reused:
            call.fail(ConnectionLost("the engine closed the connection before answering"))
        else:
            self._lost_unanswered(call)

    def _body_came(self, call: Call, size: int) -> None:
        """The first read of a body, or one that takes more than moving a deadline."""
        answer, deadlines = self._answer, call.deadlines
        call.head = call.body = b""  # it cannot be sent anew any more
        self._move_deadline()
        if answer.is_enough(size):
            self._close()
            self._report(call.complete())
        elif answer.room_bytes < 0 and deadlines.total_s is None:
            self._idle_s = deadlines.idle_s

    def _whole(self, call: Call) -> None:
        """A guarded answer has come; part of it may still wait in the guard."""
        guard = self._answer.guard
        if guard is None or not guard.held:
            self._finish()
            return
        try:
            call.sink.flush()
        except Exception as error:
            self._unreadable(error)

    def _hand_over(self) -> None:
        """Pass on what waited in the guard while the call was paused; then read on."""
        call, answer, transport = self._call, self._answer, self._transport
        if call is None or transport is None or self._pausing:
            return
        try:
            answer.hand_over()
            if answer.body_came:
                answer.body_came = False
                call.sink.flush()
        except Exception as error:
            self._unreadable(error)
            return
        if self._call is not call:
            return
        if answer.problem is not None:
            self._fail(answer.problem)
        elif answer.phase == WHOLE:
            self._whole(call)
        elif not self._pausing:
            transport.resume_reading()

    def _unasked(self, call: Call) -> None:
        """Bytes came before the request left: no answer to it. It was never sent, so it may go elsewhere, once."""
        self._close()
        call.line, call.written = None, False
        if call.replayed:
            call.fail(BadAnswer("the engine speaks before it is asked"))
        else:
            call.replayed = True
            self._home.send_fresh(call)

    def _lost_unanswered(self, call: Call) -> None:
        """A kept-alive connection closed without a byte: those that have been idle as long are as dead.

        RFC 9110 section 9.2.2 forbids repeating a POST unless we know it was not acted on; one that closed while we
        wrote is the one such case.
        """
        self._home.stale(self.idle_since)
        if call.replayed or self._loop.time() - self._sent_at >= REPLAY_WINDOW_S:
            call.fail(ConnectionLost("the engine closed the connection before answering"))
        else:
            call.replayed, call.written = True, False
            self._home.send_fresh(call)

    def _note_unsent(self) -> None:
        """The call in progress ends now, and perhaps its request has not left."""
        call, upload = self._call, self._upload
        if call is not None and upload is not None:
            call.unsent_share = upload.unsent_share()

    def _stop_upload(self) -> None:
        if self._upload is not None:
            self._upload.stop()
            self._upload = None

    def _finish(self) -> None:
        """Give the connection back and end the call; only after the parser has returned, so that bytes past the
        answer can never be read as the answer to the next request."""
        call, self._call = self._call, None
        transport, answer = self._transport, self._answer
        if call is None or transport is None:
            return
        keep = (
            answer.keep_alive
            and not answer.excess
            and not answer.until_close
            and not self.closed
            and (self._upload is None or self._upload.handed_over)
            and transport.get_write_buffer_size() == 0
            and not transport.is_closing()
        )
        if self._pausing:
            self._pausing = answer.paused = False
            if keep:
                transport.resume_reading()
        if keep:
            self._upload = None
            self._home.release(self)
        else:
            self._close()
        if not call.finished:
            fault = call.complete()
            if fault is not None:
                self._report(fault)

    def _move_deadline(self) -> None:
        call = self._call
        if call is not None:
            deadlines = call.deadlines
            within_s = deadlines.idle_s if self._answer.phase >= BODY else deadlines.first_byte_s
            self._timer.set(ahead(call, self._loop.time(), within_s))

    def _expired(self) -> None:
        call = self._call
        if call is None:
            self._close()
        else:
            begun = self._answer.phase >= BODY
            self._fail(overdue(call, self._loop.time(), paused=self._pausing, begun=begun))

    def _fail(self, error: EngineError | None) -> None:
        call = self._call
        self._close()
        if call is not None and error is not None:
            call.line = None
            call.fail(error)

    def _unreadable(self, fault: Exception) -> None:
        """A sink raised in the middle of its answer."""
        self._report(fault)
        self._fail(AnswerTruncated("the engine's answer could not be read"))

    def _report(self, fault: BaseException | None) -> None:
        """If a sink raised, its call has failed, and the mistake is not hidden."""
        if fault is None:
            return
        self._loop.call_exception_handler({"message": "an answer could not be taken", "exception": fault})

    def _close(self) -> None:
        self._note_unsent()
        self._call = None
        self._answer.close()
        self._timer.deadline = NEVER
        if not self.closed:
            self.closed = True
            self._stop_upload()
            self._home.lost(self)
            if self._transport is not None:
                self._transport.abort()
