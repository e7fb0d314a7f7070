"""Rules that say how many replicas there should be: ours, and those of the field with their published numbers."""

from __future__ import annotations

from typing import Protocol

from gateway.virtual.scaling.seen import Seen


class Rule(Protocol):
    """One autoscaler."""

    name: str
    tick_s: float
    """How often it looks."""

    def wanted(self, seen: Seen) -> int:
        """How many replicas there should be; the pool keeps it within its bounds."""

    def started(self, took_s: float) -> None:
        """A replica serves, so long after it was asked for."""
