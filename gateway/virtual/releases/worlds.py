"""Releases in numbers: what the gate would do, many times over, in virtual time.

The evidence is `routing.gate`'s, computed over whole arrays of events at once: a test holds the two against each other.
Only bad events matter to it, so only they are drawn, and where the share is observed, the units between them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

WORSE: Final = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 100.0)
FINE: Final = (1.1, *WORSE)
BETTER: Final = (0.9, 0.8, 0.65, 0.5, 0.35, 0.2)
PRIOR_UNITS: Final = 20.0
NEVER: Final = -1


def canary_share(share: Floats, ratio: Floats | float) -> Floats:
    """See `routing.gate.evidence`."""
    part: Floats = share * ratio / (share * ratio + 1.0 - share)
    return part


class Bets:
    """An e-process, as an array of the logarithms of its bets."""

    def __init__(self, null: float, ratios: Sequence[float]) -> None:
        self.null = null
        self._ratios = null * np.asarray(ratios)
        self.logs: Floats = np.zeros(len(ratios))

    def path(self, canary: Flags, share: Floats) -> Floats:
        """The logarithm of the e-value after each of these events, which it takes in."""
        if not len(canary):
            return np.zeros(0)
        logs = self._take(canary, share)
        most = logs.max(axis=1)
        found: Floats = most + np.log(np.exp(logs - most[:, None]).mean(axis=1))
        return found

    def crosses(self, canary: Flags, share: Floats, level: float) -> int:
        """After which of these events, which it takes in, the evidence is enough for the first time; NEVER."""
        if not len(canary):
            return NEVER
        logs = self._take(canary, share)
        near = np.flatnonzero(logs.max(axis=1) >= -np.log(level))  # the mean is never above the largest
        enough = near[np.exp(np.minimum(logs[near], 700.0)).mean(axis=1) >= 1.0 / level]
        return int(enough[0]) if len(enough) else NEVER

    def _take(self, canary: Flags, share: Floats) -> Floats:
        share = share[:, None]
        null, other = canary_share(share, self.null), canary_share(share, self._ratios[None, :])
        whose = canary[:, None]
        steps = np.log(np.where(whose, other, 1.0 - other) / np.where(whose, null, 1.0 - null))
        logs: Floats = self.logs + np.cumsum(steps, axis=0)
        self.logs = logs[-1]
        return logs

    @property
    def log_value(self) -> float:
        most = float(self.logs.max())
        return most + float(np.log(np.exp(self.logs - most).mean()))


class World(NamedTuple):
    """Requests that are units of their own."""

    share: float
    """The canary's."""
    base: float
    """The control's rate of bad events."""
    ratio: float = 1.0
    """The canary's over it."""

    @property
    def event_rate(self) -> float:
        return self.base * (1.0 - self.share) + min(1.0, self.base * self.ratio) * self.share

    @property
    def event_share(self) -> float:
        """The canary's part of the events."""
        return self.share * min(1.0, self.base * self.ratio) / self.event_rate

    def events(self, rng: np.random.Generator, requests: int) -> tuple[NDArray[np.int64], Flags]:
        """At which request each is, from 1 on, and whose it is."""
        usual = requests * self.event_rate
        gaps = rng.geometric(self.event_rate, int(usual + 8.0 * usual**0.5) + 20)
        at = np.cumsum(gaps)
        at = at[at <= requests]
        return at, rng.random(len(at)) < self.event_share

    def observed(self, rng: np.random.Generator, at: NDArray[np.int64], canary: Flags, configured: float) -> Floats:
        """The share of the units before each event, as the gate weighs it."""
        clean = np.diff(at, prepend=0) - 1
        part = (self.share * (1.0 - min(1.0, self.base * self.ratio))) / (1.0 - self.event_rate)
        canaries = np.cumsum(rng.binomial(clean, part)) + np.cumsum(canary) - canary
        share: Floats = (configured * PRIOR_UNITS + canaries) / (PRIOR_UNITS + at - 1)
        return share


def rolled_back(
    rng: np.random.Generator, world: World, requests: int, *, level: float, rho: float, configured: float | None = None
) -> int:
    """At which request it is rolled back; NEVER. `configured`: weigh with the observed share beside this one."""
    at, canary = world.events(rng, requests)
    share = np.full(len(at), world.share) if configured is None else world.observed(rng, at, canary, configured)
    where = Bets(rho, WORSE).crosses(canary, share, level)
    return NEVER if where == NEVER else int(at[where])


def promoted(rng: np.random.Generator, world: World, requests: int, *, level: float, margin: float) -> int:
    """At which request the canary is sure to be better than the margin; NEVER."""
    at, canary = world.events(rng, requests)
    where = Bets(margin, BETTER).crosses(canary, np.full(len(at), world.share), level)
    return NEVER if where == NEVER else int(at[where])


@dataclasses.dataclass(frozen=True)
class Ramp:
    """A ramp, and the traffic that it meets."""

    requests_per_s: float
    base: float
    ratio: float = 1.0
    shares: Sequence[float] = (0.01, 0.05, 0.25, 0.5)
    bake_s: float = 600.0
    alpha: float = 0.01
    rho: float = 1.1
    margin: float = 1.5
    most_s: float = 10 * 86_400.0
    """Held for longer, it is counted as held for ever."""
    ask_each_step: bool = False
    """For evidence for a promotion: before each step, not only the last."""

    def play(self, rng: np.random.Generator) -> tuple[str, float]:
        """`promote`, `rollback` or `hold`, and when, in seconds."""
        worse, better, now_s = Bets(self.rho, WORSE), Bets(self.margin, BETTER), 0.0
        for step, share in enumerate(self.shares):
            world, last = World(share, self.base, self.ratio), step + 1 == len(self.shares)
            waits = last or self.ask_each_step
            while True:
                count = int(rng.poisson(world.event_rate * self.requests_per_s * self.bake_s))
                at = np.sort(rng.random(count)) * self.bake_s
                canary, shares = rng.random(count) < world.event_share, np.full(count, share)
                bad = worse.crosses(canary, shares, self.alpha)
                better.crosses(canary, shares, self.alpha)
                if bad != NEVER:
                    return "rollback", now_s + float(at[bad])
                now_s += self.bake_s
                if not waits or better.log_value >= -np.log(self.alpha):
                    break
                if now_s > self.most_s:
                    return "hold", now_s
        return "promote", now_s


def sticky_ramp(
    rng: np.random.Generator,
    *,
    level: float,
    shares: Sequence[float] = (0.05, 0.25, 0.5),
    users: int = 3_000,
    requests_per_step: int = 10_000,
    per_request: bool = False,
) -> bool:
    """Whether a canary that is no worse is rolled back, where users differ in how often they fail (Beta(.1, 9.9)) and
    in how much they ask (Pareto), and keep their arms. `per_request`: count every request, as if it were a unit."""
    error_rate, activity = rng.beta(0.1, 9.9, users), rng.pareto(1.5, users) + 0.05
    bucket = rng.random(users)
    bets, had, chances = Bets(1.0, WORSE), np.zeros(users, np.bool_), np.cumsum(activity / activity.sum())
    for share in shares:
        asked = np.minimum(np.searchsorted(chances, rng.random(requests_per_step)), users - 1)
        canary = bucket < share
        failed = rng.random(requests_per_step) < error_rate[asked]
        newly = np.zeros(requests_per_step, np.bool_)
        newly[np.unique(asked, return_index=True)[1]] = True
        if per_request:
            counted, weighed = failed, np.full(requests_per_step, share)
        else:
            counted = _first_of_each(asked, failed, had)
            units, canaries = np.cumsum(newly), np.cumsum(newly & canary[asked])
            others = np.maximum(0, units - 1)
            before = np.minimum(others, np.maximum(0, canaries - canary[asked]))
            weighed = (share * PRIOR_UNITS + before) / (PRIOR_UNITS + others)
        if bets.crosses(canary[asked[counted]], weighed[counted], level) != NEVER:
            return True
    return False


def _first_of_each(who: NDArray[np.int64], events: Flags, had: Flags) -> Flags:
    """The events that are the first of their user, who has had it from then on."""
    at = np.flatnonzero(events)
    names, where = np.unique(who[at], return_index=True)
    fresh = ~had[names]
    found = np.zeros(len(who), np.bool_)
    found[at[where[fresh]]] = True
    had[names] = True
    return found
