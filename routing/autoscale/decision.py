"""What an autoscaler answers: how many replicas, and why, in one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Why(Enum):
    """What a decision rests on; the value is its name in records."""

    LOAD = "load"
    BACKLOG = "backlog"
    SEATS = "seats"
    KV_CACHE = "kv_cache"
    SLO = "slo"
    WOKEN = "woken"
    IDLE = "idle"
    BOUNDS = "bounds"
    PANIC = "panic"
    DEAD_BAND = "dead_band"
    HOLDING = "holding"
    SURVIVORS = "survivors"
    ENOUGH = "enough"


@dataclass(frozen=True, slots=True)
class ScaleDecision:
    """The answer to one look."""

    wanted: int
    """Replicas there should be, those on their way included."""
    had: int
    """Those that there are, ready or on their way."""
    why: Why
    sentence: str
    load: float = 0.0
    """In replicas that are always busy."""
    panics: bool = False
    """Whether it is a time in which nothing goes down."""
    asked: int = 0
    """Replicas that the traffic of this moment asks for, whatever the bounds and those that there are."""

    @property
    def changes(self) -> bool:
        return self.wanted != self.had
