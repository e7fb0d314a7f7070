"""Keep-alive connections to one origin: O(1) to take, O(1) to give back, bounded, first come first served.

The most recently used connection is taken first, so a quiet pool shrinks: the others pass their idle deadline and
close. A call over the bound waits its turn in line, under its own connect deadline.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

from engines.errors import ConnectFailed, NoConnectionFree, TotalTimeout
from engines.http1 import Call, Connection
from engines.model import Deadlines
from engines.port import Sink, Spawn

IDLE_S = 30.0
"""Shorter than the keep-alive of common servers is impossible (uvicorn: 5 s), so a close may always cross our write;
the connection's replay rule covers that."""
RECEIVE_BUFFER_BYTES = 64 * 1024
"""SO_RCVBUF. The kernel doubles it for its own book-keeping, so one read brings at most 128 KiB: with the client's
64 KiB write buffer a paused stream holds under 256 KiB of ours. (uvloop would read 256,000 bytes at once.)"""
TLS_BUFFER_BYTES = 16 * 1024
"""Over this, what has come and is not yet decrypted stops the reading of a paused stream: one record. The loop's own
256 KiB would come on top of all that, and with it the one read that passes the mark."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where to connect to: a TCP host and port, or a unix socket; TLS when `tls` is given."""

    host: str
    port: int
    base_path: str = ""
    uds: str | None = None
    tls: ssl.SSLContext | None = field(default=None, compare=False)

    @property
    def authority(self) -> str:
        """The Host header: brackets for IPv6, the port unless it is the scheme's own."""
        if self.uds is not None:
            return "localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


def parse_origin(url: str, tls: ssl.SSLContext | None = None) -> Origin:
    """Read `http://host:port/base`, `https://...` or `unix:/path/to.sock`.

    `tls` replaces the default context (system authorities, host name checked) of an https URL.
    Raises ValueError with a sentence that says what is wrong.
    """
    if url.startswith("unix:"):
        path = url.removeprefix("unix:").removeprefix("//")
        if not path.startswith("/"):
            raise ValueError(f"{url!r}: a unix socket URL is unix:/absolute/path.sock")
        return Origin(host="localhost", port=80, uds=path)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is not an http://, https:// or unix: URL")
    if parts.query or parts.fragment or parts.username or parts.password:
        raise ValueError("an engine URL has no user, password, query or fragment")
    secure = parts.scheme == "https"
    return Origin(
        host=parts.hostname,
        port=parts.port or (443 if secure else 80),
        base_path=parts.path.rstrip("/"),
        tls=(tls or ssl.create_default_context()) if secure else None,
    )


class Pool:
    """The connections to one origin."""

    __slots__ = ("_idle", "_limit", "_loop", "_open", "_spawn", "_waiting", "closing", "idle_s", "origin")

    def __init__(self, origin: Origin, spawn: Spawn, *, limit: int = 10_000, idle_s: float = IDLE_S) -> None:
        self.origin = origin
        self.idle_s = idle_s
        self.closing = False
        self._spawn = spawn
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._idle: dict[Connection, None] = {}  # ordered: the last is the most recently used
        self._open = 0  # connections that exist or are being made
        self._waiting: OrderedDict[Call, None] = OrderedDict()  # who gives up leaves in O(1)

    @property
    def open_connections(self) -> int:
        """Connections that exist or are being made."""
        return self._open

    @property
    def idle_connections(self) -> int:
        return len(self._idle)

    def send(self, head: bytes, body: bytes, deadlines: Deadlines, sink: Sink) -> Call:
        """Send one request; see `engines.port.Engine.send` for the rules."""
        call = Call(head, body, deadlines, sink, self._loop.time())
        if self._idle:
            connection, _ = self._idle.popitem()
            connection.send(call)
        else:
            self.send_fresh(call)
        return call

    def send_fresh(self, call: Call) -> None:
        """Send on a connection that was never used before."""
        if self._open < self._limit:
            self._open += 1
            self._spawn("connect", lambda: self._connect(call))
        else:
            self._waiting[call] = None
            bound = self._bound_s(call)
            self._loop.call_later(bound, self._give_up, call, bound)

    def release(self, connection: Connection) -> None:
        """Take back a connection that is open and free."""
        while self._waiting:
            call, _ = self._waiting.popitem(last=False)
            if not call.finished:
                connection.reused = True
                connection.send(call)
                return
        if self.closing:
            connection.abort()
            return
        connection.keep_idle(self._loop.time() + self.idle_s)
        self._idle[connection] = None

    def lost(self, connection: Connection) -> None:
        """Forget a connection that has closed. Called at most once per connection by its close, again by its loss."""
        self._idle.pop(connection, None)
        if not connection.counted:
            return
        connection.counted = False
        self._open -= 1
        while self._waiting and self._open < self._limit:
            call, _ = self._waiting.popitem(last=False)
            if not call.finished:
                self.send_fresh(call)

    def close(self) -> None:
        """Close what is idle now, and what is busy when its call ends."""
        self.closing = True
        for connection in list(self._idle):
            connection.abort()

    def _give_up(self, call: Call, bound: float) -> None:
        if call.connection is None and call in self._waiting:
            del self._waiting[call]  # an aborted one too: its body must not wait for a connection to come free
            if call.finished:
                return
            busy = f"all {self._limit} connections to the engine stayed busy for {bound:g} s"
            call.fail(TotalTimeout(busy) if bound < call.deadlines.connect_s else NoConnectionFree(busy))

    def _bound_s(self, call: Call) -> float:
        """How long the call may take to get its connection. Under `connect_s` it is the caller's whole time that
        bounds it: running out of that says nothing about the engine."""
        deadlines = call.deadlines
        if deadlines.total_s is None:
            return deadlines.connect_s
        return max(0.0, min(deadlines.connect_s, call.started_at + deadlines.total_s - self._loop.time()))

    def _out_of_time(self, call: Call) -> bool:
        """Whether it was the caller's whole time that bounded the wait; that says nothing about the engine."""
        total_s = call.deadlines.total_s
        return total_s is not None and self._bound_s(call) < 0.001  # a timer may fire within its millisecond

    async def _connect(self, call: Call) -> None:
        origin = self.origin
        bound = self._bound_s(call)
        connection = Connection(self, self._loop)
        try:
            async with asyncio.timeout(bound):
                sock = await self._dial()
                server_hostname = origin.host if origin.tls is not None else None
                if origin.uds is not None:
                    await self._loop.create_unix_connection(lambda: connection, sock=sock)
                else:
                    transport, _ = await self._loop.create_connection(
                        lambda: connection, sock=sock, ssl=origin.tls, server_hostname=server_hostname
                    )
                    if origin.tls is not None:
                        cast("Any", transport).set_read_buffer_limits(high=TLS_BUFFER_BYTES)
        except BaseException as error:
            self.lost(connection)
            if isinstance(error, TimeoutError) and self._out_of_time(call):
                call.fail(TotalTimeout(f"no connection to the engine within {call.deadlines.total_s:g} s"))
            else:
                call.fail(_connect_failure(error, bound))
            if not isinstance(error, (OSError, TimeoutError)):
                raise
            return
        if connection.closed:
            call.fail(ConnectFailed("the engine closed the connection at once"))
        elif call.finished:
            # The client left while we connected; the connection is as good as new for the next one.
            self.release(connection)
        else:
            connection.send(call)

    async def _addresses(self) -> list[tuple[int, Any]]:
        """Family and address of each place the host name stands for."""
        host, port = self.origin.host, self.origin.port
        for family in (socket.AF_INET, socket.AF_INET6):
            try:
                socket.inet_pton(family, host)
            except OSError:
                continue
            return [(family, (host, port))]  # a literal address needs no resolver thread
        try:
            found = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except UnicodeError:
            raise OSError("no host can have this name") from None
        return [(family, address) for family, _, _, _, address in found]

    async def _dial(self) -> socket.socket:
        """A connected socket, with our options: each address of the name in turn."""
        origin = self.origin
        if origin.uds is not None:
            candidates: list[tuple[int, Any]] = [(socket.AF_UNIX, origin.uds)]
        else:
            candidates = await self._addresses()
        failure: OSError = OSError("the name has no address")
        for family, address in candidates:
            sock = socket.socket(family, socket.SOCK_STREAM)
            try:
                sock.setblocking(False)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
                if family != socket.AF_UNIX:
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                await self._loop.sock_connect(sock, address)
            except OSError as error:
                sock.close()
                failure = error
            except BaseException:
                sock.close()
                raise
            else:
                return sock
        raise failure


def _connect_failure(error: BaseException, bound_s: float) -> ConnectFailed | NoConnectionFree:
    match error:
        case OSError(errno=errno.EMFILE | errno.ENFILE | errno.EADDRNOTAVAIL | errno.ENOBUFS | errno.ENOMEM):
            # Ours, not the engine's: blaming it would open the breakers of every replica at once.
            why = os.strerror(error.errno or 0).lower()
            return NoConnectionFree(f"the gateway can open no more connections: {why}")
        case TimeoutError():
            return ConnectFailed(f"no connection to the engine within {bound_s:g} s")
        case ssl.SSLCertVerificationError():
            return ConnectFailed(f"the engine's TLS certificate is not trusted: {error.verify_message}")
        case ssl.SSLError():
            return ConnectFailed("the TLS handshake with the engine failed")
        case OSError():
            # The loop's own words may hold the address, which is no client's business.
            number = error.errno or 0
            why = os.strerror(number) if number > 0 else "its name has no usable address"
            return ConnectFailed(f"cannot connect to the engine: {why.lower()}")
        case _:
            return ConnectFailed("the connection attempt was cancelled")
