"""Who of several pools that serve the same models gets the replicas: the cheapest for what it does, until it is full.

Each pool looks at the traffic that those before it cannot take, so that its own rules say when its replicas go and
why: while a cheaper one still starts, the dearer keeps its replicas, and once that serves, nothing arrives there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from routing.autoscale.signals import Signals

ALIKE = 1.1
"""Prices per token that differ by less than about this much are the same: measured speeds vary by as much."""


@dataclass(frozen=True, slots=True)
class AlikePool:
    """One engine among those that the same models may use alike."""

    name: str
    tokens_per_s: float
    """Prompt tokens of one replica."""
    usd_per_hour: float
    """Of one replica."""
    has: int = 0
    """Replicas, those on their way included."""


def cheapest_first(pools: Sequence[AlikePool]) -> list[str]:
    """Their names, by the price of a token; of those that cost the same, the one with more replicas first."""
    return [pool.name for pool in sorted(pools, key=lambda pool: (_dearness(pool), -pool.has, pool.name))]


def seen_by(own: Signals, every: Sequence[Signals], part: float) -> Signals:
    """What a pool sees that has to take this part of the traffic of `every` pool; its replicas are its `own`."""
    return replace(
        own,
        arrived_requests=part * sum([one.arrived_requests for one in every]),
        arrived_tokens=part * sum([one.arrived_tokens for one in every]),
        backlog_tokens=part * sum([one.backlog_tokens for one in every]),
        backlog_requests=part * sum([one.backlog_requests for one in every]),
        in_flight=part * sum([one.in_flight for one in every]),
    )


def left(part: float, asked: int, ready: int) -> float:
    """What part of the traffic is left to the next pool by one that was to take `part` of it, asks for so many replicas
    whatever its bounds, and has so many that serve."""
    return 0.0 if asked <= ready else part * (1.0 - ready / asked)


def _dearness(pool: AlikePool) -> int:
    if pool.tokens_per_s <= 0.0 or pool.usd_per_hour <= 0.0:
        return 0 if pool.usd_per_hour <= 0.0 else 10**6
    return round(math.log(pool.usd_per_hour / pool.tokens_per_s) / math.log(ALIKE)) + 10**4
