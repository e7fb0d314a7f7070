"""How often the judgement of drift errs, and how soon it sees; `table.py` prints it.

Fresh worlds are played (`worlds.py`), `routing.drift` judges every window of the days after a reference week, and
days with an alarm are counted where nothing changed, and windows with one where everything moved by PSI .2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from gateway.virtual.drift.worlds import REFERENCE_DAYS, World, play, shocks_of
from routing.drift.control import AgainstControl, Apart
from routing.drift.distances import psi, smoothed
from routing.drift.histogram import merged
from routing.drift.reference import BINS, ROLLING, Reference, Shift

TEST_DAYS: Final = 6
FOLK_PSI: Final = 0.1
"""What is commonly said to be drift, of requests that all weigh the same."""
SHIFT_SD: Final = 0.4472
"""Of a normal distribution, moved by so many standard deviations, PSI is .2."""


@dataclass
class Counts:
    """What was seen in some worlds."""

    silent: int = 0
    """Days on which there was not enough data to judge."""
    days: int = 0
    """All others."""
    alarmed: int = 0
    folk: int = 0
    """Days on which the common threshold would have alarmed."""
    chances: int = 0
    seen: int = 0
    """Of so many windows that moved by PSI .2: those with an alarm."""
    runs: int = 0
    seen_in_six: int = 0
    """Of so many runs of six such windows: those with an alarm."""

    def add(self, other: Counts) -> None:
        for name in vars(other):
            setattr(self, name, getattr(self, name) + getattr(other, name))


def judge_world(world: World, requests: int, seed: int | Sequence[int]) -> Counts:
    """One world: a reference week, and the days after it."""
    rng = np.random.default_rng(seed)
    days = play(world, requests, REFERENCE_DAYS + TEST_DAYS, rng)
    first = 24 * REFERENCE_DAYS
    try:
        reference = Reference({hour: days.histogram(hour) for hour in range(first)})
    except ValueError:  # one user asks nearly everything, and weighs three requests an hour
        return Counts(silent=TEST_DAYS)
    week = merged([days.histogram(hour, weighted=False) for hour in range(first)])
    cuts = week.cuts(BINS)
    plain = smoothed(week.binned(cuts))
    counts = Counts(days=TEST_DAYS)
    before: list[Shift] = []
    for day in range(TEST_DAYS):
        alarmed = folk = False
        for hour in range(first + 24 * day, first + 24 * day + 24):
            folk |= psi(plain, smoothed(days.histogram(hour, weighted=False).binned(cuts))) > FOLK_PSI
            shift = reference.shift(hour, days.histogram(hour))
            if shift is not None:
                alarmed |= bool(reference.judge(shift, before, new_users=world.new_users).alarms)
                before.append(shift)
        counts.alarmed += alarmed
        counts.folk += folk
    for begin in range(first + ROLLING, first + 24 * TEST_DAYS - ROLLING, 2 * ROLLING):
        before = [one for hour in range(begin - ROLLING, begin) if (one := reference.shift(hour, days.histogram(hour)))]
        seen = False
        for step in range(ROLLING):
            shift = reference.shift(begin + step, days.histogram(begin + step, SHIFT_SD))
            if shift is None:
                continue
            seen |= bool(reference.judge(shift, before, new_users=world.new_users).alarms)
            before.append(shift)
            if step == 0:
                counts.chances += 1
                counts.seen += seen
        counts.runs += 1
        counts.seen_in_six += seen
    return counts


def judge_arms(world: World, requests: int, seed: int | Sequence[int]) -> Counts:
    """One world of two arms that share its shocks, and have users and as many requests of their own: the one against
    the other."""
    rng = np.random.default_rng(seed)
    days = REFERENCE_DAYS + TEST_DAYS
    shocks = shocks_of(world, days, rng)
    arm, control = (play(world, requests, days, rng, shocks=shocks) for _ in range(2))
    first = 24 * REFERENCE_DAYS
    try:
        judge = AgainstControl({hour: (arm.histogram(hour), control.histogram(hour)) for hour in range(first)})
    except ValueError:
        return Counts(silent=TEST_DAYS)
    counts = Counts(days=TEST_DAYS)
    usual: dict[int, Apart] = {}
    for hour in range(first, 24 * days):
        apart = judge.apart(arm.histogram(hour), control.histogram(hour))
        if apart is not None:
            usual[hour] = apart
    for day in range(TEST_DAYS):
        hours = [hour for hour in range(first + 24 * day, first + 24 * day + 24) if hour in usual]
        counts.alarmed += any(judge.alarms(usual[hour], _before(usual, hour)) for hour in hours)
    for begin in range(first + ROLLING, 24 * days - ROLLING, 2 * ROLLING):
        seen, before = False, _before(usual, begin)
        for step in range(ROLLING):
            apart = judge.apart(arm.histogram(begin + step, SHIFT_SD), control.histogram(begin + step))
            if apart is None:
                continue
            seen |= bool(judge.alarms(apart, before))
            before = [*before, apart]
            if step == 0:
                counts.chances += 1
                counts.seen += seen
        counts.runs += 1
        counts.seen_in_six += seen
    return counts


def _before(known: dict[int, Apart], hour: int) -> list[Apart]:
    return [known[at] for at in range(hour - ROLLING + 1, hour) if at in known]
