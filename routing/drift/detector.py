"""An e-detector of a rate that has changed: Shiryaev and Roberts' statistic, as a mixture of alternatives.

Each observation multiplies by its likelihood ratio, and each could be the first after the change, which adds 1. While
the rate is what it was, it takes at least `limit` observations on average until the statistic reaches `limit`, by
theorem (Shin, Ramdas and Rinaldo 2023), whatever the alternatives. Page and Hinkley's test needs its threshold
simulated instead.

Two things break that promise, and are seen to here: a baseline from too few observations (its upper confidence bound is
taken instead), and users who come in sessions (`Once` counts each once in a window of 1,000 requests).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

UPWARDS: Final[tuple[float, ...]] = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
DOWNWARDS: Final[tuple[float, ...]] = (0.8, 0.65, 0.5, 0.33, 0.2, 0.1)
ENOUGH_UNITS: Final = 20_000
"""From so many the baseline is taken as it is: from 2,000 a false alarm would come four times as soon as it may."""
LEAST_UNITS: Final = 2_000
"""From so many its confidence bound is taken; fewer say too little."""
BOUND_Z: Final = 1.96
WINDOW_REQUESTS: Final = 1_000
_MOST_LOG: Final = 600.0


class Detector:
    """Watches one rate."""

    __slots__ = ("_if_event", "_if_none", "_statistics", "baseline", "limit")

    def __init__(
        self,
        baseline: float,
        limit: float,
        alternatives: Sequence[float] = UPWARDS,
    ) -> None:
        """`baseline` is the rate that it has, `alternatives` those it may get, as multiples of it. Raises ValueError
        for a rate that is not within 0 and 1."""
        if not 0.0 < baseline < 1.0:
            raise ValueError("a rate to watch is above 0 and below 1")
        rates = [baseline * ratio for ratio in alternatives if baseline * ratio < 1.0]
        if not rates:
            rates = [(1.0 + baseline) / 2]
        self.baseline: Final = baseline
        self.limit: Final = limit
        self._if_event: Final = [rate / baseline for rate in rates]
        self._if_none: Final = [(1.0 - rate) / (1.0 - baseline) for rate in rates]
        self._statistics = [0.0] * len(rates)

    @property
    def value(self) -> float:
        return math.fsum(self._statistics) / len(self._statistics)

    @property
    def alarmed(self) -> bool:
        return self.value >= self.limit

    def restart(self) -> None:
        """Begin anew, as after an alarm that was told."""
        self._statistics = [0.0] * len(self._statistics)

    def event(self) -> None:
        """One observation in which it happened."""
        self._statistics = [(one + 1.0) * factor for one, factor in zip(self._statistics, self._if_event, strict=True)]

    def quiet(self, count: int) -> None:
        """So many observations, one after the other, in which it did not."""
        self._statistics = [
            _after(one, factor, count) for one, factor in zip(self._statistics, self._if_none, strict=True)
        ]

    def block(self, units: int, events: int) -> None:
        """So many observations whose order is not known, in so many of which it happened.

        The change is then taken to begin with a block, which keeps the promise, counted in observations.
        """
        ratios = zip(self._statistics, self._if_event, self._if_none, strict=True)
        self._statistics = [
            (one + units) * math.exp(min(_MOST_LOG, events * math.log(event) + (units - events) * math.log(none)))
            for one, event, none in ratios
        ]


def _after(statistic: float, factor: float, count: int) -> float:
    """So many times: one more, times the factor."""
    power = math.exp(min(_MOST_LOG, count * math.log(factor)))
    return statistic * power + factor * (power - 1.0) / (factor - 1.0)


class Once:
    """Counts each user once in a window of so many requests, by the first of its requests there."""

    __slots__ = ("_requests", "_seen", "_window")

    def __init__(self, window: int = WINDOW_REQUESTS) -> None:
        self._window: Final = window
        self._requests = 0
        self._seen: set[int] = set()

    def counts(self, user: int) -> bool:
        """Whether this request is one to count."""
        if self._requests == self._window:
            self._requests = 0
            self._seen.clear()
        self._requests += 1
        if user in self._seen:
            return False
        self._seen.add(user)
        return True


def baseline_of(events: int, units: int, *, downwards: bool = False) -> float | None:
    """The rate to watch from: as it was, or its confidence bound where it is known from few; None: from too few.

    The bound is Wilson's, on the side that makes false alarms rarer. A rate of 0 or 1 is taken as half an observation
    off, so that there is something to multiply.
    """
    if units < LEAST_UNITS:
        return None
    if units >= ENOUGH_UNITS:
        return min(max(events, 0.5), units - 0.5) / units
    sign = -1.0 if downwards else 1.0
    share, z2 = events / units, BOUND_Z * BOUND_Z
    middle = share + z2 / (2 * units)
    half = BOUND_Z * math.sqrt(share * (1 - share) / units + z2 / (4 * units * units))
    bound = (middle + sign * half) / (1 + z2 / units)
    return min(max(bound, 0.5 / units), 1.0 - 0.5 / units)
