"""Says that this process can open no more connections: one line a spell, however many requests it fails."""

from __future__ import annotations

from typing import Final

import structlog

QUIET_S: Final = 60.0
"""A spell is over when so long nothing was short."""
REQUESTS: Final = 'penstock_errors_total{kind="out_of_sockets"}'

log = structlog.get_logger()


class Shortage:
    """Of descriptors, local ports or memory."""

    __slots__ = ("_last_s", "spells")

    def __init__(self) -> None:
        self._last_s = -QUIET_S
        self.spells = 0

    def tell(self, now: float, why: str, counted_as: str = REQUESTS) -> None:
        """A connection could not be opened at `now` (monotonic seconds), because of `why`; the metric `counted_as` has
        how many."""
        begins = now - self._last_s >= QUIET_S
        self._last_s = now
        if begins:
            self.spells += 1
            log.error("out_of_sockets", why=why, counted_as=counted_as)

    def over(self) -> None:
        """The next one begins a spell."""
        self._last_s = -QUIET_S


_process = Shortage()


def tell(now: float, why: str, counted_as: str = REQUESTS) -> None:
    """What `Shortage.tell` does, for the process."""
    _process.tell(now, why, counted_as)


def over() -> None:
    """What `Shortage.over` does, for the process: tests share it."""
    _process.over()
