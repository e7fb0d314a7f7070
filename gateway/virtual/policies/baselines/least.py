"""Plain least load, of all replicas and not of two drawn by chance."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

from gateway.virtual.fleet.balancer import Balancer, Rule, Surroundings
from routing.facts import RequestFacts
from routing.model import Endpoint


class LeastRequests(Rule):
    """The fewest requests in flight, by chance among equals: what proxies call least connections."""

    def __init__(self, pool: Sequence[Endpoint]) -> None:
        self._pool = tuple(pool)

    def pick(
        self, facts: RequestFacts, now: float, rng: random.Random, skip: Collection[Endpoint] = ()
    ) -> Endpoint | None:
        """See routing.choosing.pickers.Picker."""
        return fewest(self._pool, [endpoint.state.in_flight_requests for endpoint in self._pool], rng)


class LeastTokens(Rule):
    """The fewest tokens in flight: the minimum that least_load's two choices stand for."""

    def __init__(self, pool: Sequence[Endpoint]) -> None:
        self._pool = tuple(pool)

    def pick(
        self, facts: RequestFacts, now: float, rng: random.Random, skip: Collection[Endpoint] = ()
    ) -> Endpoint | None:
        """See routing.choosing.pickers.Picker."""
        loads = [
            (endpoint.state.in_flight_tokens + endpoint.state.remote_tokens) / endpoint.weight
            for endpoint in self._pool
        ]
        return fewest(self._pool, loads, rng)


def fewest(pool: Sequence[Endpoint], costs: Sequence[float], rng: random.Random) -> Endpoint:
    """The endpoint of least cost; among equals, any."""
    least = min(costs)
    best = [i for i, cost in enumerate(costs) if cost == least]
    return pool[best[0] if len(best) == 1 else best[int(rng.random() * len(best))]]


def least_requests(around: Surroundings) -> Balancer:
    return Balancer(LeastRequests(around.pool))


def least_tokens(around: Surroundings) -> Balancer:
    return Balancer(LeastTokens(around.pool))
