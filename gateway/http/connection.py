"""The HTTP/1.1 server side of one client connection.

Inference requests are answered below ASGI, straight from these callbacks; every other path goes through
`gateway.http.asgi` to the Starlette app on the same connection. One request at a time is in progress on a connection:
pipelined ones wait in the order they came, with the socket unread once there are several.

What is refused before anything else sees it, and closes the connection, since nothing after it can be trusted:
a head over the limit (431), a body over the limit (413), two Host or content-length headers, content-length together
with transfer-encoding, a transfer coding other than chunked, obsolete line folding, a missing Host, an upgrade
(RFC 9112 sections 3.2, 6.1, 6.3; httptools alone lets several of these through).
"""

from __future__ import annotations

import asyncio
from collections import deque
from http import HTTPStatus
from typing import Protocol, cast

import httptools

from engines.lazy_timer import NEVER, LazyTimer
from engines.model import Operation
from engines.outbox import outbox
from engines.wire import DIALECTS
from gateway.errors import Failure
from gateway.http.request import OPERATIONS, Request

KEEP_ALIVE_S = 75.0
HEAD_S = 30.0
"""From a request's first byte to the end of its head."""
BODY_IDLE_S = 30.0
LINGER_S = 2.0
STALLED_S = 30.0
"""How long a client may take nothing of what is left to send on a connection that closes."""
MAX_HEADERS = 128
MAX_FRAMING_BYTES = 64 * 1024
"""Chunk framing allowed on top of as much as there is body; a piece of a byte or two costs fifty in memory."""
MAX_WAITING = 8
"""Pipelined requests that may wait before the socket is left unread, which hides from us that its client has gone."""
MAX_WAITING_BODY_BYTES = 64 * 1024
"""A larger one fills the line alone."""
NO_SWITCH = "this server does not switch protocols; ask in plain HTTP/1.1 (Java's HttpClient: version(HTTP_1_1))"
LENGTH_ONCE = "the request must state its length once: one content-length, or chunked"

STATUS_LINES = {status: b"HTTP/1.1 %d \r\n" % status for status in range(100, 1000)}  # an engine may say any of them
STATUS_LINES |= {status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus}
STATUS_LINES[499] = b"HTTP/1.1 499 Client Closed Request\r\n"
STATUS_LINES[529] = b"HTTP/1.1 529 Overloaded\r\n"


class Limits(Protocol):
    """What the server must know of `limits`."""

    @property
    def body_bytes(self) -> int: ...
    @property
    def header_bytes(self) -> int: ...
    @property
    def stream_buffer_bytes(self) -> int: ...
    @property
    def connections(self) -> int: ...


class Work(Protocol):
    """Whatever is answering the request in progress."""

    def client_gone(self) -> None:
        """The connection is lost: stop at once."""

    def client_paused(self) -> None:
        """The client reads slower than we write."""

    def client_resumed(self) -> None:
        """It caught up."""


class Handler(Protocol):
    """What a connection hands its requests to."""

    @property
    def limits(self) -> Limits: ...

    @property
    def draining(self) -> bool: ...

    def opened(self, connection: ClientConnection) -> bool:
        """Count the connection in; False when there are too many."""

    def lost(self, connection: ClientConnection) -> None: ...

    def inference(self, request: Request, operation: Operation) -> Work | None:
        """Begin an inference request; None when it was answered at once."""

    def other(self, request: Request) -> Work | None:
        """Begin any other request."""

    def refused(self, failure: Failure, path: bytes) -> bytes:
        """A request was refused here, before it reached either; returns the id it is answered and recorded under."""


class ClientConnection(asyncio.Protocol):
    """One client connection; see the module's docstring."""

    __slots__ = (
        "_body",
        "_body_bytes",
        "_body_limit",
        "_chunked_answer",
        "_closing",
        "_fields",
        "_handler",
        "_head_bytes",
        "_header_limit",
        "_headers",
        "_left_bytes",
        "_loop",
        "_outbox",
        "_parser",
        "_paused",
        "_persists",
        "_pipeline",
        "_read_bytes",
        "_reading",
        "_refusal",
        "_timer",
        "_trailers_at",
        "_transport",
        "_url",
        "_version",
        "_wire_bytes",
        "request",
        "work",
    )

    def __init__(self, handler: Handler, loop: asyncio.AbstractEventLoop) -> None:
        self._handler = handler
        self._loop = loop
        self._outbox = outbox(loop)
        self._parser = httptools.HttpRequestParser(self)
        self._timer = LazyTimer(loop, self._expired)
        self._transport: asyncio.Transport | None = None
        self._pipeline: deque[Request] = deque()
        self.request: Request | None = None
        """The request in progress."""
        self.work: Work | None = None
        self._refusal: Failure | None = None
        self._paused = False
        self._read_bytes = 0
        self._left_bytes = 0
        self._wire_bytes = 0
        self._version = ""
        self._persists = b""
        """What an answer says when the connection stays open: nothing, but to HTTP/1.0."""
        self._trailers_at = 0
        self._header_limit = self._body_limit = 0
        self._reading = True
        self._closing = False
        self._chunked_answer = True
        self._begin_message()

    def _begin_message(self) -> None:
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._fields: dict[bytes, bytes] = {}

    # -- asyncio.Protocol ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast("asyncio.Transport", transport)  # uvloop registers no subclass
        limits = self._handler.limits
        # Over the mark the engine is no longer read; what its last read brought (128 KiB at most) still comes on top.
        transport.set_write_buffer_limits(high=limits.stream_buffer_bytes // 4)
        self._header_limit, self._body_limit = limits.header_bytes, limits.body_bytes
        if not self._handler.opened(self):
            self._refuse(
                Failure("too_many_connections", "the gateway has no room for another connection", retry_after_s=1)
            )
            return
        self._timer.set(self._loop.time() + KEEP_ALIVE_S)

    def data_received(self, data: bytes) -> None:
        if self._closing or self._refusal is not None:
            return
        head_bytes = self._head_bytes
        if head_bytes > 0:
            self._head_bytes = head_bytes + len(data)
        else:
            self._read_bytes = len(data)
            if head_bytes == 0:
                self._head_bytes = len(data)
            elif self._trailers_at and not self._chunks_fit(len(data)):
                return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            if not isinstance(cause, Failure):
                raise
            self._refuse(cause)
        except httptools.HttpParserUpgrade:
            self._refuse(Failure("invalid_http", NO_SWITCH))
        except httptools.HttpParserError as error:
            self._refuse(Failure("invalid_http", f"the request is not valid HTTP/1.1: {error}"))
        else:
            head_bytes = self._head_bytes
            if head_bytes > self._header_limit:
                self._refuse(self._too_long())
            elif head_bytes == 0:
                if self._url:
                    # A head that began in the read that ended the request before it: `_read_bytes` bounds what is in.
                    self._head_bytes = len(self._url)
            elif self.request is None and not self._closing:
                # Part of a request is in, and none is in progress.
                if head_bytes < 0:
                    self._timer.set(self._loop.time() + BODY_IDLE_S)
                elif head_bytes == len(data):
                    self._timer.set(self._loop.time() + HEAD_S)

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self._paused = True
        if self.work is not None:
            self.work.client_paused()

    def resume_writing(self) -> None:
        self._paused = False
        if self.work is not None:
            self.work.client_resumed()
        elif self._pipeline:
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._timer.cancel()
        self._pipeline.clear()
        work, self.work = self.work, None
        self.request = None
        self._handler.lost(self)
        if work is not None:
            work.client_gone()

    # -- httptools callbacks -------------------------------------------------------------------------------------------

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        headers = self._headers
        if len(headers) > MAX_HEADERS:
            raise Failure("headers_too_large", f"the request has more than {MAX_HEADERS} headers")
        if self._head_bytes + self._read_bytes > self._header_limit:
            # Counted as they came, so bytes of the body or of the request before may be among them: now count exactly.
            head_bytes = sum([len(name) + len(value) + 4 for name, value in headers], len(self._url))
            if head_bytes > self._header_limit:
                raise self._too_long()
        self._head_bytes = -1  # the head is in; stop counting
        self._fields = fields = dict(headers)
        if len(fields) != len(headers):
            names = [name for name, _ in headers]
            if names.count(b"host") > 1:
                raise Failure("invalid_http", "the request needs exactly one Host header")
            if names.count(b"content-length") > 1 or names.count(b"transfer-encoding") > 1:
                raise Failure("invalid_http", LENGTH_ONCE)
        version = self._version = self._parser.get_http_version()
        if version != "1.1":
            if version != "1.0":
                raise Failure("invalid_http", "this server speaks HTTP/1.1 and HTTP/1.0")
            # Untold, its client would wait for the close (RFC 2068 section 19.7.1; `ab -k` does).
            self._persists = b"connection: keep-alive\r\n"
        elif b"host" not in fields:
            raise Failure("invalid_http", "the request needs exactly one Host header")
        length = fields.get(b"content-length")
        coding = fields.get(b"transfer-encoding")
        if coding is not None:
            if coding.lower() != b"chunked" or version != "1.1":
                raise Failure("invalid_http", "the only transfer-encoding this server reads is chunked, given once")
            if length is not None:
                raise Failure("invalid_http", LENGTH_ONCE)
            self._trailers_at = len(headers)
            self._wire_bytes = 0
        if length is not None and int(length) > self._body_limit:
            raise self._too_large()
        if self._parser.should_upgrade():  # CONNECT too
            raise Failure("invalid_http", NO_SWITCH)
        if b"expect" in fields and self.request is None:
            self._go_on()

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        if self._body_bytes > self._body_limit:
            raise self._too_large()
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._closing:
            return  # what was answered before it, in the same read, closed the connection
        if self._trailers_at:
            del self._headers[self._trailers_at :]  # trailers are not headers (RFC 9110 section 6.5.1)
            self._trailers_at = 0
        parser = self._parser
        body = self._body
        url = self._url
        query = b""
        if b"?" in url:
            url, _, query = url.partition(b"?")
        request = Request(
            self,
            parser.get_method(),
            self._version,
            url,
            query,
            self._headers,
            self._fields,
            body[0] if len(body) == 1 else b"".join(body),
            parser.should_keep_alive(),
        )
        self._begin_message()
        if self.request is None and not self._pipeline and not self._paused:
            self._start(request)
        else:
            self._pipeline.append(request)
            full = len(self._pipeline) >= MAX_WAITING or len(request.body) > MAX_WAITING_BODY_BYTES
            if full and self._reading and self._transport is not None:
                self._reading = False
                self._transport.pause_reading()

    # -- answering -----------------------------------------------------------------------------------------------------

    def _start(self, request: Request) -> None:
        operation = OPERATIONS.get(request.path)
        if operation is None and not request.path.startswith(b"/"):
            self._pipeline.clear()
            self._refuse(Failure("invalid_http", "the request target must be a path, such as /v1/models"))
            return
        self.request = request
        self._timer.deadline = NEVER
        handler = self._handler
        work = handler.inference(request, operation) if operation is not None else handler.other(request)
        if self.request is request:
            self.work = work

    def respond(self, status: int, headers: bytes, body: bytes) -> None:
        """Answer the request in progress in one write. `headers` is a block of complete header lines."""
        request, transport = self.request, self._transport
        if request is None or transport is None:
            return
        close = self._persists if self._stays_open(request) else b"connection: close\r\n"
        size = len(body)
        if (status != 200 and status in (204, 304)) or request.method == b"HEAD":
            body = b""  # or the client would read it as the next answer
        if status == 204:  # may not even state a length (RFC 9110 section 8.6)
            answer = b"%b%b%b\r\n" % (STATUS_LINES[status], headers, close)
        else:
            answer = b"%b%bcontent-length: %d\r\n%b\r\n%b" % (STATUS_LINES[status], headers, size, close, body)
        self._outbox.write(transport, answer)
        self._finish()

    def begin_stream(self, status: int, headers: bytes, first: bytes) -> None:
        """Send the head of an answer of unknown length together with its first bytes."""
        request, transport = self.request, self._transport
        if request is None or transport is None:
            return
        self._chunked_answer = request.version == "1.1"
        if not self._chunked_answer:
            request.keep_alive = False  # HTTP/1.0 knows no chunks: the close is the end
        close = b"" if self._stays_open(request) else b"connection: close\r\n"
        if self._chunked_answer:
            head = b"%b%btransfer-encoding: chunked\r\n%b\r\n" % (STATUS_LINES[status], headers, close)
            data = b"%b%x\r\n%b\r\n" % (head, len(first), first) if first else head
        else:
            data = b"%b%b%b\r\n%b" % (STATUS_LINES[status], headers, close, first)
        self._outbox.write(transport, data)

    def write(self, data: bytes) -> None:
        """Send more of the answer begun; `data` is not empty."""
        transport = self._transport
        if transport is not None:
            self._outbox.write(transport, b"%x\r\n%b\r\n" % (len(data), data) if self._chunked_answer else data)

    def end_stream(self, last: bytes = b"") -> None:
        """The answer is whole, with these last bytes; they leave in one write with the end of the body."""
        if self._transport is not None and self.request is not None:
            if self._chunked_answer:
                end = b"%x\r\n%b\r\n0\r\n\r\n" % (len(last), last) if last else b"0\r\n\r\n"
                self._outbox.write(self._transport, end)
            elif last:
                self._outbox.write(self._transport, last)
            self._finish()

    def cut(self) -> None:
        """Break off an answer that cannot be ended in its own format: the client must see that it is not whole."""
        self.work = None
        self._close(abort=True)

    def hang_up(self) -> None:
        """Close at once, whatever is in progress; its work hears that the client is gone."""
        self._close(abort=True)

    def drain(self) -> None:
        """Close now if nothing is in progress; else after the answer in progress."""
        if self.request is None and not self._pipeline and not self._head_bytes:
            self._close()

    # -- inside --------------------------------------------------------------------------------------------------------

    def _stays_open(self, request: Request) -> bool:
        return request.keep_alive and not self._handler.draining

    def _finish(self) -> None:
        request, self.request = self.request, None
        self.work = None
        if request is None:
            return
        if not self._stays_open(request):
            self._close()
        elif self._pipeline:
            # Through the loop, so that a long pipeline of short answers does not become a deep stack.
            self._loop.call_soon(self._next)
            if self._paused:
                self._timer.set(self._loop.time() + KEEP_ALIVE_S)
        elif self._refusal is not None:
            refusal, self._refusal = self._refusal, None
            self._refuse(refusal)
        else:
            if self._head_bytes < 0:
                self._go_on()
            self._timer.set(self._loop.time() + KEEP_ALIVE_S)

    def _go_on(self) -> None:
        """Ask for the body of the request whose head is in, if its client waits for that (RFC 9110 section 10.1.1)."""
        if (
            self._fields.get(b"expect", b"").lower() == b"100-continue"
            and self._version == "1.1"
            and self._transport is not None
        ):
            self._outbox.write(self._transport, b"HTTP/1.1 100 Continue\r\n\r\n")

    def _next(self) -> None:
        # While answers lie unread the next one is not asked for: what we hold for a client has a bound.
        if self._pipeline and self.request is None and not self._paused and not self._closing:
            self._start(self._pipeline.popleft())
        if self._pipeline or self._closing or self._refusal is not None:
            return
        if not self._reading and self._transport is not None:
            self._reading = True
            self._transport.resume_reading()

    def _refuse(self, failure: Failure) -> None:
        transport = self._transport
        if transport is None or self._closing:
            return
        if self.request is not None or self._pipeline:
            self._refusal = failure  # first finish what was asked properly; what still comes is thrown away
            return
        request_id = self._handler.refused(failure, self._url)
        self._outbox.flush()
        operation = OPERATIONS.get(self._url.partition(b"?")[0], Operation.CHAT)
        body = failure.body(DIALECTS[operation], request_id.decode())
        headers = b"content-type: application/json\r\nx-request-id: %b\r\n%b" % (request_id, failure.headers())
        length = b"content-length: %d\r\nconnection: close\r\n" % len(body)
        transport.write(b"%b%b%b\r\n%b" % (STATUS_LINES[failure.status], headers, length, body))
        # A close with unread input would reset the connection and could destroy the answer on its way: end our side,
        # and throw away what still comes for a moment (RFC 9112 section 9.6).
        if transport.can_write_eof():
            self._closing = True
            self._left_bytes = transport.get_write_buffer_size()
            transport.write_eof()
            transport.resume_reading()
            self._timer.set(self._loop.time() + LINGER_S)
        else:
            self._close()

    def _close(self, *, abort: bool = False) -> None:
        transport = self._transport
        if transport is None:
            return
        self._outbox.flush()  # what was written goes first
        if abort:
            self._closing = True
            self._timer.cancel()
            transport.abort()
        elif not self._closing:
            self._closing = True
            transport.close()
            self._left_bytes = transport.get_write_buffer_size()
            self._timer.set(self._loop.time() + STALLED_S)

    def _expired(self) -> None:
        if self.request is not None:
            return
        if self._closing:
            left_bytes = self._transport.get_write_buffer_size() if self._transport is not None else 0
            if 0 < left_bytes < self._left_bytes:
                self._left_bytes = left_bytes
                self._timer.set(self._loop.time() + STALLED_S)
            else:
                self._close(abort=True)
        elif self._head_bytes > 0 or self._body or self._head_bytes < 0:
            self._refuse(Failure("request_timeout", "the request did not arrive in time"))
        else:
            self._close()

    def _chunks_fit(self, size: int) -> bool:
        """Whether chunk sizes, extensions and trailers stay in proportion; else the request is refused."""
        self._wire_bytes += size
        if len(self._headers) - self._trailers_at > MAX_HEADERS:
            self._refuse(Failure("headers_too_large", f"the request has more than {MAX_HEADERS} trailers"))
        elif self._wire_bytes - size > 2 * self._body_bytes + MAX_FRAMING_BYTES:
            self._refuse(Failure("invalid_http", "the request's chunks hold more framing than body"))
        else:
            return True
        return False

    def _too_long(self) -> Failure:
        return Failure("headers_too_large", f"the request head is over {self._header_limit} bytes")

    def _too_large(self) -> Failure:
        return Failure("body_too_large", f"the request body is over {self._body_limit} bytes")
