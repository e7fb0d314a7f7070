"""Makes connections to one origin: looks its name up, dials its addresses, shakes hands over TLS."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from typing import TYPE_CHECKING, Any, Final, cast

from engines.errors import ConnectFailed, NoConnectionFree
from engines.http1.answer import LIMITS, Limits
from engines.http1.connection import Connection

if TYPE_CHECKING:
    from engines.http1.call import Home, Line
    from engines.http1.origin import Origin

RECEIVE_BUFFER_BYTES: Final = 64 * 1024
"""SO_RCVBUF. The kernel doubles it for its own book-keeping, so one read brings at most 128 KiB: with the client's
64 KiB write buffer a paused stream holds under 256 KiB of ours. (uvloop would read 256,000 bytes at once.)"""
TLS_BUFFER_BYTES: Final = 16 * 1024
"""Over this, what has come and is not yet decrypted stops the reading of a paused stream: one record. The loop's own
256 KiB would come on top of all that, and with it the one read that passes the mark."""


class Dialer:
    """The way to one origin."""

    __slots__ = ("_limits", "_loop", "origin")

    def __init__(self, origin: Origin, *, limits: Limits = LIMITS) -> None:
        self.origin = origin
        self._limits = limits
        self._loop = asyncio.get_running_loop()

    async def dial(self, home: Home) -> Line:
        """A new connection that belongs to `home`. Raises OSError, ssl.SSLError included. It sets no time limit."""
        origin = self.origin
        connection = Connection(home, self._loop, self._limits)
        sock = await self._connected()
        if origin.uds is not None:
            await self._loop.create_unix_connection(lambda: connection, sock=sock)
            return connection
        transport, _ = await self._loop.create_connection(
            lambda: connection,
            sock=sock,
            ssl=origin.tls,
            server_hostname=origin.host if origin.tls is not None else None,
        )
        if origin.tls is not None:
            cast("Any", transport).set_read_buffer_limits(high=TLS_BUFFER_BYTES)
        return connection

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

    async def _connected(self) -> socket.socket:
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


def why_not(error: BaseException, bound_s: float) -> ConnectFailed | NoConnectionFree:
    """What a call is told whose connection could not be made. The loop's own words may hold an address."""
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
