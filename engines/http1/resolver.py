"""The addresses of one host name, looked up in a thread of its own.

The event loop's own resolver shares a few threads among all names, so a name whose lookup hangs (a dead DNS server is
silent for half a minute) would take them from every other. Here each origin has at most one thread at a time, those who
wait for it wait under their own bounds, and what it finds serves for some seconds.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

Place = tuple[int, Any]
"""Family and address of a socket."""
LookUp = Callable[[str, int], list[Place]]

KEEP_S: Final = 5.0
"""Names of services that scale change their addresses within seconds."""


THREADS: Final = threading.Semaphore(256)
"""Of all lookups of the process: when so many hang at once, it is the resolver that is dead and not a name."""


def look_up(host: str, port: int) -> list[Place]:
    """Ask the system. Blocks. Raises OSError, or UnicodeError for what can be no name."""
    return [(family, address) for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def literal(host: str, port: int) -> list[Place]:
    """The one place that a literal address is; empty for a name."""
    for family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError):
            socket.inet_pton(family, host)
            return [(family, (host, port))]
    return []


class Resolver:
    """The addresses of one host name."""

    __slots__ = ("_fresh_until", "_host", "_keep_s", "_look_up", "_loop", "_places", "_port", "_running", "_threads")

    def __init__(
        self,
        host: str,
        port: int,
        *,
        look_up: LookUp = look_up,
        keep_s: float = KEEP_S,
        threads: threading.Semaphore = THREADS,
    ) -> None:
        """`keep_s`: how long what was found is used again, in seconds. `threads`: how many may run, with others'."""
        self._threads = threads
        self._host = host
        self._port = port
        self._look_up = look_up
        self._keep_s = keep_s
        self._loop = asyncio.get_running_loop()
        self._places = literal(host, port)
        self._fresh_until = float("inf") if self._places else 0.0
        self._running: asyncio.Future[list[Place] | OSError] | None = None

    async def places(self) -> list[Place]:
        """Where to connect to. Raises OSError when the name has no address; takes as long as the lookup takes."""
        if self._loop.time() < self._fresh_until:
            return self._places
        if self._running is None:
            self._running = self._start()
        found = await asyncio.shield(self._running)  # who gives up leaves it to the others, and to the next
        if isinstance(found, OSError):
            raise NoAddress(str(found)) if isinstance(found, NoAddress) else OSError(found.errno, found.strerror)
        return found

    def _start(self) -> asyncio.Future[list[Place] | OSError]:
        found: asyncio.Future[list[Place] | OSError] = self._loop.create_future()
        thread = threading.Thread(target=self._run, args=(found,), name=f"resolve {self._host}", daemon=True)
        if not self._threads.acquire(blocking=False):
            raise OSError(errno.ENOMEM, "too many lookups hang")
        try:
            thread.start()
        except RuntimeError:
            self._threads.release()
            raise OSError(errno.ENOMEM, "no thread could be started") from None
        return found

    def _run(self, found: asyncio.Future[list[Place] | OSError]) -> None:
        """The thread."""
        outcome: list[Place] | OSError
        try:
            outcome = self._look_up(self._host, self._port)
        except (ValueError, OverflowError):  # UnicodeError is one
            outcome = NoAddress("no host can have this name")
        except OSError:
            outcome = NoAddress("the name has no address")
            try:
                socket.socket().close()  # the system's resolver hides that it had no descriptor to ask with
            except OSError as error:
                outcome = OSError(error.errno, error.strerror)
        self._threads.release()
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._found, found, outcome)

    def _found(self, found: asyncio.Future[list[Place] | OSError], outcome: list[Place] | OSError) -> None:
        self._running = None
        if not isinstance(outcome, OSError):
            self._places = outcome
            self._fresh_until = self._loop.time() + self._keep_s
        if not found.done():
            found.set_result(outcome)


class NoAddress(OSError):
    """The name stands for no address."""
