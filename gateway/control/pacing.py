"""Many small questions in the background, so few at a time that nobody's streams stand still for them.

With one worker the streams share the loop: to begin 19,200 probes in one turn held it for 330 ms, and their connecting
for 1.6 s (measured). At most `PER_TURN` are begun in a turn, which nobody else who works in steps has, and the next
after `PAUSE_S`: 400 in a second and 7 % of a core. A round over more replicas than fit into its interval takes longer.
Who asks for the first time knows nothing yet, and is in a hurry: all of those together begin the next after `HURRY_S`,
so that 19,200 replicas are known within some 20 s, and not in a minute, of about a third of a core.

Answers come when they come: after a hiccup of the network all of them, in one turn. So few are awaited at a time, by
all who ask together. One that has not come in `SILENT_S` makes room for another: it may never come.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final
from weakref import WeakKeyDictionary

from engines.turns import own_turn

PER_TURN: Final = 2
"""To begin one takes 0.1 ms, a connection made included; and as many answers come in a turn."""
PAUSE_S: Final = 0.005
HURRY_S: Final = 0.001
AT_ONCE: Final = 256
"""In flight: as many replicas as may be silent until their time is up without holding back the others."""
TOGETHER: Final = 64
"""Awaited by all rounds of a loop: three that begin 400 in a second each keep that up where an answer takes 53 ms on
the mean, and so many that come at once are read in one to two milliseconds."""
SILENT_S: Final = 0.5

_seats: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore]] = WeakKeyDictionary()
_hurries: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]] = WeakKeyDictionary()
"""One pause of a loop's hurried rounds at a time."""


class _Seat:
    """That of one question, until it is over or silent."""

    __slots__ = ("_among", "_silent")

    def __init__(self, among: asyncio.Semaphore) -> None:
        """It has been acquired."""
        self._among = among
        self._silent: asyncio.TimerHandle | None = asyncio.get_running_loop().call_later(SILENT_S, self.leave)

    def leave(self) -> None:
        if self._silent is not None:
            self._silent.cancel()
            self._silent = None
            self._among.release()


async def paced(
    works: Iterable[Callable[[], Coroutine[Any, Any, None]]],
    paused: Callable[[], None] = lambda: None,
    *,
    hurried: bool = False,
) -> None:
    """Run all works, which are asked for as they are begun. `paused` is called in each pause, and at the end.

    `hurried` is for a first round: it shares a shorter pause with all others that are.
    """
    loop = asyncio.get_running_loop()
    free, seats = asyncio.Semaphore(AT_ONCE), _seats.get(loop)
    if seats is None:
        seats = _seats[loop] = asyncio.Semaphore(TOGETHER)
    hurry = _hurries.get(loop)
    if hurry is None:
        hurry = _hurries[loop] = asyncio.Lock()

    def over(seat: _Seat, _: asyncio.Task[None]) -> None:
        free.release()
        seat.leave()

    async with asyncio.TaskGroup() as group:
        for begun, work in enumerate(works):
            if begun % PER_TURN == 0:
                if begun:
                    if hurried:
                        async with hurry:
                            await asyncio.sleep(HURRY_S)
                    else:
                        await asyncio.sleep(PAUSE_S)
                    paused()
                await own_turn()
            await free.acquire()
            await seats.acquire()
            asking = group.create_task(work())
            # not in the task: one that is cancelled before its first step would keep its seat
            asking.add_done_callback(functools.partial(over, _Seat(seats)))
    paused()
