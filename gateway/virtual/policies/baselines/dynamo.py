"""Dynamo's KV router (docs/components/router, docs/design-docs/router-design.md): the least cost in blocks, where

    cost = prefill_load_scale * max(active_prefill_blocks + incoming_blocks - cached_blocks, 0) + decode_blocks

`active_prefill_blocks` are those of requests before their first token, less what was cached; `decode_blocks` the
different blocks of all active requests, this one among them. Temperature 0; equals by chance. What is cached it learns
from the engines' KV events, and predicts for 5 s what it has just sent.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

from gateway.virtual.fleet.balancer import Balancer, Surroundings, WatchingRule
from gateway.virtual.fleet.block_index import ActiveBlocks
from gateway.virtual.policies.baselines.least import fewest
from gateway.virtual.policies.baselines.told_caches import ToldCaches
from gateway.virtual.trace import BLOCK_TOKENS, Call
from routing.facts import RequestFacts
from routing.model import Endpoint

PREFILL_LOAD_SCALE = 1.0
PREDICTED_S = 5.0


class Dynamo(WatchingRule):
    """Picker and watcher in one."""

    def __init__(self, pool: Sequence[Endpoint], caches: ToldCaches) -> None:
        self._pool = tuple(pool)
        self._caches = caches
        self._active = ActiveBlocks(len(self._pool))
        self._prefill = [0] * len(self._pool)
        self._depths: list[int] = []
        self._computing: dict[int, int] = {}  # call -> its blocks that are not cached

    def pick(
        self, facts: RequestFacts, now: float, rng: random.Random, skip: Collection[Endpoint] = ()
    ) -> Endpoint | None:
        """See routing.choosing.pickers.Picker."""
        chain = facts.prefix
        incoming = -(-facts.prompt_tokens // BLOCK_TOKENS)
        self._depths = self._caches.depths(chain, now)
        costs = [
            PREFILL_LOAD_SCALE * max(prefill + incoming - cached, 0) + active + incoming - shared
            for prefill, cached, active, shared in zip(
                self._prefill, self._depths, self._active.blocks, self._active.shared(chain), strict=True
            )
        ]
        return fewest(self._pool, costs, rng)

    def sent(self, call: Call, facts: RequestFacts, replica: int, now: float) -> None:
        """See gateway.virtual.fleet.balancer.Watcher, as for the two below."""
        computed = _blocks(call) - self._depths[replica]
        self._caches.add(call.chain, replica, now)
        self._computing[call.index] = computed
        self._prefill[replica] += computed
        self._active.add(call.chain, _blocks(call) - len(call.chain), replica)

    def first_token(self, call: Call, replica: int, now: float) -> None:
        self._prefill[replica] -= self._computing.pop(call.index)

    def ended(self, call: Call, replica: int, now: float) -> None:
        self._active.remove(call.chain, _blocks(call) - len(call.chain), replica)


def _blocks(call: Call) -> int:
    return -(-call.arrival.input_tokens // BLOCK_TOKENS)


def dynamo(around: Surroundings) -> Balancer:
    both = Dynamo(around.pool, ToldCaches(around.caches, len(around.pool), PREDICTED_S))
    return Balancer(both, both)
