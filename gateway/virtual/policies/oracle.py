"""The oracle: the least cost by what the caches and the queues really hold. No gateway can know this.

    cost = (tokens its earlier calls have still to compute + weight * own uncached tokens) / the replica's true rate

An uncached token costs more than the time of its own call: all behind it wait too, and what it puts into the cache
pushes something out that somebody comes back for. At weight 1, the least TTFT of the one call, prefixes spread over all
replicas until nothing is found again. Where the caches together are scarce a high weight is best, and where they have
room for copies of what is hot, a low one; so there are two oracles, and saturation is measured with whichever does
better. Neither is an upper bound of what is possible.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

from gateway.virtual.fleet.balancer import Balancer, Policy, Surroundings, WatchingRule
from gateway.virtual.fleet.foresight import Foresight
from gateway.virtual.fleet.replicas import Gpu
from gateway.virtual.policies.baselines.least import fewest
from gateway.virtual.trace import BLOCK_TOKENS, Call
from routing.facts import RequestFacts
from routing.model import Endpoint

SCARCE, ROOMY = 8.0, 1.5
"""The weights."""


class Oracle(WatchingRule):
    """Picker and watcher in one."""

    def __init__(self, pool: Sequence[Endpoint], gpus: Sequence[Gpu], foresight: Foresight, weight: float) -> None:
        self._pool = tuple(pool)
        self._weight = weight
        self._s_per_token = [1 / gpu.prefill_tokens_per_s for gpu in gpus]
        self._queued_tokens = [0] * len(self._pool)
        self._foresight = foresight
        self._uncached: list[int] = []
        self._computing: dict[int, int] = {}

    def pick(
        self, facts: RequestFacts, now: float, rng: random.Random, skip: Collection[Endpoint] = ()
    ) -> Endpoint | None:
        """See routing.choosing.pickers.Picker."""
        self._uncached = [facts.prompt_tokens - BLOCK_TOKENS * depth for depth in self._foresight.depths(facts.prefix)]
        costs = [
            (queued + self._weight * uncached) * each
            for queued, uncached, each in zip(self._queued_tokens, self._uncached, self._s_per_token, strict=True)
        ]
        return fewest(self._pool, costs, rng)

    def sent(self, call: Call, facts: RequestFacts, replica: int, now: float) -> None:
        """See gateway.virtual.fleet.balancer.Watcher, as for the one below."""
        uncached = self._uncached[replica]
        self._computing[call.index] = uncached
        self._queued_tokens[replica] += uncached

    def first_token(self, call: Call, replica: int, now: float) -> None:
        self._queued_tokens[replica] -= self._computing.pop(call.index)


def oracle(weight: float) -> Policy:
    """The oracle of that weight."""

    def build(around: Surroundings) -> Balancer:
        both = Oracle(around.pool, around.gpus, around.foresight, weight)
        return Balancer(both, both)

    return Policy(rule=build, foresees=True)


ORACLES = (oracle(SCARCE), oracle(ROOMY))
