"""Confidence sequences: how large a difference is, in bounds that hold at every look at once. For reports, not for
decisions.

The asymptotic confidence sequence of Waudby-Smith et al. (Annals of Statistics 52(6), 2024, equation 9), which is the
normal-mixture sequential probability ratio test of Johari et al. under another name, tuned as GrowthBook does. It
takes means for normal, so a few events of a small canary fool it: the gate's own evidence (`evidence.py`) does not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

TUNED_FOR: Final = 5_000
"""Units at which the bounds are tightest."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What is known of one arm."""

    count: int
    total: float
    squares: float
    """The sum of the squares."""

    @property
    def mean(self) -> float:
        return self.total / self.count

    @property
    def variance(self) -> float:
        """Of one unit, unbiased."""
        if self.count < 2:
            return 0.0
        return max(0.0, (self.squares - self.total * self.total / self.count) / (self.count - 1))

    @property
    def proportion_variance(self) -> float:
        """Of one unit that has an event or not."""
        return self.mean * (1.0 - self.mean)


class Difference(NamedTuple):
    """Of two arms."""

    value: float
    half: float
    """Half the width of its bounds."""
    p: float
    """That there is none; holds at every look at once, as far as they were looked at here: now."""

    @property
    def low(self) -> float:
        return self.value - self.half

    @property
    def high(self) -> float:
        return self.value + self.half


def difference(
    control: Sample, canary: Sample, *, alpha: float = 0.05, proportions: bool = False, tuned_for: float = TUNED_FOR
) -> Difference | None:
    """The canary's mean less the control's. None where too little is known."""
    if control.count < 2 or canary.count < 2:
        return None
    squared = _variance(control, proportions) / control.count + _variance(canary, proportions) / canary.count
    return _bounded(canary.mean - control.mean, squared, control.count + canary.count, alpha, tuned_for)


def relative_difference(
    control: Sample, canary: Sample, *, alpha: float = 0.05, proportions: bool = False, tuned_for: float = TUNED_FOR
) -> Difference | None:
    """The same as a part of the control's mean, by the delta method. None where too little is known."""
    if control.count < 2 or canary.count < 2 or control.mean == 0.0:
        return None
    base, other = control.mean, canary.mean
    squared = (
        _variance(canary, proportions) / canary.count / base**2
        + _variance(control, proportions) / control.count * other**2 / base**4
    )
    return _bounded((other - base) / base, squared, control.count + canary.count, alpha, tuned_for)


def mean_bounds(sample: Sample, *, alpha: float = 0.05, tuned_for: float = TUNED_FOR) -> Difference | None:
    """The mean of one sample, as of the differences within pairs; `p` is that it is 0. None where too little is known,
    or all of it is one number."""
    if sample.count < 2:
        return None
    return _bounded(sample.mean, sample.variance / sample.count, sample.count, alpha, tuned_for)


def _variance(sample: Sample, proportions: bool) -> float:
    return sample.proportion_variance if proportions else sample.variance


def _bounded(value: float, squared_error: float, count: int, alpha: float, tuned_for: float) -> Difference | None:
    if squared_error <= 0.0:
        return None
    log_alpha = -2.0 * math.log(alpha)
    rho = (log_alpha + math.log(log_alpha + 1.0)) / tuned_for
    grown = count * rho + 1.0
    half = math.sqrt(squared_error * count * 2.0 * grown / (count * count * rho) * math.log(math.sqrt(grown) / alpha))
    log_evidence = rho * value * value * count / squared_error / (2.0 * grown) - 0.5 * math.log(grown)
    return Difference(value, half, 1.0 if log_evidence <= 0.0 else math.exp(-log_evidence))
