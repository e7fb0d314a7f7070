"""The oracle: the least cost by what the caches and the queues really hold. No gateway can know this.

    cost = (tokens its earlier calls have still to compute + 8 * own uncached tokens) / the replica's true rate

An uncached token costs more than the time of its own call: all behind it wait too, and what it puts into the cache
pushes something out that somebody comes back for. At weight 1, which is the least TTFT of the one call, prefixes spread
over all replicas until nothing is found again: at 80 requests/s of the shared prompts on 4 replicas 55 % of calls are
good, at any weight from 2 to 32 all of them. It is no upper bound of what is possible; it is what saturation is
measured with.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

from gateway.virtual.balancer import Balancer, Policy, Surroundings, WatchingRule
from gateway.virtual.baselines.least import fewest
from gateway.virtual.foresight import Foresight
from gateway.virtual.replicas import Gpu
from gateway.virtual.trace import BLOCK_TOKENS, Call
from routing.facts import RequestFacts
from routing.model import Endpoint

UNCACHED_WEIGHT = 8.0


class Oracle(WatchingRule):
    """Picker and watcher in one."""

    def __init__(self, pool: Sequence[Endpoint], gpus: Sequence[Gpu], foresight: Foresight) -> None:
        self._pool = tuple(pool)
        self._s_per_token = [1 / gpu.prefill_tokens_per_s for gpu in gpus]
        self._queued_tokens = [0] * len(self._pool)
        self._foresight = foresight
        self._uncached: list[int] = []
        self._computing: dict[int, int] = {}

    def pick(
        self, facts: RequestFacts, now: float, rng: random.Random, skip: Collection[Endpoint] = ()
    ) -> Endpoint | None:
        """See routing.pickers.Picker."""
        self._uncached = [facts.prompt_tokens - BLOCK_TOKENS * depth for depth in self._foresight.depths(facts.prefix)]
        costs = [
            (queued + UNCACHED_WEIGHT * uncached) * each
            for queued, uncached, each in zip(self._queued_tokens, self._uncached, self._s_per_token, strict=True)
        ]
        return fewest(self._pool, costs, rng)

    def sent(self, call: Call, facts: RequestFacts, replica: int, now: float) -> None:
        """See gateway.virtual.balancer.Watcher, as for the one below."""
        uncached = self._uncached[replica]
        self._computing[call.index] = uncached
        self._queued_tokens[replica] += uncached

    def first_token(self, call: Call, replica: int, now: float) -> None:
        self._queued_tokens[replica] -= self._computing.pop(call.index)


def oracle(around: Surroundings) -> Balancer:
    both = Oracle(around.pool, around.gpus, around.foresight)
    return Balancer(both, both)


ORACLE = Policy(rule=oracle, foresees=True)
