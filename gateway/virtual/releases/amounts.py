"""Latency in numbers: thresholds frozen from the control, one number per unit, and what load alone does."""

from __future__ import annotations

from typing import Final

import numpy as np

from gateway.virtual.releases.worlds import FINE, NEVER, Bets, Flags, Floats

QUANTILES: Final = (0.5, 0.75, 0.9)
PER_UNIT: Final = 5
SPREAD: Final = 1.05
"""Of the logarithm of one request's latency."""
BETWEEN_USERS: Final = 0.37
"""Of the logarithm of a user's usual latency."""


def numbers(rng: np.random.Generator, canary: Flags, effect: float, *, per_user: bool) -> Floats:
    """The logarithm of each unit's latency: of a request, or the mean over a user's first requests."""
    count = len(canary)
    if per_user:
        spread = SPREAD / PER_UNIT**0.5
        found = rng.normal(0.0, BETWEEN_USERS, count) + rng.normal(0.0, spread, count)
    else:
        found = rng.normal(0.0, SPREAD, count)
    shifted: Floats = found + canary * np.log(effect)
    return shifted


def slow_found(
    rng: np.random.Generator, share: float, effect: float, units: int, *, level: float, per_user: bool, rho: float = 1.0
) -> int:
    """After how many units of the canary it is rolled back for being `effect` times as slow; NEVER."""
    known = numbers(rng, np.zeros(200 if per_user else 1_000, np.bool_), 1.0, per_user=per_user)
    canary = rng.random(units) < share
    return judged(known, numbers(rng, canary, effect, per_user=per_user), canary, share, level=level, rho=rho)


def judged(known: Floats, amounts: Floats, canary: Flags, share: float, *, level: float, rho: float = 1.0) -> int:
    """After how many units of the canary it is rolled back, by thresholds of what is `known` of the control."""
    ends = []
    for threshold in np.quantile(known, QUANTILES):
        above = np.flatnonzero(amounts > threshold)
        where = Bets(rho, FINE).crosses(canary[above], np.full(len(above), share), level / len(QUANTILES))
        if where != NEVER:
            ends.append(int(above[where]))
    return int(canary[: min(ends) + 1].sum()) if ends else NEVER


def loaded(
    rng: np.random.Generator, share: float, effect: float, busier: float, requests: int, *, level: float, residual: bool
) -> int:
    """The same of a canary whose replicas have `busier` times as much to do. `residual`: with what load explains taken
    out, as fitted on 2,000 requests of the control."""
    control_load = rng.gamma(16.0, 0.5, 2_000) + 1.0
    known = 0.8 * np.log(control_load) + rng.normal(0.0, 0.5, 2_000)
    slope = np.polyfit(np.log(control_load), known, 1)[0] if residual else 0.0
    canary = rng.random(requests) < share
    load = rng.gamma(16.0, 0.5, requests) * np.where(canary, busier, 1.0) + 1.0
    amounts = 0.8 * np.log(load) + rng.normal(0.0, 0.5, requests) + canary * np.log(effect)
    return judged(known - slope * np.log(control_load), amounts - slope * np.log(load), canary, share, level=level)
