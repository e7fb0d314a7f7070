"""The fewest replicas that keep an SLO at a load, and what a backlog asks for beside.

Prompts wait for whichever of n replicas is free next, so the chance to wait longer than t is that of an M/M/n queue,
`C(n, load) * exp(-(n - load) * t / service)` with Erlang's C, and arrivals that are more or less even than Poisson's
stretch or shorten the service in it (Allen and Cunneen). Many replicas need far less to spare than few: at 1 % misses,
a service of 0.5 s and 1.5 s to wait, a load of 2 needs 4 replicas and one of 20 needs 22. A fixed target per replica
is wrong at one end or the other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from routing.autoscale.signals import Speed

_MOST: int = 10_000


def late_ratio(replicas: int, load: float, service_s: float, slack_s: float, dispersion: float) -> float:
    """What part of the requests waits longer than `slack_s`; 1 where there are not enough replicas."""
    if load <= 0.0:
        return 0.0
    if replicas <= load:
        return 1.0
    return _late(replicas, load, _busy(replicas, load), service_s, slack_s, dispersion)


def staffed(load: float, service_s: float, slack_s: float, dispersion: float, late: float) -> int:
    """The fewest replicas at which no more than the part `late` waits longer than `slack_s`."""
    if load <= 0.0:
        return 0
    replicas = max(1, math.floor(load) + 1)
    if replicas >= _MOST:
        return replicas
    blocked = _blocked(replicas, load)
    while replicas < _MOST:
        busy = blocked / (1.0 - load / replicas * (1.0 - blocked))
        if _late(replicas, load, busy, service_s, slack_s, dispersion) <= late:
            break
        replicas += 1
        blocked = load * blocked / (replicas + load * blocked)
    return replicas


def seated(running: float, seats: int) -> int:
    """The fewest replicas of so many seats for so many requests at once in the mean, varying as Poisson's do."""
    if not seats or running <= 0.0:
        return 0
    return math.ceil((running + 2.0 * math.sqrt(running)) / seats)


def backlog_later(backlog_s: float, load: float, ready: int, starting_s: Sequence[float], horizon_s: float) -> float:
    """The backlog in `horizon_s` seconds, in seconds of one replica's work.

    Those on their way count from when they will serve; of one that is overdue nobody knows when that is, and it counts
    from the end.
    """
    joins = sorted([one for one in starting_s if 0.0 < one < horizon_s])
    left, now, serving = max(0.0, backlog_s), 0.0, ready
    for at in [*joins, horizon_s]:
        left = max(0.0, left + (load - serving) * (at - now))
        now = at
        serving += 1
    return left


def own_s(mean_tokens: float, speed: Speed) -> float:
    """What a prompt of such a length takes by itself."""
    return mean_tokens / speed.prefill_tokens_per_s if speed.prefill_tokens_per_s > 0.0 else 0.0


def _late(replicas: int, load: float, busy: float, service_s: float, slack_s: float, dispersion: float) -> float:
    if service_s <= 0.0:
        return 0.0
    return min(1.0, busy * math.exp(-(replicas - load) * max(0.0, slack_s) / (service_s * max(0.25, dispersion / 2.0))))


def _busy(replicas: int, load: float) -> float:
    """Erlang's C: the chance that all replicas are busy."""
    blocked = _blocked(replicas, load)
    return blocked / (1.0 - load / replicas * (1.0 - blocked))


def _blocked(replicas: int, load: float) -> float:
    """Erlang's B, by its recursion."""
    blocked = 1.0
    for n in range(1, replicas + 1):
        blocked = load * blocked / (n + load * blocked)
    return blocked
