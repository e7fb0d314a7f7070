"""How long the detector of changed rates runs until it alarms: where nothing changed, and where a rate went up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from routing.drift.detector import ENOUGH_UNITS, WINDOW_REQUESTS, Detector, baseline_of

BASE: Final = 0.01
LIMIT: Final = 1e5
MOST: Final = 3_000_000
"""Requests of one run, which end it as an alarm does."""
SESSION_REQUESTS: Final = 8.0
USERS: Final = 1_000
ACTIVITY: Final = 1.5

Flags = NDArray[np.bool_]


def independent(rate: float, baseline: float, rng: np.random.Generator) -> int:
    """Requests until the alarm, each of which fails with this probability."""
    detector, at = Detector(baseline, LIMIT), 0
    while at < MOST:
        for gap in rng.geometric(rate, 256):
            detector.quiet(int(gap) - 1)
            detector.event()
            at += int(gap)
            if detector.alarmed:
                return at
    return at


def learned(units: int, rng: np.random.Generator) -> float:
    """A baseline from so many independent requests."""
    known = baseline_of(int(rng.binomial(units, BASE)), units)
    assert known is not None
    return known


class Sessions:
    """Requests of users that differ in how often theirs fail, and come in sessions."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        activity = 0.1 + rng.pareto(ACTIVITY, USERS)
        self._cumulative = np.cumsum(activity)
        self._rates = rng.beta(0.1, 9.9, USERS)

    def windows(self, factor: float = 1.0) -> Iterator[tuple[NDArray[np.int64], Flags]]:
        """The user, and whether it failed, of each request: `WINDOW_REQUESTS` at a time."""
        rng = self._rng
        while True:
            lengths = rng.geometric(1.0 / SESSION_REQUESTS, WINDOW_REQUESTS)
            users = np.searchsorted(self._cumulative, rng.random(len(lengths)) * self._cumulative[-1])
            who = np.repeat(users, lengths)[:WINDOW_REQUESTS]
            yield who, rng.random(WINDOW_REQUESTS) < np.minimum(1.0, factor * self._rates[who])


def first_of_each(who: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each user is met first, as `routing.drift.detector.Once` counts."""
    _, places = np.unique(who, return_index=True)
    places.sort()
    return places


def in_sessions(rng: np.random.Generator, *, once: bool, factor: float = 1.0) -> int:
    """Requests until the alarm, with a baseline from `ENOUGH_UNITS` of the same users counted in the same way."""
    world = Sessions(rng)
    events = units = 0
    for who, failed in world.windows():
        counted = failed[first_of_each(who)] if once else failed
        events += int(counted.sum())
        units += len(counted)
        if units >= ENOUGH_UNITS:
            break
    baseline = baseline_of(events, units)
    assert baseline is not None
    detector, at = Detector(baseline, LIMIT), 0
    for who, failed in world.windows(factor):
        places = first_of_each(who) if once else np.arange(len(who))
        counted = failed[places]
        last = -1
        for event in np.flatnonzero(counted):
            detector.quiet(int(event) - last - 1)
            detector.event()
            last = int(event)
            if detector.alarmed:
                return at + int(places[event]) + 1
        detector.quiet(len(counted) - last - 1)
        at += len(who)
        if at >= MOST:
            break
    return at
