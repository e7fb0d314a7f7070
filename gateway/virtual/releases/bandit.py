"""A bandit over arms that fail at known rates: how often it declares a wrong one the best, and how it divides units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from routing.experiments.bandit import ArmSeen, Goal, weights, winner

BATCH = 50
"""Units between two looks."""


class Outcome(NamedTuple):
    """Of one run."""

    winner: int | None
    units: int
    """Until it was declared."""
    best_share: float
    """Of all units, what the arm that is the best in truth was given."""


def run(rates: Sequence[float], rng: np.random.Generator, *, delta: float = 0.05, most_units: int = 100_000) -> Outcome:
    """One run: a look after each batch, until there is a winner or enough."""
    goal = Goal(rate=True, delta=delta)
    best = min(range(len(rates)), key=rates.__getitem__)
    units, events = np.zeros(len(rates), int), np.zeros(len(rates), int)
    declared = None
    while declared is None and units.sum() < most_units:
        seen = [ArmSeen(int(n), float(k), float(k)) for n, k in zip(units, events, strict=True)]
        found = weights(seen, goal, rng, draws=200) or [1.0] * len(rates)
        batch = rng.multinomial(BATCH, np.array(found) / sum(found))
        units += batch
        events += rng.binomial(batch, rates)
        declared = winner([ArmSeen(int(n), float(k), float(k)) for n, k in zip(units, events, strict=True)], goal)
    return Outcome(declared, int(units.sum()), float(units[best] / units.sum()))
