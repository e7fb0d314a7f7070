"""Means over seeds with 95 % intervals. Under a seed all meet the same arrivals, so that they are compared in pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import NamedTuple

_T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
_T_975_MORE = ((12, 2.179), (15, 2.131), (20, 2.086), (30, 2.042), (60, 2.000), (120, 1.980))


class Interval(NamedTuple):
    """A mean, and the 95 % interval around it; unbounded where one seed says nothing of the spread."""

    mean: float
    low: float
    high: float

    def told(self, form: str, unit: str) -> str:
        """With its bounds, each number in this format."""
        if self.low == -math.inf or self.high == math.inf:
            return f"{self.mean:{form}}{unit} [one seed]"
        return f"{self.mean:{form}}{unit} [{self.low:{form}}, {self.high:{form}}]"


def mean_interval(values: Sequence[float]) -> Interval:
    """Student's interval of the mean. Raises statistics.StatisticsError without values."""
    mean = fmean(values)
    if len(values) < 2:
        return Interval(mean, -math.inf, math.inf)
    half = t_975(len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half)


def ratio_interval(above: Sequence[float], below: Sequence[float]) -> Interval:
    """The geometric mean of the paired ratios of values over 0."""
    mean, low, high = mean_interval([math.log(a / b) for a, b in zip(above, below, strict=True)])
    return Interval(math.exp(mean), math.exp(low), math.inf if high == math.inf else math.exp(high))


def difference_interval(of: Sequence[float], less: Sequence[float]) -> Interval:
    """The mean of the paired differences."""
    return mean_interval([a - b for a, b in zip(of, less, strict=True)])


def t_975(degrees: int) -> float:
    """Student's t at 97.5 %; between the tabled degrees, the wider one."""
    if degrees <= len(_T_975):
        return _T_975[degrees - 1]
    return next((t for most, t in reversed(_T_975_MORE) if most <= degrees), _T_975[-1])
