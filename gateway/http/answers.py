"""The answers to one connection's requests, one at a time, as the bytes that leave."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

from gateway.http.request import Client
from gateway.http.status_lines import STATUS_LINES
from gateway.record_ids import id_lines

if TYPE_CHECKING:
    from engines.outbox import Outbox
    from engines.wire import Dialect
    from gateway.errors import Failure
    from gateway.http.request import Request

KEPT: Final = b"connection: keep-alive\r\n"
"""Told to HTTP/1.0 only, which would wait for the close otherwise (RFC 2068 section 19.7.1; `ab -k` does)."""
SIZE_LINES: Final = tuple(b"%x\r\n" % size for size in range(2048))
"""What stands before a chunk of so many bytes: a look-up and two joins take half as long as filling in a format."""
CRLF: Final = b"\r\n"
LARGE_BYTES: Final = 256 * 1024
"""A larger answer is not copied behind its head: 24 MiB took 16 ms."""
GO_ON: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
CLOSED: Final = b"connection: close\r\n"


def answer_headers(failure: Failure, dialect: Dialect, request_id: bytes, record_id: bytes) -> bytes:
    """The header lines of an answer that is a failure of ours."""
    return b"content-type: application/json\r\n%b%b" % (id_lines(request_id, record_id, dialect), failure.headers())


def refusal(failure: Failure, dialect: Dialect, request_id: bytes, record_id: bytes) -> bytes:
    """The answer to what is refused before it is a request, and the last one of its connection."""
    body = failure.body(dialect, request_id.decode())
    headers = answer_headers(failure, dialect, request_id, record_id)
    return b"%b%bcontent-length: %d\r\n%b\r\n%b" % (STATUS_LINES[failure.status], headers, len(body), CLOSED, body)


class Owner(Protocol):
    """The connection, as its answers see it."""

    __slots__ = ()

    def stays_open(self, request: Request) -> bool:
        """Whether another request may follow this one."""

    def answered(self, request: Request) -> None:
        """The answer to this request is whole; `keep_alive` says whether another may follow."""

    def cut_off(self) -> None:
        """Close at once; whoever answers knows."""


class Answers(Client):
    """What a request calls its client. It and its connection hold each other until `close`."""

    __slots__ = ("_chunked", "_outbox", "_owner", "_transport", "begun", "request")

    def __init__(self, owner: Owner, outbox: Outbox) -> None:
        self._owner: Owner | None = owner
        self._outbox = outbox
        self._transport: asyncio.Transport | None = None
        self._chunked = True
        self.request: Request | None = None
        """The request that is being answered."""
        self.begun = False
        """Whether the head of its answer has left."""

    def open(self, transport: asyncio.Transport) -> None:
        """Write here from now on."""
        self._transport = transport

    def close(self) -> None:
        """The client has gone: whatever is answered from now on goes nowhere."""
        self._owner = None
        self._transport = None
        self.request = None

    def begin(self, request: Request) -> None:
        """Answer this request next."""
        self.request = request
        self.begun = False

    def respond(self, status: int, headers: bytes, body: bytes) -> None:
        """Answer the request in progress in one write. `headers` is a block of complete header lines."""
        request, transport, owner = self.request, self._transport, self._owner
        if request is None or transport is None or owner is None:
            return
        request.keep_alive = open_after = owner.stays_open(request)
        close = (b"" if request.version == "1.1" else KEPT) if open_after else CLOSED
        size = len(body)
        if (status != 200 and status in (204, 304)) or request.method == b"HEAD":
            body = b""  # or the client would read it as the next answer
        apart = b""
        if size > LARGE_BYTES:
            apart, body = body, b""
        if status == 204:  # may not even state a length (RFC 9110 section 8.6)
            answer = b"%b%b%b\r\n" % (STATUS_LINES[status], headers, close)
        else:
            answer = b"%b%bcontent-length: %d\r\n%b\r\n%b" % (STATUS_LINES[status], headers, size, close, body)
        self._outbox.write(transport, answer)
        if apart:
            self._outbox.write(transport, apart)
        self.request = None
        owner.answered(request)

    def begin_stream(self, status: int, headers: bytes, first: bytes) -> None:
        """Send the head of an answer of unknown length together with its first bytes."""
        request, transport, owner = self.request, self._transport, self._owner
        if request is None or transport is None or owner is None:
            return
        self.begun = True
        self._chunked = request.version == "1.1"
        if not self._chunked:
            request.keep_alive = False  # HTTP/1.0 knows no chunks: the close is the end
        close = b"" if owner.stays_open(request) else CLOSED
        if self._chunked:
            head = b"%b%btransfer-encoding: chunked\r\n%b\r\n" % (STATUS_LINES[status], headers, close)
            data = b"%b%x\r\n%b\r\n" % (head, len(first), first) if first else head
        else:
            data = b"%b%b%b\r\n%b" % (STATUS_LINES[status], headers, close, first)
        self._outbox.write(transport, data)

    def write(self, data: bytes) -> None:
        """Send more of the answer begun; `data` is not empty."""
        transport = self._transport
        if transport is None:
            return
        if self._chunked:
            size = len(data)
            data = SIZE_LINES[size] + data + CRLF if size < len(SIZE_LINES) else b"%x\r\n%b\r\n" % (size, data)
        self._outbox.write(transport, data)

    def end_stream(self, last: bytes = b"") -> None:
        """The answer is whole, with these last bytes; they leave in one write with the end of the body."""
        request, transport, owner = self.request, self._transport, self._owner
        if request is None or transport is None or owner is None:
            return
        if self._chunked:
            end = b"%x\r\n%b\r\n0\r\n\r\n" % (len(last), last) if last else b"0\r\n\r\n"
            self._outbox.write(transport, end)
        elif last:
            self._outbox.write(transport, last)
        self.request = None
        self.begun = False
        request.keep_alive = owner.stays_open(request)
        owner.answered(request)

    def cut(self) -> None:
        """Break off an answer that cannot be ended in its own format: the client must see that it is not whole."""
        owner = self._owner
        if owner is not None:
            owner.cut_off()

    def breaks_off(self) -> None:
        """The connection is to be closed now. Of an answer that only the close ends (HTTP/1.0) that would be the end:
        a reset is none. Over TLS a close without a close_notify is none either, and the socket is another's."""
        if not self.begun or self._chunked or self._transport is None:
            return
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def go_on(self) -> None:
        """Ask for the body of the request whose head is in (RFC 9110 section 10.1.1)."""
        transport = self._transport
        if transport is not None:
            self._outbox.write(transport, GO_ON)

    def probe(self) -> None:
        """Send what changes no answer: before its head a 100, which any client skips (RFC 9110 section 15.2), and in
        a chunked body a zero in front of the size of the next chunk (RFC 9112 section 7.1: one digit or more)."""
        transport = self._transport
        if transport is not None and (self._chunked or not self.begun):
            self._outbox.write(transport, b"0" if self.begun else GO_ON)
