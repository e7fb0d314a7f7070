"""What an hour of traffic is compared with: a week that was, and how much its own hours differed from one another.

The common threshold, PSI above .1, cries wolf: every day at windows of 100 requests without any drift. Users are no
independent draws either, so nothing here assumes that they are. Each hour of the reference is compared with the same
hour, and those beside it, of its other days, and the spread of what comes out says how far a new hour has to be off:
PSI is scaled and fitted with a chi-squared distribution by its two moments, the mean of the logarithm with Student's t.
A finding also needs an effect of some size, because at large windows everything is significant.

Three tests share one level: PSI a twentieth, the mean a third, and the mean over six windows, which finds a small
model's drift, a sixth. Where more than 1 % of users a day are new the last one is off, since it mistakes the new for
drift; then PSI has a tenth. Together that is less than the whole, because the tails of what users do are longer than
those of the distributions: at windows of 100 requests ten times as many exceed PSI's one in 50,000 as should.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from routing.drift.chances import chi2_above, t_beyond
from routing.drift.distances import psi, smoothed
from routing.drift.histogram import Histogram, merged

BINS: Final = 10
LEAST_REQUESTS: Final = 100
"""Of a window; fewer are not looked at."""
LEAST_WEIGHT: Final = 10.0
"""Of a window: requests of a user beyond the third add nothing, so 100 requests weigh less than 100."""
LEAST_WINDOWS: Final = 120
"""Of a week's 168: from fewer the spread is not known well enough for a level of one day in a hundred."""
ROLLING: Final = 6
PSI_EFFECT: Final = 0.1
MEAN_EFFECT: Final = 0.25
ROLLING_EFFECT: Final = 0.2
"""In standard deviations of a single request's logarithm."""
MOST_NEW_USERS: Final = 0.01
ALPHA_DAY: Final = 0.01
WINDOWS_PER_DAY: Final = 24


@dataclass(frozen=True, slots=True)
class Shift:
    """How far one window is off its reference."""

    psi: float
    psi_scaled: float
    """PSI N M / (N + M): what the reference's own windows have a known distribution of."""
    mean: float
    """Of the logarithm, in the reference's standard deviations of a single request."""
    mean_scaled: float
    """The difference of means times the root of N M / (N + M)."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What the three tests say of one window."""

    shift: Shift
    psi_p: float
    mean_p: float
    rolling_p: float | None
    """None: off, or there were not enough windows before this one."""
    rolling: float | None
    """The mean shift of the last six windows, in standard deviations."""
    alarms: tuple[str, ...]
    """Which tests alarm: `psi`, `mean`, `rolling`."""


class Reference:
    """A frozen week of one signal."""

    __slots__ = (
        "_bins",
        "_cuts",
        "_degrees",
        "_histograms",
        "_mean_spread",
        "_means",
        "_merged",
        "_rolling_degrees",
        "_rolling_spread",
        "_same",
        "_scale",
        "sd",
    )

    def __init__(self, windows: Mapping[int, Histogram]) -> None:
        """By the Unix hour. Raises ValueError where they are too few, or say always the same: `enough` tells."""
        self._histograms: Final = {hour: one for hour, one in windows.items() if one.total >= LEAST_WEIGHT}
        if len(self._histograms) < LEAST_WINDOWS:
            raise ValueError(f"a reference needs {LEAST_WINDOWS} hours with enough requests")
        whole = merged(self._histograms.values())
        self.sd: Final = whole.sd_log
        self._merged: dict[int, Histogram] = {}
        self._cuts: Final = whole.cuts(BINS)
        self._bins = {hour: one.binned(self._cuts) for hour, one in self._histograms.items()}
        self._means = {hour: (one.mean_log, one.total) for hour, one in self._histograms.items()}
        self._same: Final = [self._around(hour, None) for hour in range(24)]
        shifts = {hour: self._own(hour) for hour in sorted(self._bins)}
        scaled = [shift.psi_scaled for shift in shifts.values() if shift is not None]
        mean = math.fsum(scaled) / max(1, len(scaled))
        variance = math.fsum([(one - mean) ** 2 for one in scaled]) / max(1, len(scaled) - 1)
        if len(scaled) < LEAST_WINDOWS or not self.sd or not variance:
            raise ValueError("the reference always says the same, or its hours are of too few days")
        self._scale: Final = variance / (2 * mean)
        self._degrees: Final = 2 * mean * mean / variance
        self._mean_spread: Final = spread([shift.mean_scaled for shift in shifts.values() if shift is not None])
        rolled = []
        for hour in shifts:
            last = [shifts.get(hour - back) for back in range(ROLLING)]
            together = [one.mean_scaled for one in last if one is not None]
            if len(together) == ROLLING:
                rolled.append(math.fsum(together))
        self._rolling_degrees: Final = rolling_degrees(len(rolled))
        self._rolling_spread: Final = spread(rolled) if len(rolled) >= LEAST_WINDOWS // 2 else 0.0

    @property
    def windows(self) -> int:
        return len(self._bins)

    def shift(self, hour: int, histogram: Histogram) -> Shift | None:
        """How far off a window of this Unix hour is; None where there is not enough of it, or of such hours before."""
        bins, mean, total = self._same[hour % 24]
        if histogram.total < LEAST_WEIGHT or not total:
            return None
        return self._between(histogram.binned(self._cuts), histogram.mean_log, bins, mean, total)

    def judge(self, shift: Shift, before: list[Shift], *, new_users: float = 0.0) -> Judged:
        """`before` are the shifts of the windows right before this one, the oldest first; `new_users` is the share of a
        day's users that were not there the day before the reference ended, or as near to that as is known."""
        alpha = ALPHA_DAY / WINDOWS_PER_DAY
        psi_p = chi2_above(shift.psi_scaled / self._scale, self._degrees)
        degrees = len(self._bins) - 1.0
        mean_p = t_beyond(shift.mean_scaled / self._mean_spread, degrees)
        last = [*before[-ROLLING + 1 :], shift]
        rolls = len(last) == ROLLING and new_users <= MOST_NEW_USERS and self._rolling_spread > 0.0
        rolling_p = rolling = None
        if rolls:
            summed = math.fsum([one.mean_scaled for one in last])
            rolling_p = t_beyond(summed / self._rolling_spread, self._rolling_degrees)
            rolling = math.fsum([one.mean for one in last]) / ROLLING
        psi_share = 20.0 if new_users <= MOST_NEW_USERS else 10.0
        alarms = []
        if psi_p < alpha / psi_share and shift.psi > PSI_EFFECT:
            alarms.append("psi")
        if mean_p < alpha / 3.0 and abs(shift.mean) > MEAN_EFFECT:
            alarms.append("mean")
        if rolling_p is not None and rolling is not None and rolling_p < alpha / 6.0 and abs(rolling) > ROLLING_EFFECT:
            alarms.append("rolling")
        return Judged(shift, psi_p, mean_p, rolling_p, rolling, tuple(alarms))

    def quantile(self, share: float) -> float:
        """Of the whole week."""
        return merged(self._histograms.values()).quantile(share)

    def around(self, hour: int) -> Histogram:
        """Everything that a window of this hour is compared with."""
        known = self._merged.get(hour % 24)
        if known is None:
            known = merged([one for at, one in self._histograms.items() if _beside(at, hour)])
            self._merged[hour % 24] = known
        return known

    def _around(self, hour: int, without: int | None) -> tuple[list[float], float, float]:
        """Bins, mean of the logarithm and weight of the hours beside this one of the day, of other days than that of
        `without`."""
        counts = [0.0] * (len(self._cuts) + 1)
        logs = total = 0.0
        for at, bins in self._bins.items():
            if _beside(at, hour) and (without is None or abs(at - without) >= 12):
                for place, weight in enumerate(bins):
                    counts[place] += weight
                mean, weight = self._means[at]
                logs += mean * weight
                total += weight
        return counts, logs / total if total else 0.0, total

    def _own(self, hour: int) -> Shift | None:
        """How far off a window of the reference itself is, against its other days."""
        bins, mean, total = self._around(hour, hour)
        if not total:
            return None
        return self._between(self._bins[hour], self._means[hour][0], bins, mean, total)

    def _between(self, bins: list[float], mean: float, others: list[float], other_mean: float, other: float) -> Shift:
        weight = math.fsum(bins)
        size = weight * other / (weight + other)
        distance = psi(smoothed(others), smoothed(bins))
        moved = mean - other_mean
        return Shift(distance, distance * size, moved / self.sd if self.sd else 0.0, moved * math.sqrt(size))


def _beside(one: int, other: int) -> bool:
    """Whether two Unix hours are at most one hour of the day apart."""
    return (one - other) % 24 in (0, 1, 23)


def spread(values: list[float]) -> float:
    """The standard deviation from 0: of what is expected to be 0."""
    return math.sqrt(math.fsum([value * value for value in values]) / max(1, len(values)))


def rolling_degrees(sums: int) -> float:
    """Degrees of freedom of the spread of so many sums of `ROLLING` hours, each an hour after the one before: they
    share hours, so they know less of their spread than as many that share none (Bartlett's sum of squared
    correlations, here 4.06)."""
    alike = [(ROLLING - apart) / ROLLING for apart in range(1, ROLLING)]
    return max(1.0, sums / (1.0 + 2.0 * math.fsum([one * one for one in alike])))
