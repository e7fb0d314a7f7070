"""What has arrived of late: means over any window, how sure they are, and whether they grow.

Kept in buckets of a second or more, as running sums: a window costs one subtraction. Means of short windows are noise
for the most part, so each can be asked for the bound that chance keeps it above.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import Final

KEPT_S: Final = 900.0
LEAST_S: Final = 12.0
"""Less than that says nothing of a longer window: a rate of two seconds would be taken for one of a minute."""
CHANCE: Final = 2.0
"""Standard deviations that a mean is off by chance, at most."""
COARSE: Final = 30
"""Pieces that a window is cut into to find a trend."""
_LEAST_DISPERSION: Final = 0.5
_MOST_DISPERSION: Final = 6.0
_PRIOR_BUCKETS: Final = 10.0


class Arrivals:
    """Amounts over time. Times never go backwards."""

    __slots__ = ("_amounts", "_counts", "_times")

    def __init__(self) -> None:
        self._times: list[float] = []
        self._amounts: list[float] = []
        """The sum of all amounts up to each time."""
        self._counts: list[float] = []

    def add(self, amount: float, count: float, now: float) -> None:
        """So much arrived since the last time, in so many requests."""
        times = self._times
        if not times:
            times.append(now)
            self._amounts.append(0.0)
            self._counts.append(0.0)
            return
        before, counted = self._amounts[-1], self._counts[-1]
        if now <= times[-1]:
            self._amounts[-1] = before + amount
            self._counts[-1] = counted + count
            return
        times.append(now)
        self._amounts.append(before + amount)
        self._counts.append(counted + count)
        if len(times) > 64 and times[len(times) // 2] < now - KEPT_S:
            half = len(times) // 2
            del times[:half], self._amounts[:half], self._counts[:half]

    @property
    def span_s(self) -> float:
        """For how long there have been any."""
        return self._times[-1] - self._times[0] if self._times else 0.0

    @property
    def kept(self) -> int:
        """How many times are remembered."""
        return len(self._times)

    def rate(self, window_s: float) -> float:
        """The mean amount per second over the last so many seconds, or over all there were where those are fewer."""
        return self._over(window_s)[0]

    def surely(self, window_s: float, dispersion: float) -> float:
        """The same, less what chance may have added."""
        rate, count = self._over(window_s)
        return max(0.0, rate * (1.0 - CHANCE * math.sqrt(dispersion / count))) if count > 0.0 else 0.0

    def at_most(self, window_s: float, dispersion: float) -> float:
        """The same, with what chance may have taken away."""
        rate, count = self._over(window_s)
        return rate * (1.0 + CHANCE * math.sqrt(dispersion / count)) if count > 0.0 else 0.0

    def noise(self, window_s: float, dispersion: float) -> float:
        """The standard deviation that chance gives the rate over such a window."""
        rate, count = self._over(window_s)
        return rate * math.sqrt(dispersion / count) if count > 0.0 else 0.0

    def dispersion(self, window_s: float) -> float:
        """How uneven arrivals are: the variance of a bucket's amount over that of as many equal requests, one by one.

        1 for Poisson arrivals of equal prompts, 2 where lengths are exponential. It is made of differences between
        neighbours, so that a trend is no unevenness.
        """
        times, amounts, counts = self._times, self._amounts, self._counts
        begin = bisect_left(times, times[-1] - window_s) if times else 0
        first = max(begin, 0)
        if len(times) - first < 4:
            return 2.0
        squares, before = 0.0, math.nan
        buckets = 0
        for at in range(first + 1, len(times)):
            amount = amounts[at] - amounts[at - 1]
            if before == before:
                squares += (amount - before) * (amount - before)
                buckets += 1
            before = amount
        total, count = amounts[-1] - amounts[first], counts[-1] - counts[first]
        if count <= 0.0 or total <= 0.0 or not buckets:
            return 2.0
        mean_size, mean_amount = total / count, total / (len(times) - 1 - first)
        found = squares / (2.0 * buckets) / (mean_amount * mean_size)
        weighed = (found * buckets + 2.0 * _PRIOR_BUCKETS) / (buckets + _PRIOR_BUCKETS)
        return min(_MOST_DISPERSION, max(_LEAST_DISPERSION, weighed))

    def growth_per_s(self, window_s: float, dispersion: float) -> float:
        """By how much a second the rate grows for certain; 0 where it does not, or where only a step did.

        The slope of a line through the window, less what chance makes of it, and no more than that of its later half: a
        step that is over looks like growth in the whole window and like none in its half.
        """
        whole = self._slope(window_s, dispersion)
        return min(whole, self._slope(window_s / 2, dispersion)) if whole > 0.0 else 0.0

    def _slope(self, window_s: float, dispersion: float) -> float:
        times = self._times
        if not times:
            return 0.0
        end = times[-1]
        span_s = min(window_s, end - times[0])
        if span_s < window_s / 2:
            return 0.0
        step_s = span_s / COARSE
        marks = [self._at(end - span_s + step_s * i) for i in range(COARSE + 1)]
        rates = [(marks[i + 1][0] - marks[i][0]) / step_s for i in range(COARSE)]
        middle = (COARSE - 1) / 2
        mean = sum(rates) / COARSE
        spread = COARSE * (COARSE * COARSE - 1) / 12.0
        slope = sum([(i - middle) * rate for i, rate in enumerate(rates)]) / spread / step_s
        count = marks[-1][1] - marks[0][1]
        if count <= 0.0:
            return 0.0
        # A line through evenly spread Poisson points: the variance of its slope is 12 * rate / span^3.
        chance = mean * math.sqrt(12.0 * dispersion / count) / span_s
        return max(0.0, slope - chance)

    def _over(self, window_s: float) -> tuple[float, float]:
        """Rate and requests of a window."""
        times = self._times
        if len(times) < 2:
            return 0.0, 0.0
        window_s = min(window_s, max(LEAST_S, self.span_s))
        amount, count = self._at(times[-1] - window_s)
        return (self._amounts[-1] - amount) / window_s, self._counts[-1] - count

    def _at(self, time_s: float) -> tuple[float, float]:
        """The sums at a time, between two that are known in proportion."""
        times = self._times
        at = bisect_left(times, time_s)
        if at == 0:
            return self._amounts[0], self._counts[0]
        if at >= len(times):
            return self._amounts[-1], self._counts[-1]
        before = times[at - 1]
        part = (time_s - before) / (times[at] - before)
        amounts, counts = self._amounts, self._counts
        return (
            amounts[at - 1] + part * (amounts[at] - amounts[at - 1]),
            counts[at - 1] + part * (counts[at] - counts[at - 1]),
        )
