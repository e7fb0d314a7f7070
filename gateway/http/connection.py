"""The HTTP/1.1 server side of one client connection: what comes next, and how long each thing may take.

`reader` makes requests of the bytes that come, `answers` makes bytes of what is answered. Inference requests are
answered below ASGI, straight from these callbacks; every other path goes through `gateway.http.asgi` to the Starlette
app on the same connection. One request at a time is in progress: pipelined ones wait in the order they came, with the
socket unread once there are several. What is refused closes the connection, after what was asked properly before it.

Every state has a deadline (`patience`), and a connection that is lost is freed at once: what holds it lets go.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, cast

from engines.operations import PATHS
from engines.outbox import outbox
from gateway.errors import Failure
from gateway.http.answers import Answers, Owner, refusal
from gateway.http.head import path_of
from gateway.http.patience import Patience
from gateway.http.reader import BETWEEN, BODY, Receiver, RequestReader
from gateway.http.request import dialect_of
from gateway.http.slices import SlicedTransport
from gateway.http.watch import Watch

if TYPE_CHECKING:
    from gateway.http.handler import Handler, Work
    from gateway.http.request import Request
    from gateway.identity import Keyring

MAX_WAITING: Final = 8
"""Pipelined requests that may wait before the socket is left unread, which hides from us that its client has gone."""
MAX_WAITING_BODY_BYTES: Final = 64 * 1024
"""A larger one fills the line alone."""
LATER_BYTES: Final = 1024 * 1024
"""A request of more begins in a turn of its own: to read it takes up to 30 ms, and the last of its bytes up to 8."""
USUAL: Final = Patience()
PROBES: Final[tuple[float, ...]] = (0.05, 0.5, 5.0)
"""One round trip is enough; the second covers a slow network, the third a bad one."""
ALLOWED: Final = b"allow: GET, HEAD, POST, OPTIONS\r\n"


class ClientConnection(asyncio.Protocol, Receiver, Owner):
    """One client connection; see the module's docstring."""

    __slots__ = (
        "_answers",
        "_closing",
        "_handler",
        "_loop",
        "_outbox",
        "_over_unix",
        "_pipeline",
        "_probes",
        "_reader",
        "_reading",
        "_refusal",
        "_slices",
        "_transport",
        "_waits_for_go_on",
        "_watch",
        "paused",
        "work",
    )

    def __init__(self, handler: Handler, loop: asyncio.AbstractEventLoop, patience: Patience = USUAL) -> None:
        self._handler = handler
        self._loop = loop
        self._outbox = outbox(loop)
        self._watch = Watch(loop, patience, self._expired)
        self._answers = Answers(self, self._outbox)
        self._reader = RequestReader(self, self._answers, handler.limits)
        self._transport: asyncio.Transport | None = None
        self._pipeline: deque[Request] = deque()
        self.work: Work | None = None
        """What answers the request in progress."""
        self._refusal: Failure | None = None
        """What is said after the requests before it are answered; what still comes is thrown away."""
        self.paused = False
        """Whether the client reads slower than we write."""
        self._over_unix = False
        self._waits_for_go_on = False
        self._slices: SlicedTransport | None = None
        """What the transport is over TLS."""
        self._probes: tuple[float, ...] | None = None
        """After the client has ended its side: in how many seconds each to see whether it still listens."""
        self._reading = True
        self._closing = False

    @property
    def request(self) -> Request | None:
        """The request in progress."""
        return self._answers.request

    @property
    def idle_since_s(self) -> float | None:
        """Since when nothing is in progress and nothing has come; None when something is, or it closes."""
        if self._answers.request is not None or self._pipeline or self._reader.stage != BETWEEN or self._closing:
            return None
        return self._watch.idle_since_s

    @property
    def unsent_bytes(self) -> int:
        """What the client has been sent and has not taken, as far as we hold it."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    # -- asyncio.Protocol ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        plain = cast("asyncio.Transport", transport)  # uvloop registers no subclass
        share = 4
        self._over_unix = isinstance(plain.get_extra_info("sockname"), (str, bytes))
        if plain.get_extra_info("sslcontext") is not None:
            self._slices = plain = SlicedTransport(plain, self)
            share = 8  # what is handed over, and the 64 KiB that the socket's own transport takes, are not counted
        self._transport = plain
        self._answers.open(plain)
        # Over the mark the engine is no longer read; what its last read brought (128 KiB at most) still comes on top.
        plain.set_write_buffer_limits(high=self._handler.limits.stream_buffer_bytes // share)
        if not self._handler.opened(self):
            full = "the gateway has no room for another connection; try again in 1 s"
            self._refuse(Failure("too_many_connections", full, retry_after_s=1))
            return
        self._watch.idle()

    def data_received(self, data: bytes) -> None:
        if self._closing or self._refusal is not None:
            return
        reader = self._reader
        before = reader.stage
        failure = reader.feed(data)
        if failure is not None:
            self._refuse(failure)
        elif self._answers.request is None and not self._closing:
            stage = reader.stage
            if stage == BODY:
                self._watch.body(reader.body_bytes, begins=before != BODY)
            elif stage != before and stage != BETWEEN:
                self._watch.head()

    def eof_received(self) -> bool:
        """The client says no more. True where it may still listen, and be answered."""
        request, transport = self._answers.request, self._transport
        if request is None and self._pipeline:
            request = self._pipeline[0]
        if request is None or request.version != "1.1" or transport is None or not transport.can_write_eof():
            return False  # nothing is asked for, or (over TLS, in HTTP/1.0) we could not find out whether it listens
        self._probes = PROBES
        self._probe()
        return True

    def pause_writing(self) -> None:
        if self._slices is not None:
            self._slices.full()
        else:
            self.slow()

    def resume_writing(self) -> None:
        if self._slices is not None:
            self._slices.empty()
        else:
            self.caught_up()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._watch.close()
        self._pipeline.clear()
        self._refusal = None
        self._transport = self._slices = None
        self._answers.close()
        self._reader.close()
        work, self.work = self.work, None
        self._handler.lost(self)
        if work is not None:
            work.client_gone()

    # -- gateway.http.slices.Paused ------------------------------------------------------------------------------------

    def slow(self) -> None:
        """The client takes less than is written."""
        self.paused = True
        if not self._closing:
            self._watch.unread(working=self._answers.request is not None)
        if self.work is not None:
            self.work.client_paused()

    def caught_up(self) -> None:
        """It has taken enough for us to go on."""
        self.paused = False
        if self.work is not None:
            self._watch.off()
            self.work.client_resumed()
        elif self._pipeline:
            self._next()
        elif not self._closing:
            self._wait()

    # -- gateway.http.reader.Receiver ----------------------------------------------------------------------------------

    def head_in(self, request: Request, length: int) -> None:
        """A request's head is complete. Raises Failure for one whose body need not come."""
        self._handler.admit(request, length=length, over_unix=self._over_unix)
        self._waits_for_go_on = (
            b"expect" in request.fields
            and request.version == "1.1"
            and request.fields[b"expect"].lower() == b"100-continue"
        )
        if self._waits_for_go_on and self._answers.request is None and not self._pipeline and not self._closing:
            self._waits_for_go_on = False
            self._answers.go_on()

    def still_admits(self, keyring: Keyring) -> bool:
        """Whether a head that this keyring let in may come in again, unread."""
        return self._handler.still_admits(keyring)

    def arrived(self, request: Request) -> None:
        """A request is whole: begin it, or put it into the line."""
        if self._closing:
            return  # what was answered before it, in the same read, closed the connection
        if self._answers.request is None and not self._pipeline and not self.paused:
            if len(request.body) <= LATER_BYTES:
                self._start(request)
                return
            self._loop.call_soon(self._next)
        self._pipeline.append(request)
        self._waits_for_go_on = False  # it came without waiting
        full = len(self._pipeline) >= MAX_WAITING or len(request.body) > MAX_WAITING_BODY_BYTES
        if full and self._reading and self._transport is not None:
            self._reading = False
            self._transport.pause_reading()

    # -- gateway.http.answers.Owner ------------------------------------------------------------------------------------

    def stays_open(self, request: Request) -> bool:
        """Whether another request may follow this one."""
        if self._probes is not None and not self._pipeline:
            return False  # the client has ended its side
        return request.keep_alive and not self._handler.draining

    def answered(self, request: Request) -> None:
        """The answer to this request is whole."""
        self.work = None
        if not request.keep_alive:
            self._close()
        elif self._pipeline:
            # Through the loop, so that a long pipeline of short answers does not become a deep stack.
            self._loop.call_soon(self._next)
            if self.paused:
                self._watch.unread(working=False)
        elif self._refusal is not None:
            refusal, self._refusal = self._refusal, None
            self._refuse(refusal)
        else:
            self._wait()

    def cut_off(self) -> None:
        """Close at once; whoever answers knows."""
        self.work = None
        self.hang_up()

    # -- gateway.http.handler.Visitor ----------------------------------------------------------------------------------

    def hang_up(self) -> None:
        """Close at once, whatever is in progress; its work hears that the client is gone."""
        transport = self._transport
        if transport is not None:
            self._outbox.flush()  # what was written goes first
            self._closing = True
            self._watch.off()
            self._answers.breaks_off()
            transport.abort()

    def drain(self) -> None:
        """Close now if nothing is in progress; else after the answer in progress."""
        if self.idle_since_s is not None:
            self._close()

    # -- what comes next -----------------------------------------------------------------------------------------------

    def _start(self, request: Request) -> None:
        answers = self._answers
        answers.begin(request)
        if self._probes is not None:
            self._probe()
        # What the watch still waits for means nothing now: it has until the answer to be set anew (`_expired`).
        handler = self._handler
        operation = PATHS.get(request.path)
        if operation is not None:
            work = handler.inference(request, operation)
        elif request.path == b"*":
            answers.respond(204, ALLOWED, b"")
            return
        else:
            work = handler.other(request)
        if answers.request is request:
            self.work = work

    def _next(self) -> None:
        # While answers lie unread the next one is not asked for: what we hold for a client has a bound.
        if self._pipeline and self._answers.request is None and not self.paused and not self._closing:
            self._start(self._pipeline.popleft())
        if self._pipeline or self._closing or self._refusal is not None:
            return
        if not self._reading and self._transport is not None:
            self._reading = True
            self._transport.resume_reading()

    def _probe(self) -> None:
        """Send what means nothing to a client that has ended its side: to one that has gone it is an error.

        A client that closes and one that only says that it has no more to say (a shutdown) look the same from here,
        until something is sent to it: the second answer of a kernel whose socket is gone ends this connection.
        """
        self._answers.probe()
        if self._probes:
            self._watch.later(self._probes[0])
            self._probes = self._probes[1:]

    def _wait(self) -> None:
        """Nothing is in progress: wait for what comes next, or for the rest of it."""
        if self._reader.stage == BETWEEN:
            self._watch.idle()
        elif self._reader.stage == BODY:
            if self._waits_for_go_on:
                self._waits_for_go_on = False
                self._answers.go_on()
            self._watch.body(self._reader.body_bytes, begins=True)
        else:
            self._watch.head()

    # -- ending --------------------------------------------------------------------------------------------------------

    def _refuse(self, failure: Failure) -> None:
        transport = self._transport
        if transport is None or self._closing:
            return
        if self._answers.request is not None or self._pipeline:
            self._refusal = failure
            return
        path = path_of(self._reader.target)
        request_id, record_id = self._handler.refused(failure, path, self._reader.fields)
        self._outbox.flush()
        transport.write(refusal(failure, dialect_of(path), request_id, record_id))
        # A close with unread input would reset the connection and could destroy the answer on its way: end our side,
        # and throw away what still comes for a moment (RFC 9112 section 9.6).
        if transport.can_write_eof() and self._handler.lingers(self):
            self._closing = True
            self._watch.linger(transport.get_write_buffer_size())
            transport.write_eof()
            transport.resume_reading()
        else:
            self._close()

    def _close(self) -> None:
        transport = self._transport
        if transport is not None and not self._closing:
            self._outbox.flush()  # what was written goes first
            self._closing = True
            transport.close()
            self._watch.closing(transport.get_write_buffer_size())

    def _expired(self) -> None:
        """The deadline of the state we are in has passed."""
        if self._closing or self.paused:
            working = self._answers.request is not None and not self._closing
            if not self._watch.still_reads(self.unsent_bytes, working=working):
                self.hang_up()
        elif self._answers.request is not None:
            if self._probes:
                self._probe()
        elif self._pipeline:
            pass  # it is here, and begins in the next turn
        elif self._reader.stage != BETWEEN:
            self._refuse(Failure("request_timeout", "the request did not arrive in time"))
        else:
            self._close()
