"""Outlier ejection: a replica that does much worse than its peers stands aside for a while.

    failing   of its requests, a share fails that is `failure_margin` over that of all its peers together
    slow      for a prompt of its usual size it takes `ttft_ratio` times as long to the first token as the middle one of
              its peers would, and `LEAST_SLOW_MS` more; what waited before it is taken out (`routing.replicas.rates`)

A breaker asks whether a replica is broken; this asks whether it is worse than the others, so it sees one that fails a
third of what it gets, or takes four times as long for all of it. Where all are bad, none is worse, and nothing happens.

The evidence is what is known anyhow: the breaker's window (so neither 429 nor an overload counts) and the line that
prefill times are learned by. Both are let go when a replica is ejected: it comes back to be judged by what it does
then. Each time that it is ejected again within four times as long as it was out, it is out for twice as long.

Laws: of a tier, those that are out for whatever reason are never more than `max_ratio` because of an ejection; and
somebody who can answer is left in every pool of every model that the replica serves.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from routing.model import Endpoint
from routing.replicas.replica import ReplicaState
from routing.route import ModelRoute

NOISE: Final = 4.0
"""Standard errors of the difference between two shares of failures: below that it may be chance."""
LEAST_SLOW_MS: Final = 50.0
"""Below that, a ratio is between two small numbers."""
MOST_PEERS: Final = 64
"""The middle one of so many is near that of all, and to ask all for each would take the square of a tier's size."""


@dataclass(frozen=True, slots=True)
class EjectionSettings:
    """Of one model."""

    max_ratio: float = 0.5
    """Of a tier: rounded down, so of two replicas one may go at a half, and none below."""
    base_s: float = 30.0
    max_s: float = 600.0
    min_requests: int = 20
    """So many must be known of a replica, and of its peers together, before it is judged."""
    failure_margin: float = 0.2
    ttft_ratio: float = 4.0


@dataclass(frozen=True, slots=True)
class Ejection:
    """One replica that is to stand aside."""

    state: ReplicaState
    reason: str
    """`failing` or `slow`: a metric label."""
    why: str
    """For an operator."""
    base_s: float
    max_s: float


def ejections(routes: Sequence[ModelRoute], now: float) -> Iterator[Ejection | None]:
    """Each replica that is to be ejected at `now`, in steps (None: nothing in this one). Whoever asks ejects it before
    the next step, or the laws would not hold."""
    for route in routes:
        settings = route.ejection
        if settings is None:
            continue
        for pool in route.whole.pools:
            states = _states(pool)
            outliers = yield from _outliers(states, settings, now)
            for found in outliers:
                if not _enough_left(found.state, states, settings, now):
                    break  # nor may any other of this tier go
                may_go = yield from _may_go(found.state, routes, now)
                if may_go:
                    yield found
            yield None


def _outliers(
    states: Sequence[ReplicaState], settings: EjectionSettings, now: float
) -> Generator[None, None, list[Ejection]]:
    """Those of one tier, the worst first; a step for each replica."""
    present = [state for state in states if state.available(now)]
    if len(present) < 2:
        return []
    found: list[tuple[float, Ejection]] = []
    counts: list[tuple[int, int]] = []
    for state in present:
        counts.append(state.breaker.counted(now))
        yield
    all_good, all_bad = sum([good for good, _ in counts]), sum([bad for _, bad in counts])
    for at, state in enumerate(present):
        good, bad = counts[at]
        badness, reason, why = _failing(good, bad, all_good - good, all_bad - bad, settings)
        if not reason:
            peers = _peers(present, at)
            badness, reason, why = _slow(state, peers, settings, now)
        if reason:
            found.append((badness, Ejection(state, reason, why, settings.base_s, settings.max_s)))
        yield
    found.sort(key=lambda one: -one[0])
    return [ejection for _, ejection in found]


def _peers(present: Sequence[ReplicaState], at: int) -> list[ReplicaState]:
    """Those that the one at `at` is compared with: at most `MOST_PEERS`, from all over the tier, and not itself."""
    stride = math.ceil(len(present) / MOST_PEERS)
    return [state for state in present[(at + 1) % stride :: stride] if state is not present[at]]


def _failing(
    good: int, bad: int, peers_good: int, peers_bad: int, settings: EjectionSettings
) -> tuple[float, str, str]:
    here, there = good + bad, peers_good + peers_bad
    if here < settings.min_requests or there < settings.min_requests:
        return 0.0, "", ""
    over = bad / here - peers_bad / there
    of_all = (bad + peers_bad) / (here + there)
    noise = math.sqrt(of_all * (1.0 - of_all) * (1.0 / here + 1.0 / there))
    if over < settings.failure_margin or over < NOISE * noise:
        return 0.0, "", ""
    why = f"{bad} of {here} failed, of its peers' {peers_bad} of {there}"
    return 1.0 + over, "failing", why  # a failure is worse than any wait


def _slow(
    state: ReplicaState, peers: Sequence[ReplicaState], settings: EjectionSettings, now: float
) -> tuple[float, str, str]:
    least = settings.min_requests
    known = [peer.prefill for peer in peers if peer.prefill.known(now, least)]
    if not known or not state.prefill.known(now, least):
        return 0.0, "", ""
    tokens = state.prefill.usual_tokens
    here_ms, there_ms = state.prefill.ttft_ms(tokens), median([peer.ttft_ms(tokens) for peer in known])
    if here_ms < settings.ttft_ratio * there_ms or here_ms < there_ms + LEAST_SLOW_MS:
        return 0.0, "", ""
    why = f"{here_ms:.0f} ms to the first token of {tokens:.0f}, where its peers take {there_ms:.0f}"
    return 1.0 - there_ms / here_ms, "slow", why


def _may_go(state: ReplicaState, routes: Sequence[ModelRoute], now: float) -> Generator[None, None, bool]:
    """Whether enough is left wherever it serves; a step for each route."""
    for route in routes:
        for pool in route.whole.pools:
            states = _states(pool)
            if state in states and not _enough_left(state, states, route.ejection, now):
                return False
        for tiers in route.speakers.values():
            for pool in tiers.pools:
                states = _states(pool)
                if state in states and not _enough_left(state, states, None, now):
                    return False
        yield
    return True


def _enough_left(
    state: ReplicaState, states: Sequence[ReplicaState], settings: EjectionSettings | None, now: float
) -> bool:
    out = 1 + sum([other is not state and not other.available(now) for other in states])
    if out >= len(states):
        return False
    return settings is None or out <= settings.max_ratio * len(states)


def _states(pool: Sequence[Endpoint]) -> list[ReplicaState]:
    """The replicas of a pool, each once: one may serve it under two names."""
    return list(dict.fromkeys([endpoint.state for endpoint in pool]))
