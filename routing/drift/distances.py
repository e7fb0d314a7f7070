"""How far one distribution is from another: PSI, and Wasserstein's distance."""

from __future__ import annotations

import math
from collections.abc import Sequence

from routing.drift.histogram import Histogram, middle_log


def psi(expected: Sequence[float], actual: Sequence[float]) -> float:
    """The population stability index of two lists of proportions, bin by bin; none may be 0."""
    return math.fsum([(a - e) * math.log(a / e) for e, a in zip(expected, actual, strict=True)])


def smoothed(counts: Sequence[float]) -> list[float]:
    """Proportions of counts, each raised by a half: no bin is empty."""
    total = math.fsum(counts) + 0.5 * len(counts)
    return [(count + 0.5) / total for count in counts]


def wasserstein(
    values: Sequence[float],
    others: Sequence[float],
    weights: Sequence[float] | None = None,
    other_weights: Sequence[float] | None = None,
) -> float:
    """How far, on average, the first has to be moved to become the second. Without weights, all weigh the same."""
    mass = [1.0] * len(values) if weights is None else list(weights)
    other_mass = [1.0] * len(others) if other_weights is None else list(other_weights)
    total, other_total = math.fsum(mass), math.fsum(other_mass)
    steps = [(value, weight / total) for value, weight in zip(values, mass, strict=True)]
    steps += [(value, -weight / other_total) for value, weight in zip(others, other_mass, strict=True)]
    steps.sort()
    moved, ahead, at = 0.0, 0.0, steps[0][0]
    for value, weight in steps:
        moved += abs(ahead) * (value - at)
        ahead += weight
        at = value
    return moved


def shift_sd(reference: Histogram, histogram: Histogram) -> float:
    """Wasserstein's distance of the logarithms, in standard deviations of the reference's; 0 where either is empty."""
    spread = reference.sd_log
    if not spread or not histogram.total:
        return 0.0
    ours, theirs = list(reference.weights.items()), list(histogram.weights.items())
    moved = wasserstein(
        [middle_log(bucket) for bucket, _ in ours],
        [middle_log(bucket) for bucket, _ in theirs],
        [weight for _, weight in ours],
        [weight for _, weight in theirs],
    )
    return moved / spread
