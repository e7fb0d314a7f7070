"""Worlds of requests for the judgement of drift: clustered users, Pareto activity, sessions, a daily cycle.

Every request has one value, of which the logarithm is a sum: its user's, its session's, its own, the hour's. What makes
drift detection hard is in there: the same few users make most of a window, they come in sessions, and they come again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from routing.drift.histogram import BUCKETS_PER_OCTAVE, Histogram

REFERENCE_DAYS: Final = 7
USER_SD: Final = 0.5
SESSION_SD: Final = 0.3
OWN_SD: Final = 0.81
"""Together 1: a shift of one is a standard deviation of a request."""
CYCLE: Final = 0.10
"""How far the mean of the logarithm goes up and down over a day."""
SESSION_REQUESTS: Final = 3.0
CAP: Final = 3.0
"""Requests of one user in one window that weigh as much as those of another."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class World:
    """What a world is like."""

    name: str
    users: int = 1_000
    activity: float = 1.5
    """The exponent of the Pareto distribution of how much a user asks; the lower, the fewer users make most of it."""
    phases: float = 0.0
    """How much users keep to hours of their own: 1 is none at all at the other end of the day."""
    new_users: float = 0.0
    """The share of them that are others the next day."""
    shock_sd: float = 0.0
    """Of what befalls all requests of an hour alike."""


WORLDS: Final = (
    World("base"),
    World("heavy", activity=1.1),
    World("cycle", phases=0.9),
    World("churn", new_users=0.03),
    World("shocks .05", shock_sd=0.05),
    World("shocks .10", shock_sd=0.10),
)


@dataclass(frozen=True)
class Days:
    """Windows of the same number of requests, one an hour, from a Monday at midnight on."""

    logs: Floats
    """Window by request: the logarithm of its value, in standard deviations."""
    weights: Floats
    """Window by request: at most 1, less for the users that asked more than `CAP` times in the window."""

    def histogram(self, window: int, shift: float = 0.0, *, weighted: bool = True) -> Histogram:
        """Of one window, with everything moved by so many standard deviations."""
        octaves = (self.logs[window] + shift) / np.log(2.0)
        buckets = np.floor(octaves * BUCKETS_PER_OCTAVE).astype(np.int64)
        low = int(buckets.min())
        weights = np.bincount(buckets - low, weights=self.weights[window] if weighted else None)
        return Histogram({low + at: float(weights[at]) for at in np.flatnonzero(weights).tolist()})


def play(world: World, requests: int, days: int, rng: np.random.Generator, *, shocks: Floats | None = None) -> Days:
    """So many days, each hour a window of so many requests. `shocks` are those of each window, where others have the
    same."""
    windows = 24 * days
    activity = 0.1 + rng.pareto(world.activity, world.users)
    phase = rng.uniform(0.0, 2.0 * np.pi, world.users)
    effects = [rng.normal(0.0, USER_SD, world.users)]
    identity = np.arange(world.users)
    identities = [identity]
    for _ in range(days - 1):
        leaves = rng.random(world.users) < world.new_users
        identity = np.where(leaves, identities[-1].max() + 1 + np.arange(world.users), identities[-1])
        identities.append(identity)
        effects.append(np.where(leaves, rng.normal(0.0, USER_SD, world.users), effects[-1]))
    logs = np.empty((windows, requests))
    weights = np.empty((windows, requests))
    if shocks is None:
        shocks = shocks_of(world, days, rng)
    for window in range(windows):
        day, hour = divmod(window, 24)
        angle = 2.0 * np.pi * hour / 24
        here = activity * (1.0 + world.phases * np.cos(angle - phase))
        users, session = _sessions(np.cumsum(here), requests, rng)
        who = identities[day][users]
        weights[window] = np.minimum(1.0, CAP / np.bincount(who)[who])
        own = rng.normal(0.0, OWN_SD, requests)
        logs[window] = effects[day][users] + session + own + CYCLE * np.sin(angle) + shocks[window]
    return Days(logs, weights)


def shocks_of(world: World, days: int, rng: np.random.Generator) -> Floats:
    """By how much all requests of each window move alike."""
    return rng.normal(0.0, world.shock_sd, 24 * days) if world.shock_sd else np.zeros(24 * days)


def _sessions(cumulative: Floats, requests: int, rng: np.random.Generator) -> tuple[Integers, Floats]:
    """The user of each request of a window, and what its session adds."""
    count = int(requests / SESSION_REQUESTS * 1.5) + 20
    lengths = rng.geometric(1.0 / SESSION_REQUESTS, count)
    while lengths.sum() < requests:
        lengths = np.concatenate([lengths, rng.geometric(1.0 / SESSION_REQUESTS, count)])
    chosen = np.searchsorted(cumulative, rng.random(len(lengths)) * cumulative[-1])
    effects = rng.normal(0.0, SESSION_SD, len(lengths))
    return np.repeat(chosen, lengths)[:requests], np.repeat(effects, lengths)[:requests]
