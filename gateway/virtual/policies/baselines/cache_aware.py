"""SGLang's cache_aware (sgl-model-gateway/src/policies/cache_aware.rs and tree.rs), with its command line's defaults.

Balanced: the worker of the deepest node of the radix tree that the prompt matches, if the match is over a share of the
prompt; else the worker with the fewest requests. Imbalanced, by requests in flight: that worker too. Whichever it is,
the prompt is put into the tree for it.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

from gateway.virtual.fleet.balancer import Balancer, Surroundings, WatchingRule
from gateway.virtual.trace import BLOCK_TOKENS, BYTES_PER_TOKEN, Call
from routing.facts import RequestFacts
from routing.model import Endpoint

CACHE_THRESHOLD = 0.3
BALANCE_ABS = 64
BALANCE_REL = 1.5
EVICTION_S = 120.0
MAX_TREE_CHARS = 2**26


class Tree:
    """The radix tree: block -> the workers that were sent it, each with when. A node's blocks lead to it from the root,
    and a block's hash stands for all before it, so that a flat table holds the same."""

    def __init__(self, workers: int, max_blocks: int) -> None:
        self._workers: dict[int, dict[int, int]] = {}
        self._blocks: list[dict[int, tuple[int, int]]] = [{} for _ in range(workers)]  # block -> (epoch, -depth)
        self._epoch = 0
        self._max_blocks = max_blocks

    def match(self, chain: Sequence[int]) -> tuple[int, int]:
        """Matched blocks, and the worker last seen at the deepest of them; -1 where nothing matches."""
        workers = self._workers
        low, high = 0, len(chain)
        while low < high:  # whoever has a block has all before it
            middle = (low + high) // 2
            if chain[middle] in workers:
                low = middle + 1
            else:
                high = middle
        if not low:
            return 0, -1
        seen = workers[chain[low - 1]]
        return low, max(seen, key=seen.__getitem__)

    def insert(self, chain: Sequence[int], worker: int) -> None:
        """The worker is sent this prompt."""
        self._epoch = epoch = self._epoch + 1
        workers, blocks = self._workers, self._blocks[worker]
        depth = 0
        for block in chain:
            seen = workers.get(block)
            if seen is None:
                workers[block] = {worker: epoch}
            else:
                seen[worker] = epoch
            blocks[block] = (epoch, depth)
            depth -= 1

    def evict(self) -> None:
        """Take the leaves used least lately from each worker that has too much. A block is never older than the ones
        behind it, so that oldest and then deepest first is leaves first."""
        for worker, blocks in enumerate(self._blocks):
            over = len(blocks) - self._max_blocks
            if over <= 0:
                continue
            for block in sorted(blocks, key=blocks.__getitem__)[:over]:
                del blocks[block]
                seen = self._workers[block]
                del seen[worker]
                if not seen:
                    del self._workers[block]


class CacheAware(WatchingRule):
    """Picker and watcher in one, as the original is."""

    def __init__(self, pool: Sequence[Endpoint], max_tree_chars: int = MAX_TREE_CHARS) -> None:
        self._pool = tuple(pool)
        self._tree = Tree(len(self._pool), max_tree_chars // (BLOCK_TOKENS * BYTES_PER_TOKEN))
        self._next_eviction_s: float | None = None

    def pick(
        self, facts: RequestFacts, now: float, rng: random.Random, skip: Collection[Endpoint] = ()
    ) -> Endpoint | None:
        """See routing.choosing.pickers.Picker."""
        loads = [endpoint.state.in_flight_requests for endpoint in self._pool]
        most, least = max(loads), min(loads)
        if most - least <= BALANCE_ABS or most <= BALANCE_REL * least:
            matched, worker = self._tree.match(facts.prefix)
            if matched * BLOCK_TOKENS > CACHE_THRESHOLD * facts.prompt_tokens:
                return self._pool[worker]
        return self._pool[loads.index(least)]

    def sent(self, call: Call, facts: RequestFacts, replica: int, now: float) -> None:
        """See gateway.virtual.fleet.balancer.Watcher."""
        if self._next_eviction_s is None:
            self._next_eviction_s = now + EVICTION_S
        elif now >= self._next_eviction_s:
            self._tree.evict()
            self._next_eviction_s = now + EVICTION_S
        self._tree.insert(call.chain, replica)


def cache_aware(around: Surroundings) -> Balancer:
    both = CacheAware(around.pool)
    return Balancer(both, both)
