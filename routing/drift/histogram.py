"""Histograms over fixed logarithmic buckets: the same for everybody, so that those of workers and gateways add up.

Eight buckets to the octave: each is 9 % wide, which moves no decile by enough to matter. What is not above 0 has a
bucket of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

BUCKETS_PER_OCTAVE: Final = 8
FARTHEST: Final = 60 * BUCKETS_PER_OCTAVE
"""Values within 2**-60 and 2**60 keep their place; beyond, the outermost bucket takes them."""
NOTHING: Final = -FARTHEST - 1
"""The bucket of what is not above 0."""

_LOG_BUCKET: Final = math.log(2.0) / BUCKETS_PER_OCTAVE


def bucket_of(value: float) -> int:
    """The bucket of a value; that of `b` holds what is from 2**(b/8) on and below 2**((b+1)/8)."""
    if not value > 0.0:
        return NOTHING
    return max(-FARTHEST, min(FARTHEST, math.floor(math.log2(value) * BUCKETS_PER_OCTAVE)))


def middle_log(bucket: int) -> float:
    """The natural logarithm of the middle of a bucket."""
    return (bucket + 0.5) * _LOG_BUCKET


class Histogram:
    """How much weight fell into each bucket."""

    __slots__ = ("weights",)

    def __init__(self, weights: Mapping[int, float] | None = None) -> None:
        self.weights: dict[int, float] = dict(weights) if weights is not None else {}

    def add(self, bucket: int, weight: float = 1.0) -> None:
        self.weights[bucket] = self.weights.get(bucket, 0.0) + weight

    def merge(self, other: Histogram) -> None:
        """Add what another one holds."""
        for bucket, weight in other.weights.items():
            self.weights[bucket] = self.weights.get(bucket, 0.0) + weight

    @property
    def total(self) -> float:
        return math.fsum(self.weights.values())

    @property
    def mean_log(self) -> float:
        """The mean of the natural logarithm of what is above 0; 0 where nothing was added."""
        return self._moments()[0]

    @property
    def sd_log(self) -> float:
        """The standard deviation of that."""
        return self._moments()[1]

    def _moments(self) -> tuple[float, float]:
        total = first = second = 0.0
        for bucket, weight in self.weights.items():
            if bucket != NOTHING:
                total += weight
                first += weight * bucket
                second += weight * bucket * bucket
        if not total:
            return 0.0, 0.0
        mean = first / total
        return (mean + 0.5) * _LOG_BUCKET, math.sqrt(max(0.0, second / total - mean * mean)) * _LOG_BUCKET

    def quantile(self, share: float) -> float:
        """The value below which this share of the weight lies; 0 where nothing was added."""
        wanted, below = share * self.total, 0.0
        for bucket in sorted(self.weights):
            weight = self.weights[bucket]
            if below + weight >= wanted and weight:
                if bucket == NOTHING:
                    return 0.0
                return math.exp2((bucket + (wanted - below) / weight) / BUCKETS_PER_OCTAVE)
            below += weight
        return 0.0

    def cuts(self, bins: int) -> list[int]:
        """The first bucket of every bin but the first, of at most so many bins of about the same weight.

        A bucket that weighs more than a bin makes them fewer.
        """
        total, below = self.total, 0.0
        buckets = sorted(self.weights)
        edges: list[tuple[float, int]] = []
        for at in range(len(buckets) - 1):
            below += self.weights[buckets[at]]
            edges.append((below, buckets[at + 1]))
        found: list[int] = []
        at = 0
        for number in range(1, bins):
            wanted = number * total / bins
            while at + 1 < len(edges) and abs(edges[at + 1][0] - wanted) <= abs(edges[at][0] - wanted):
                at += 1
            if at < len(edges) and (not found or found[-1] != edges[at][1]):
                found.append(edges[at][1])
        return found

    def binned(self, cuts: list[int]) -> list[float]:
        """The weight of each bin between these cuts, in their order."""
        counts = [0.0] * (len(cuts) + 1)
        for bucket, weight in self.weights.items():
            low, high = 0, len(cuts)
            while low < high:
                middle = (low + high) // 2
                if bucket < cuts[middle]:
                    high = middle
                else:
                    low = middle + 1
            counts[low] += weight
        return counts


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """All of them together."""
    whole = Histogram()
    for one in histograms:
        whole.merge(one)
    return whole
