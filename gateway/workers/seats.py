"""The listening sockets of all seats, in one worker: it accepts on its own, and on those of seats that are empty.

The kernel goes on handing connections to the socket of a worker that has died, since the gateway keeps it for the
successor. Every worker is born with the sockets of all seats, so that the others accept there meanwhile: a client does
not wait for the back-off and the start of a process, and none is reset.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Protocol

import structlog

from gateway.http.listen import Listener
from gateway.workers.changes import Changes, Spawn

log = structlog.get_logger()


class Accepting(Protocol):
    """Who serves what connects: `gateway.workers.worker.Worker`."""

    @property
    def draining(self) -> bool: ...

    async def accept(self, sock: socket.socket) -> Listener:
        """Accept connections on a bound socket, which is the listener's from now on. Raises OSError."""

    def leave(self, listener: Listener) -> None:
        """Accept no more there."""


class Seats:
    """See the module."""

    def __init__(self, worker: Accepting, sockets: Sequence[socket.socket], own: int, spawn: Spawn) -> None:
        """`own` is the place of this worker's among all sockets."""
        self.own = sockets[own]
        self._worker = worker
        self._others = {seat: sock for seat, sock in enumerate(sockets) if seat != own}
        self._covered: dict[int, Listener] = {}
        self._changes = Changes(spawn)

    def cover(self, seat: int, on: bool) -> None:
        """Accept the connections of a seat too, or no longer; in the order in which it is told."""
        self._changes.put(lambda: self._cover(seat, on))

    def close(self) -> None:
        """Accept for nobody else, and let go of their sockets: those would take connections that nobody serves."""
        for sock in self._others.values():
            sock.close()
        self._others.clear()

    async def _cover(self, seat: int, on: bool) -> None:
        worker = self._worker
        listener = self._covered.pop(seat, None)
        if on and seat in self._others and not worker.draining:
            try:
                self._covered[seat] = listener or await worker.accept(self._others[seat].dup())
            except OSError as error:  # no descriptors: its connections wait for its successor, as ours would
                log.error("seat_not_covered", seat=seat, why=str(error))
        elif listener is not None:
            worker.leave(listener)
