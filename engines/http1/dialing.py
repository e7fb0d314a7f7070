"""Makes connections to one origin: its addresses are raced, and TLS is read a slice at a time.

The race is RFC 8305's: families take turns, an address that has not answered within the attempt delay is joined by the
next, one that fails is replaced at once, and the first to connect wins. It sets no bound of its own; the pool does.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections import deque
from contextlib import suppress
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Final

from engines.errors import ConnectFailed, NotSent, OutOfSockets
from engines.http1.answer import LIMITS, Limits
from engines.http1.connection import Connection
from engines.http1.familiar import Familiar
from engines.http1.proxy import ProxyRefused, tunnel
from engines.http1.resolver import LookUp, Place, Resolver, look_up
from engines.http1.slices import BUFFER_BYTES, Slices

if TYPE_CHECKING:
    from engines.http1.call import Carrier, CarrierHome
    from engines.http1.origin import Origin
    from engines.http1.proxy import Proxy

RECEIVE_BUFFER_BYTES: Final = 64 * 1024
"""SO_RCVBUF. The kernel doubles it for its own book-keeping, so one read brings at most 128 KiB: with the client's
64 KiB write buffer a paused stream holds under 256 KiB of ours. (uvloop would read 256,000 bytes at once.)"""
ATTEMPT_DELAY_S: Final = 0.25
"""RFC 8305 section 5 recommends 250 ms."""
OURS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM})
"""What this process or machine has run out of: descriptors, local ports, memory."""


class Dialer:
    """The way to one origin."""

    __slots__ = (
        "_attempt_delay_s",
        "_familiar",
        "_limits",
        "_loop",
        "_receive_bytes",
        "_resolver",
        "_slice",
        "origin",
    )

    def __init__(
        self,
        origin: Origin,
        *,
        limits: Limits = LIMITS,
        attempt_delay_s: float = ATTEMPT_DELAY_S,
        receive_bytes: int | None = RECEIVE_BUFFER_BYTES,
        look_up: LookUp = look_up,
    ) -> None:
        """`receive_bytes`: how much the kernel keeps of an answer that nobody reads; None: as much as it sees fit."""
        self.origin = origin
        self._receive_bytes = receive_bytes
        self._limits = limits
        self._familiar = Familiar()
        self._attempt_delay_s = attempt_delay_s
        self._loop = asyncio.get_running_loop()
        way = origin.proxy or origin
        self._resolver = Resolver(way.host, way.port, look_up=look_up)
        self._slice = memoryview(bytearray(BUFFER_BYTES if origin.tls is not None else 0))

    async def dial(self, home: CarrierHome) -> Carrier:
        """A new connection that belongs to `home`. Raises OSError, ssl.SSLError included. It sets no time limit."""
        origin = self.origin
        if origin.uds is not None:
            sock = await self._attempt((socket.AF_UNIX, origin.uds))
        else:
            sock = await self._race(await self._resolver.places())
            if origin.proxy is not None:
                await self._tunnel(sock, origin.proxy)
        connection = Connection(home, self._loop, self._limits, self._familiar)
        try:
            if origin.uds is not None:
                await self._loop.create_unix_connection(lambda: connection, sock=sock)
            elif origin.tls is None:
                await self._loop.create_connection(lambda: connection, sock=sock)
            else:
                slices = Slices(connection, self._slice)
                await self._loop.create_connection(
                    lambda: slices, sock=sock, ssl=origin.tls, server_hostname=origin.host
                )
        except BaseException:
            connection.dispose()  # one that was never made is never lost
            raise
        return connection

    async def _tunnel(self, sock: socket.socket, proxy: Proxy) -> None:
        try:
            await tunnel(self._loop, sock, proxy, self.origin.host, self.origin.port)
        except BaseException:
            sock.close()
            raise

    async def _race(self, places: list[Place]) -> socket.socket:
        """A connected socket: the first of these places that answers."""
        if len(places) == 1:
            return await self._attempt(places[0])
        waiting = deque(take_turns(places))
        racing: set[asyncio.Future[socket.socket]] = set()
        failure = OSError("the name has no address")
        winner: socket.socket | None = None
        try:
            while winner is None and (waiting or racing):
                if waiting:
                    racing.add(asyncio.ensure_future(self._attempt(waiting.popleft())))
                finished, racing = await asyncio.wait(
                    racing,
                    timeout=self._attempt_delay_s if waiting else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for attempt in finished:
                    error = attempt.exception()
                    if error is None and winner is None:
                        winner = attempt.result()
                    elif error is None:
                        attempt.result().close()
                    elif not isinstance(error, OSError):
                        raise error
                    elif failure.errno not in OURS:
                        failure = error
        finally:
            for attempt in racing:
                attempt.cancel()
            for attempt in racing:
                with suppress(OSError, asyncio.CancelledError):
                    (await attempt).close()  # it connected in the very moment
        if winner is not None:
            return winner
        try:
            raise failure
        finally:
            del failure, attempt, error  # its traceback holds this frame

    async def _attempt(self, place: Place) -> socket.socket:
        """A socket connected to this place, with our options."""
        family, address = place
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            if self._receive_bytes is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_bytes)
            if family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await self._loop.sock_connect(sock, address)
        except BaseException as error:
            sock.close()
            if family == socket.AF_INET6 and isinstance(error, OSError) and error.errno == errno.EADDRNOTAVAIL:
                raise OSError(errno.ENETUNREACH, "no IPv6 here") from None  # no address to come from, not no port
            raise
        return sock


def take_turns(places: list[Place]) -> list[Place]:
    """In the resolver's order, but the families alternate (RFC 8305 section 4)."""
    first = [place for place in places if place[0] == places[0][0]] if places else []
    other = [place for place in places if place[0] != places[0][0]]
    return [place for place in chain.from_iterable(zip_longest(first, other)) if place is not None]


def why_not(error: BaseException, bound_s: float) -> NotSent:
    """What a call is told whose connection could not be made. The loop's own words may hold an address."""
    match error:
        case ProxyRefused() if error.status == 407:
            return ConnectFailed("the proxy on the way to the engine refuses our credentials")
        case ProxyRefused():
            said = f"answered {error.status}" if error.status else "did not answer as one"
            return ConnectFailed(f"the proxy on the way to the engine {said}")
        case OSError() if error.errno in OURS:
            why = os.strerror(error.errno or 0).lower()
            return OutOfSockets(f"the gateway can open no more connections: {why}")
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
