"""An arm against its control in the same hour: what moves both, a season or a shock that all share, is no drift.

What is watched is how far the mean of the logarithm is from the control's, and how far that is from what it was in the
reference week: two arms may differ for good. The spread of the week's own hours says how far is too far, by Student's
t, and the effect must be worth an alarm. Two tests have a third of the level each: the last hour, and the last six
together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from routing.drift.chances import t_beyond
from routing.drift.histogram import Histogram
from routing.drift.reference import (
    ALPHA_DAY,
    LEAST_WEIGHT,
    LEAST_WINDOWS,
    MEAN_EFFECT,
    ROLLING,
    ROLLING_EFFECT,
    WINDOWS_PER_DAY,
    rolling_degrees,
    spread,
)

SHARE: Final = 3.0
"""Of the level, for each test; a third of it is left for tails that are longer than those of a t."""
ROUNDED: Final = 1e-9
"""A spread of so many deviations is none: sums are rounded."""
OWN_DAY: Final = 12
"""Hours before and after one that are of its own day."""


class Apart(NamedTuple):
    """How far one hour of an arm is from its control's, beyond what is usual."""

    mean: float
    """In the reference's standard deviations of a single request."""
    scaled: float
    """What the reference's own hours have a known spread of."""


class AgainstControl:
    """Of one signal, from a week in which both arms were there."""

    __slots__ = ("_hours", "_rolling_degrees", "_rolling_spread", "_sd", "_spread", "_usual")

    def __init__(self, hours: Mapping[int, tuple[Histogram, Histogram]]) -> None:
        """Arm and control by the Unix hour. Raises ValueError where they are too few, or say always the same."""
        both = {at: pair for at, pair in hours.items() if min(one.total for one in pair) >= LEAST_WEIGHT}
        if len(both) < LEAST_WINDOWS:
            raise ValueError(f"both arms need {LEAST_WINDOWS} hours with enough requests")
        sizes = {at: _size(*pair) for at, pair in both.items()}
        apart = {at: arm.mean_log - control.mean_log for at, (arm, control) in both.items()}
        self._hours: Final = len(both)
        parts = {at: apart[at] * size for at, size in sizes.items()}
        whole, weight = math.fsum(parts.values()), math.fsum(sizes.values())
        self._usual: Final = whole / weight
        deviations = [control.sd_log * control.sd_log * control.total for _, control in both.values()]
        self._sd: Final = math.sqrt(math.fsum(deviations) / math.fsum([one.total for _, one in both.values()]))
        # An hour to come is no part of what is usual, so one of the week is compared with its other days.
        scaled: dict[int, float] = {}
        for at in both:
            near = [other for other in range(at - OWN_DAY + 1, at + OWN_DAY) if other in both]
            others = weight - math.fsum([sizes[other] for other in near])
            usual = (whole - math.fsum([parts[other] for other in near])) / others if others > 0.0 else self._usual
            scaled[at] = (apart[at] - usual) * math.sqrt(sizes[at])
        self._spread: Final = spread(list(scaled.values()))
        if not self._sd or self._spread <= ROUNDED * self._sd:
            raise ValueError("the arms always differ by the same")
        runs = [[scaled.get(at - back) for back in range(ROLLING)] for at in scaled]
        rolled = [math.fsum([one or 0.0 for one in run]) for run in runs if None not in run]
        self._rolling_degrees: Final = rolling_degrees(len(rolled))
        self._rolling_spread: Final = spread(rolled) if len(rolled) >= LEAST_WINDOWS // 2 else 0.0

    def apart(self, arm: Histogram, control: Histogram) -> Apart | None:
        """Of one hour; None where one of them has not enough."""
        if min(arm.total, control.total) < LEAST_WEIGHT:
            return None
        moved = arm.mean_log - control.mean_log - self._usual
        return Apart(moved / self._sd, moved * math.sqrt(_size(arm, control)))

    def alarms(self, last: Apart, before: Sequence[Apart]) -> tuple[str, ...]:
        """Which tests alarm: `mean`, `rolling`. `before` are the hours right before the last one, the oldest first."""
        alpha = ALPHA_DAY / WINDOWS_PER_DAY / SHARE
        found = []
        if abs(last.mean) > MEAN_EFFECT and t_beyond(last.scaled / self._spread, self._hours - 1.0) < alpha:
            found.append("mean")
        run = [*before[-ROLLING + 1 :], last]
        if len(run) == ROLLING and self._rolling_spread:
            summed = math.fsum([one.scaled for one in run]) / self._rolling_spread
            together = math.fsum([one.mean for one in run]) / ROLLING
            if abs(together) > ROLLING_EFFECT and t_beyond(summed, self._rolling_degrees) < alpha:
                found.append("rolling")
        return tuple(found)


def _size(arm: Histogram, control: Histogram) -> float:
    return arm.total * control.total / (arm.total + control.total)
