"""Which observations belong to the ramp of now: those of requests that came after it began.

A ramp that was rolled back and is started again judges anew. A request of the ramp before may end only now, and what
an application tells of one may come weeks later: neither says anything of this ramp. A record's id begins with the time
at which its request came, so that is compared with the time between the two ramps.

Clocks step. Between two looks the clock that does not step says how long ago the round began, so that a clock put back
makes no request of now look older than the round: at worst something of the ramp before it is counted.
"""

from __future__ import annotations

from typing import Final

from routing.gate.observation import Measured, Observation, Settled

SKEW_MS: Final = 60_000
"""By which clocks of gateways may differ, where there was so much time between two ramps."""


def boundary_ms(ended_ms: int, began_ms: int) -> int:
    """The Unix time from which on requests are of the ramp that began, and not of the one that ended. Between the two
    no request had an arm by chance, so it lies as far from both as skewed clocks need."""
    return ended_ms + max(0, min(SKEW_MS, (began_ms - ended_ms) // 2))


class Round:
    """From when on requests are of one round."""

    __slots__ = ("_began_s", "_earliest_ms", "since_ms")

    def __init__(self, since_ms: int) -> None:
        """0: it is the first, so all are of it."""
        self.since_ms: Final = since_ms
        self._began_s: float | None = None
        self._earliest_ms = 0.0

    def at(self, now_s: float, wall_s: float) -> None:
        """It is now, by a clock that never steps and by one that does."""
        if not self.since_ms:
            return
        if self._began_s is None:
            self._began_s = now_s - max(0.0, wall_s - self.since_ms / 1e3)
        self._earliest_ms = (wall_s - (now_s - self._began_s)) * 1e3

    def has(self, one: Observation) -> bool:
        """Whether it is of this round. What is only assigned is of now."""
        if not self._earliest_ms:
            return True
        if not isinstance(one, (Settled, Measured)):
            return True
        try:
            return int(one.record_id[:12], 16) >= self._earliest_ms
        except ValueError:
            return True
