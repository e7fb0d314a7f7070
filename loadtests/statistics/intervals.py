"""Confidence intervals that assume no shape of the data: Wilson for a proportion, order statistics for a percentile.

Latency is skewed and heavy-tailed, so nothing here is a mean plus two standard errors. All intervals are 95 %.
"""

from __future__ import annotations

import math
from functools import lru_cache

import msgspec

Z = 1.959963984540054
"""The two-sided 95 % quantile of the normal distribution."""

EXACT_BELOW = 1000
"""From this many samples on a p99 needs no interval (load-testing practice); below it the interval is printed."""


class Proportion(msgspec.Struct, frozen=True):
    """`good` of `total`, with its Wilson interval. Of nothing, it is known to be anywhere from 0 to 1."""

    good: int
    total: int
    ratio: float | None
    low: float
    high: float


def wilson(good: int, total: int) -> Proportion:
    """Wilson's score interval (Wilson 1927); unlike the normal one it behaves at 0 and 1, where SLOs live."""
    if not 0 <= good <= total:
        raise ValueError(f"{good} of {total} is not a proportion")
    if total == 0:
        return Proportion(0, 0, None, 0.0, 1.0)
    ratio = good / total
    denominator = 1 + Z * Z / total
    centre = (ratio + Z * Z / (2 * total)) / denominator
    half = Z * math.sqrt(ratio * (1 - ratio) / total + Z * Z / (4 * total * total)) / denominator
    # At the ends the bound is 0 or 1 exactly; floating point alone would say 1 - 1e-16.
    low = 0.0 if good == 0 else max(0.0, centre - half)
    high = 1.0 if good == total else min(1.0, centre + half)
    return Proportion(good, total, ratio, low, high)


def nearest_rank(count: int, q: float) -> int:
    """0-based rank of the q-percentile of `count` sorted samples: the smallest with at least q of them at or below."""
    return min(count - 1, max(0, math.ceil(q * count - 1e-9) - 1))


@lru_cache(maxsize=256)
def percentile_ranks(count: int, q: float) -> tuple[int | None, int | None]:
    """0-based ranks of the sorted samples that enclose the true q-percentile with at least 95 % confidence.

    The number of samples below it is Binomial(count, q), whatever the distribution. None: no sample lies far enough
    out, so that side is unbounded (the upper bound of a p99 from under 368 samples).
    """
    if not 0 < q < 1:
        raise ValueError(f"{q} is not between 0 and 1")
    tail = 0.025
    low: int | None = None
    high: int | None = None
    cumulative = 0.0
    for below in range(count + 1):
        log_pmf = (
            math.lgamma(count + 1)
            - math.lgamma(below + 1)
            - math.lgamma(count - below + 1)
            + below * math.log(q)
            + (count - below) * math.log1p(-q)
        )
        cumulative += math.exp(log_pmf)
        if cumulative <= tail:
            low = below
        if high is None and cumulative >= 1 - tail:
            high = below
            break
    return low, high if high is not None and high < count else None
