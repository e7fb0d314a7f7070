"""Listening over TLS: a connection takes a seat when it is accepted, not only when its handshake is over.

An event loop's own TLS server tells nobody of a connection before its handshake is over, so clients who never begin one
could hold every descriptor of the process.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from engines.port import Spawn

HANDSHAKE_S: Final = 10.0
PAUSE_S: Final = 1.0
"""Without descriptors, until accepting is tried again: the socket stays readable, and would be tried without end."""
AT_ONCE: Final = 64
"""Accepted in one turn of the event loop."""


class Seats(Protocol):
    """Who counts: `gateway.http.clients.Clients`, with the limit of the moment."""

    def arriving(self) -> bool:
        """Another connection begins its handshake; False when there is no seat for it."""

    def arrived(self) -> None:
        """Its handshake is over, well or not; if well, it has taken a seat as a connection."""


class TlsListener:
    """Accepts on one bound socket until it is closed."""

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        connect: Callable[[], asyncio.Protocol],
        seats: Seats,
        spawn: Spawn,
        *,
        handshake_s: float = HANDSHAKE_S,
    ) -> None:
        """`connect` makes the protocol of each connection. Listens at once; raises OSError when it cannot."""
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._context = context
        self._connect = connect
        self._seats = seats
        self._spawn = spawn
        self._handshake_s = handshake_s
        self._paused: asyncio.TimerHandle | None = None
        sock.setblocking(False)
        sock.listen(4096)
        self._loop.add_reader(sock, self._accept)

    def close(self) -> None:
        """Accept no more; handshakes in progress go on."""
        if self._paused is not None:
            self._paused.cancel()
        self._loop.remove_reader(self._sock)
        self._sock.close()

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                sock, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:
                self._loop.remove_reader(self._sock)
                self._paused = self._loop.call_later(PAUSE_S, self._go_on)
                return
            sock.setblocking(False)
            if self._seats.arriving():
                self._spawn("tls_handshake", functools.partial(self._shake_hands, sock))
            else:
                sock.close()  # nothing can be told before the handshake

    def _go_on(self) -> None:
        self._paused = None
        self._loop.add_reader(self._sock, self._accept)

    async def _shake_hands(self, sock: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._connect, sock, ssl=self._context, ssl_handshake_timeout=self._handshake_s
            )
        except (OSError, TimeoutError):  # a broken handshake is an OSError too
            sock.close()
        finally:
            self._seats.arrived()
