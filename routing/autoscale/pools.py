"""Who of several pools that serve one model gets its replicas: the cheapest for what it does, until it is full."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pool:
    """One engine among those that a model may use alike."""

    name: str
    speed: float
    """Prompt tokens per second of one replica."""
    usd_per_hour: float
    """Of one replica; 0 where nobody has said."""
    least: int
    most: int
    has: int = 0


def shared_out(tokens_per_s: float, pools: Sequence[Pool]) -> dict[str, int]:
    """How many replicas of each pool compute so many tokens per second, at the least price per token.

    Every pool has its `least`; what these do not do is given to the pool with the cheapest token until that is full. Of
    pools that cost the same, the one with replicas already. What no pool can do is nobody's.
    """
    counts = {pool.name: pool.least for pool in pools}
    left = tokens_per_s - sum([pool.least * pool.speed for pool in pools])
    for pool in sorted(pools, key=_dearness):
        if left <= 1e-9:
            break
        if pool.speed <= 0.0:
            continue
        wanted = -int(-left // pool.speed)
        more = max(0, min(pool.most - pool.least, wanted))
        counts[pool.name] += more
        left -= more * pool.speed
    return counts


def _dearness(pool: Pool) -> tuple[float, int, str]:
    return pool.usd_per_hour / pool.speed if pool.speed > 0.0 else 0.0, -pool.has, pool.name
