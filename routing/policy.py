"""Which endpoint a request goes to: tiers in order, and within a tier the route's picker."""

from __future__ import annotations

import random
from collections.abc import Collection

from routing.model import AGAIN, Decision, Endpoint
from routing.pickers import last_resort
from routing.route import ModelRoute


def choose(
    route: ModelRoute, operation: str, now: float, rng: random.Random, tried: Collection[Endpoint] = ()
) -> Decision | None:
    """An endpoint that speaks `operation`, or None when nothing at all is available.

    The first tier with an available endpoint not in `tried` is picked from. When every available one was tried, the
    first tier with any is picked from, and the reason is "again". When none is available at all, one that is unhealthy
    or stands aside is asked before the client is told that there is nobody: when all are down, health is wrong. Never
    an endpoint that is draining or refused by its breaker. Changes nothing but a round-robin's turn: the caller admits
    and charges, at the same `now`.
    """
    speakers = route.speakers.get(operation)
    if speakers is None:
        return None
    for picker in speakers.pickers:
        decision = picker.pick(now, rng, tried)
        if decision is not None:
            return decision
    if tried:
        for picker in speakers.pickers:
            decision = picker.pick(now, rng)
            if decision is not None:
                return Decision(decision.endpoint, AGAIN)
    for pool in speakers.pools:
        decision = last_resort(pool, now, rng)
        if decision is not None:
            return decision
    return None
