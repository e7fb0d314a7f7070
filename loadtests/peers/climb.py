"""The capacity of a gateway, in one round: the rate climbs step by step, and replicas keep what they have cached.

Every gateway is asked by one schedule, so that what differs is the gateway. A step's rate is what was really asked in
it: turns of a conversation follow its beginning by seconds. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.schedule.arrivals import Ramp
from loadtests.statistics.columns import Bools, Columns

_EDGE_S = 0.001
"""A ramp has no jumps."""


@dataclass(frozen=True, slots=True)
class Climb:
    """Steps of equal length, after a warm-up at the rate of the first."""

    rates_per_s: tuple[float, ...]
    """Requests, ascending."""
    step_s: float
    warm_up_s: float

    @property
    def duration_s(self) -> float:
        return self.warm_up_s + len(self.rates_per_s) * self.step_s

    def arrivals(self, turns: int = 1) -> Ramp:
        """Of conversations of so many requests."""
        points = [(0.0, self.rates_per_s[0] / turns)]
        for step, (below, rate) in enumerate(zip(self.rates_per_s, self.rates_per_s[1:], strict=False), start=1):
            at_s = self.warm_up_s + step * self.step_s
            points += [(at_s, below / turns), (at_s + _EDGE_S, rate / turns)]
        return Ramp(points=tuple(points))

    def tried(self, run: Columns, good: Bools, started_ns: int) -> list[tuple[float, float]]:
        """The rate of each step that had requests, and what part of those was good; rates never fall."""
        found: list[tuple[float, float]] = []
        highest = 0.0
        for step in range(len(self.rates_per_s)):
            from_ns = started_ns + round((self.warm_up_s + step * self.step_s) * 1e9)
            inside = (run.ti >= from_ns) & (run.ti < from_ns + round(self.step_s * 1e9))
            count = int(inside.sum())
            if count:
                highest = max(highest, count / self.step_s)
                found.append((highest, int((inside & good).sum()) / count))
        return found


def evenly(lowest: float, highest: float, steps: int) -> tuple[float, ...]:
    """So many rates, each the same multiple of the one before."""
    factor = (highest / lowest) ** (1 / (steps - 1))
    return tuple([lowest * factor**step for step in range(steps)])


def reached_the_top(tried: Sequence[tuple[float, float]], wanted: float) -> bool:
    """Whether the highest rate was carried too, so that the capacity may be above it."""
    return bool(tried) and tried[-1][1] >= wanted
