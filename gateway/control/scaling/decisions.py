"""What was decided of numbers of replicas: the last thousand in memory, and all of it in the store, where there is one.

Decisions are made where nobody waits for a database, so they are told to its writer afterwards; what it does not
confirm is told again, and it stores what it is told twice once.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import structlog

from gateway.store.scalings.messages import KeepScalings, ScalingsKept, StoredScaling

KEPT: Final = 1_000
EVERY_S: Final = 1.0
AT_ONCE: Final = 100

Keep = Callable[[KeepScalings], Awaitable[ScalingsKept]]

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Decided:
    """One decision that changed a number of replicas."""

    at: str
    engine: str
    had: int
    wanted: int
    why: str
    sentence: str


class ScalingLog:
    """Of one gateway."""

    def __init__(self, keep: Keep | None = None) -> None:
        """`keep` stores them; None: nobody does."""
        self._keep = keep
        self._run = uuid.uuid4().hex
        self._number = 0
        self._last: deque[Decided] = deque(maxlen=KEPT)
        self._unsent: deque[StoredScaling] = deque(maxlen=KEPT)
        """While the store is away, the oldest of more than these are lost to it."""
        self._problem = ""

    @property
    def last(self) -> list[Decided]:
        """The newest first."""
        return list(reversed(self._last))

    def decided(self, one: Decided, at_ms: int) -> None:
        """Note it."""
        self._last.append(one)
        if self._keep is not None:
            self._number += 1
            self._unsent.append(
                StoredScaling(self._number, at_ms, one.engine, one.had, one.wanted, one.why, one.sentence)
            )

    async def send(self) -> None:
        """The step of the loop: have stored what is not. Also at the end."""
        while self._keep is not None and self._unsent:
            some = list(self._unsent)[:AT_ONCE]
            told = await self._keep(KeepScalings(self._run, some))
            if told.away:
                if told.away != self._problem:
                    self._problem = told.away
                    log.warning("scalings_not_stored", why=told.away)
                return
            self._problem = ""
            while self._unsent and self._unsent[0].number <= some[-1].number:
                self._unsent.popleft()
