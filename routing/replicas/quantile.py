"""A quantile of values that fade with time, over a fixed number of buckets.

Buckets grow by `GROWTH`, so what is told is within a tenth of the truth, at any scale. A value weighs less by e every
`decay_s` seconds: newer ones are added with more weight instead of all older ones being touched (forward decay; Cormode
et al., "Forward Decay", 2009).
"""

from __future__ import annotations

import math
from typing import Final

LEAST: Final = 1.0
GROWTH: Final = 1.1
BUCKETS: Final = 141
"""Up to 600,000: ten minutes, of milliseconds."""
_LOG_GROWTH: Final = math.log(GROWTH)
_MOST_WEIGHT: Final = 1e9
READ_AGAIN_S: Final = 0.5
"""How old a quantile may be: to read it anew takes 5 us."""


class DecayedQuantile:
    """One quantile of one stream of positive values."""

    __slots__ = ("_at_s", "_counts", "_decay_s", "_known", "_read_s", "_share", "_start_s", "_total")

    def __init__(self, share: float, decay_s: float) -> None:
        """`share`: 0.95 for the value that nineteen of twenty stay below."""
        self._share = share
        self._decay_s = decay_s
        self._counts = [0.0] * BUCKETS
        self._total = 0.0
        self._start_s = 0.0
        self._at_s = float("-inf")
        self._known = 0.0
        self._read_s = float("-inf")

    def add(self, value: float, now: float) -> None:
        """Take in a value of `now`; an earlier `now` than the last counts as the last."""
        if not self._total:
            self._start_s = now
        self._at_s = now = max(now, self._at_s)
        weight = math.exp(min(700.0, (now - self._start_s) / self._decay_s))
        if weight > _MOST_WEIGHT:
            self._counts = [count / weight for count in self._counts]
            self._total /= weight
            self._start_s = now
            weight = 1.0
        bucket = 0 if value <= LEAST else min(BUCKETS - 1, int(math.log(value / LEAST) / _LOG_GROWTH))
        self._counts[bucket] += weight
        self._total += weight

    def weight(self, now: float) -> float:
        """How many fresh values those that were taken in are worth."""
        if not self._total:
            return 0.0
        return self._total * math.exp(max(-700.0, (self._start_s - max(now, self._at_s)) / self._decay_s))

    def read(self, now: float) -> float:
        """The value that `share` of the weight stays below; 0 before the first."""
        if now - self._read_s >= READ_AGAIN_S:
            self._read_s = now
            self._known = self._quantile()
        return self._known

    def _quantile(self) -> float:
        if not self._total:
            return 0.0
        left = self._total * self._share
        at = 0
        for count in self._counts:
            at += 1
            left -= count
            if left < 0.0:
                break
        return LEAST * GROWTH**at
