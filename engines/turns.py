"""Turns of the loop that background work has to itself: what streams wait for is one piece of it at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final
from weakref import WeakKeyDictionary


class _Line:
    """Who waits for a turn of one loop."""

    __slots__ = ("_taken", "_waiting")

    def __init__(self) -> None:
        self._taken = False
        """Whether this turn, or the next that was given away, is somebody's."""
        self._waiting: deque[asyncio.Future[None]] = deque()

    def join(self) -> asyncio.Future[None] | None:
        """What to wait for; None: this turn is the caller's."""
        if self._taken:
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            return waiting
        self._taken = True
        asyncio.get_running_loop().call_soon(self._give)
        return None

    def _give(self) -> None:
        """Give the next turn to whoever has waited for longest."""
        while self._waiting:
            first = self._waiting.popleft()
            if not first.done():  # who was cancelled needs none
                first.set_result(None)
                asyncio.get_running_loop().call_soon(self._give)  # behind who was given it, in the same turn
                return
        self._taken = False


_lines: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, _Line]] = WeakKeyDictionary()


async def own_turn() -> None:
    """Return in another turn of the loop, in which nobody else returns from here; those who wait come in their order.

    Each piece of work that nobody waits for at once, and that takes a good part of a millisecond, is done behind it.
    """
    await asyncio.sleep(0)
    await this_turn()


async def this_turn() -> None:
    """Return at once where this turn is nobody's."""
    loop = asyncio.get_running_loop()
    line = _lines.get(loop)
    if line is None:
        line = _lines[loop] = _Line()
    waiting = line.join()
    if waiting is not None:
        await waiting
