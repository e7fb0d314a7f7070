"""Who makes an engine's replicas more or fewer: a port, because some are processes of ours, some an orchestrator's.

There is one writer of the number of replicas for each engine, and whoever acts for the gateway is it. What is to go
drains first: it gets nothing new in any worker, finishes what it has, and only then is stopped.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Standing:
    """The replicas of one engine at one moment."""

    ready: Collection[str] = ()
    """Ids of those that take requests."""
    starting: Mapping[str, float] = field(default_factory=dict)
    """Of those that are on their way, since when (monotonic seconds)."""
    failing: Collection[str] = ()
    """Those among them whose start has failed, and is tried again."""
    leaving: Collection[str] = ()
    """Those that finish what they have."""
    why: str = ""
    """Why they fail to start, for an operator: the reason and the last lines of the log."""
    again_s: float = 0.0
    """In about how many seconds a failed start is tried again."""
    asleep: Collection[str] = ()
    """Those that sleep, and serve some seconds after they are woken."""
    waking: Collection[str] = ()
    """Those of the ones on their way that are being woken, and not started."""
    problem: str = ""
    """What keeps whoever scales them from doing so, for an operator."""


class Actuator(Protocol):
    """One kind of engines."""

    def acts(self, engine: str) -> bool:
        """Whether this gateway is the one that writes the number of its replicas, and knows how many there are."""

    def standing(self, engine: str, now: float) -> Standing:
        """How its replicas are."""

    def scale(self, engine: str, wanted: int, in_flight: Mapping[str, int], now: float) -> None:
        """Have so many, those on their way included. Begins, and does not wait. `in_flight` at each replica helps to
        choose who goes."""

    def idle(self, engine: str, ids: Collection[str]) -> None:
        """These get nothing new and have nothing left, in any worker: those that were to leave may be stopped."""

    def release(self, engine: str) -> None:
        """It follows its traffic no more: what was to leave, and is still there, takes requests again."""
