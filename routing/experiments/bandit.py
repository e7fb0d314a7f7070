"""How a bandit divides traffic among arms: top-two Thompson sampling, and when it is sure of the best.

    weights   half of how probably an arm is the best, half of how probably it is the second (Russo 2016), and a floor
    winner    the arm that is better than every other by a generalised likelihood ratio (Garivier and Kaufmann 2016)

Both look at smoothed numbers: an arm of which nothing bad was seen yet is no arm without variance, and is neither
starved nor crowned for it. The best is the arm with the least: of events fewer, of amounts less. What is better when
there is more of it comes with its sign turned (`routing.gate.guardrail.Guardrail.worse`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

DRAWS: Final = 4_000
"""Of which probabilities are made: to one in a hundred, in half a millisecond."""
PRIOR: Final = 2.0
"""Units that each arm is thought to have had before: of events one with and one without, of amounts usual ones."""
GRAIN: Final = 0.05
"""Shares are multiples of this, so that units are counted at few of them."""


class ArmSeen(NamedTuple):
    """What is known of one arm."""

    units: int
    total: float
    """Of their amounts; of events, how many."""
    squares: float


class Goal(NamedTuple):
    """What is looked for."""

    rate: bool
    """Whether units have an event or not; else they have amounts."""
    floor: float = 0.05
    """The least part that an arm is given."""
    min_units: int = 100
    """Of each arm, before any is given more than another."""
    delta: float = 0.05
    """How often another arm than the best may be declared it."""


def weights(seen: Sequence[ArmSeen], goal: Goal, rng: np.random.Generator, *, draws: int = DRAWS) -> list[float] | None:
    """The part that each arm is to have, of those that are judged; they sum up to 1. None: too little is known."""
    if min(one.units for one in seen) < goal.min_units:
        return None
    if goal.rate:
        drawn = [rng.beta(1.0 + one.total, 1.0 + max(0.0, one.units - one.total), draws) for one in seen]
    else:
        drawn = [rng.normal(mean, math.sqrt(variance), draws) for mean, variance in _means(seen)]
    return top_two(np.array(drawn), goal.floor)


def top_two(drawn: NDArray[np.float64], floor: float) -> list[float]:
    """Of draws from the posterior of each arm, a row each; the least is the best."""
    arms = len(drawn)
    ordered = np.argsort(drawn, axis=0)
    chances = [(np.mean(ordered[0] == arm) + np.mean(ordered[1] == arm)) / 2.0 for arm in range(arms)]
    return [float(floor + (1.0 - arms * floor) * chance) for chance in chances]


def winner(seen: Sequence[ArmSeen], goal: Goal) -> int | None:
    """The arm that is surely the best, looked for after however many units and however often."""
    units = sum(one.units for one in seen)
    if min(one.units for one in seen) < goal.min_units:
        return None
    needed = math.log((1.0 + math.log(units)) * (len(seen) - 1) / goal.delta)
    means = [_rate(one) for one in seen] if goal.rate else [mean for mean, _ in _means(seen)]
    best = min(range(len(seen)), key=means.__getitem__)
    others = [arm for arm in range(len(seen)) if arm != best]
    if all(_ratio(seen, best, other, rate=goal.rate) > needed for other in others):
        return best
    return None


def shares(wanted: Sequence[float], now: Sequence[float], most: Sequence[float], held: Sequence[bool]) -> list[float]:
    """Of the arms beside the control, which has the rest: what they want in multiples of `GRAIN`, no more than they may
    ever have, and no more than now where one is held."""
    found = []
    for want, have, bound, hold in zip(wanted, now, most, held, strict=True):
        grained = math.floor(min(want, bound) / GRAIN + 0.5) * GRAIN
        share = round(min(grained, math.floor(bound / GRAIN + 1e-9) * GRAIN), 9)
        found.append(min(share, have) if hold else share)
    return found


def _rate(one: ArmSeen) -> float:
    return (one.total + 1.0) / (one.units + PRIOR)


def _means(seen: Sequence[ArmSeen]) -> list[tuple[float, float]]:
    """The mean of each arm, and the variance of the mean."""
    units = sum(one.units for one in seen)
    usual = sum(one.total for one in seen) / units
    spread = max(1e-12, sum(one.squares for one in seen) / units - usual * usual)
    found = []
    for one in seen:
        mean = (one.total + PRIOR * usual) / (one.units + PRIOR)
        own = max(0.0, one.squares - one.total * one.total / max(1, one.units))
        found.append((mean, (own + PRIOR * spread) / (one.units + PRIOR) / (one.units + PRIOR)))
    return found


def _ratio(seen: Sequence[ArmSeen], best: int, other: int, *, rate: bool) -> float:
    """The logarithm of how much likelier two arms are with the means they have than with one."""
    if not rate:
        means = _means(seen)
        apart = means[other][0] - means[best][0]
        return apart * apart / (2.0 * (means[other][1] + means[best][1]))
    one, two = seen[best], seen[other]
    both = (one.total + two.total + PRIOR) / (one.units + two.units + 2.0 * PRIOR)
    return sum((arm.units + PRIOR) * _divergence(_rate(arm), both) for arm in (one, two))


def _divergence(one: float, other: float) -> float:
    """Kullback and Leibler's, of two coins."""
    return one * math.log(one / other) + (1.0 - one) * math.log((1.0 - one) / (1.0 - other))
