"""The open connections of one worker: how many there may be, and which one goes when there are too many.

A connection that was refused and only lingers, so that its client can read why, is no client any more: it takes no
seat, and there may be `MAX_LINGERING` of them. When the seats are taken, the connection that has been idle for longest
gives its up: its client has had its answer, and one that keeps connections in stock opens another when it needs it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from gateway.http.handler import Visitor

MAX_LINGERING: Final = 256
OLDEST: Final = 64
"""Idle connections found by one look at all, so that a flood of new ones costs few such looks (1 ms for 10,000)."""


class Clients:
    """Has a length, which is the seats taken; iterates over all, those that linger too."""

    __slots__ = ("_lingering", "_oldest", "_refused", "_seated", "handshakes")

    def __init__(self) -> None:
        self._seated: set[Visitor] = set()
        self._lingering: set[Visitor] = set()
        self._oldest: list[tuple[float, Visitor]] = []
        """The longest idle last, as they were when all were looked at."""
        self.handshakes = 0
        """Connections over TLS that have not shaken hands; each has a seat."""
        self._refused = 0
        """How many found no seat since nobody idle was found."""

    def __len__(self) -> int:
        return len(self._seated)

    def __iter__(self) -> Iterator[Visitor]:
        return iter([*self._seated, *self._lingering])

    def opened(self, visitor: Visitor, seats: int) -> bool:
        """Give it a seat; False when none is free and nobody is idle."""
        if len(self._seated) >= seats and not self._make_room():
            return False
        self._seated.add(visitor)
        return True

    def arriving(self, seats: int) -> bool:
        """Keep a seat for a connection that begins its handshake; False when none is free and nobody is idle."""
        if len(self._seated) + self.handshakes >= seats and not self._make_room():
            return False
        self.handshakes += 1
        return True

    def arrived(self) -> None:
        """A handshake is over; if it went well the connection was `opened`."""
        self.handshakes -= 1

    def lingers(self, visitor: Visitor) -> bool:
        """It was refused, and wants to wait until its client has read that. False when too many wait already."""
        self._seated.discard(visitor)
        if len(self._lingering) >= MAX_LINGERING:
            return False
        self._lingering.add(visitor)
        return True

    def lost(self, visitor: Visitor) -> None:
        """It is gone."""
        self._seated.discard(visitor)
        self._lingering.discard(visitor)

    def _make_room(self) -> bool:
        """Close the connection that has been idle for longest."""
        if not self._oldest and self._refused % OLDEST == 0:
            idle = [(since_s, visitor) for visitor in self._seated if (since_s := visitor.idle_since_s) is not None]
            self._oldest = heapq.nsmallest(OLDEST, idle, key=_since)
            self._oldest.reverse()
        while self._oldest:
            since_s, visitor = self._oldest.pop()
            if visitor in self._seated and visitor.idle_since_s == since_s:
                self._refused = 0
                self._seated.discard(visitor)
                visitor.drain()
                return True
        self._refused += 1
        return False


def _since(idle: tuple[float, Visitor]) -> float:
    return idle[0]
