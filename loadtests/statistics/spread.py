"""How one duration is spread over requests: count, mean, percentiles, and how sure the percentiles are.

Percentiles are order statistics of the raw samples (a value that was really seen), never averages of percentiles. With
fewer than 1,000 samples each carries its 95 % interval.
"""

from __future__ import annotations

import msgspec
import numpy as np

from loadtests.statistics.columns import Floats
from loadtests.statistics.histogram import LogHistogram
from loadtests.statistics.intervals import EXACT_BELOW, nearest_rank, percentile_ranks

QUANTILES = (0.5, 0.9, 0.95, 0.99, 0.999)


class Percentile(msgspec.Struct, frozen=True):
    """`q` of the samples are at or below `value_s`. No interval from 1,000 samples on; an open side is None."""

    q: float
    value_s: float
    has_interval: bool = False
    low_s: float | None = None
    high_s: float | None = None


class Spread(msgspec.Struct, frozen=True):
    """One duration in seconds over `count` samples."""

    count: int
    mean_s: float
    min_s: float
    max_s: float
    percentiles: list[Percentile]

    def at(self, q: float) -> float:
        """The value of percentile `q`. Raises KeyError for one that was not computed."""
        return self.percentile(q).value_s

    def percentile(self, q: float) -> Percentile:
        for percentile in self.percentiles:
            if percentile.q == q:
                return percentile
        raise KeyError(q)


def spread(values_s: Floats, quantiles: tuple[float, ...] = QUANTILES) -> Spread | None:
    """The spread of `values_s`, NaN left out; None when nothing is left."""
    values = values_s[~np.isnan(values_s)]
    count = len(values)
    if count == 0:
        return None
    mean = float(values.mean())
    # Only the ranks asked for need be in place: a third of the time of a sort, where there are many.
    ranks = [nearest_rank(count, q) for q in quantiles]
    values = np.sort(values) if count < EXACT_BELOW else np.partition(values, sorted({0, *ranks, count - 1}))
    percentiles = []
    for q, rank in zip(quantiles, ranks, strict=True):
        value = float(values[rank])
        if count >= EXACT_BELOW:
            percentiles.append(Percentile(q, value))
            continue
        low, high = percentile_ranks(count, q)
        percentiles.append(
            Percentile(
                q,
                value,
                has_interval=True,
                low_s=None if low is None else float(values[low]),
                high_s=None if high is None else float(values[high]),
            )
        )
    return Spread(count, mean, float(values[0]), float(values[-1]), percentiles)


def pooled_spread(histogram: LogHistogram, quantiles: tuple[float, ...] = QUANTILES) -> Spread | None:
    """The spread of a histogram of nanoseconds, as exact as it is; None when it is empty. It has no intervals."""
    if histogram.count == 0:
        return None
    return Spread(
        histogram.count,
        histogram.mean / 1e9,
        histogram.min / 1e9,
        histogram.max / 1e9,
        [
            Percentile(q, value / 1e9)
            for q, value in zip(quantiles, histogram.percentiles(100 * q for q in quantiles), strict=True)
        ],
    )
