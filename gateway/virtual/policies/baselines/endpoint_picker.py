"""llm-d's endpoint picker (EPP), default weights: queue 2, KV cache 2, prefix 3, and the highest sum wins.

    prefix  matched / prompt, from an LRU of what it sent, sized from `vllm:cache_config_info`, or from KV events
    queue   (max - q) / (max - min) of vllm:num_requests_waiting; all equal is 1
    kv      1 - usage

Metrics are read every 50 ms. Equals are shuffled. (pkg/epp/framework/plugins: approximateprefix, scheduling.)
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

from gateway.virtual.fleet.balancer import Balancer, Surroundings, WatchingRule
from gateway.virtual.fleet.block_index import BlockIndex
from gateway.virtual.fleet.replicas import Scrape
from gateway.virtual.policies.baselines.least import fewest
from gateway.virtual.policies.baselines.told_caches import ToldCaches
from gateway.virtual.trace import BLOCK_TOKENS, Call
from routing.facts import RequestFacts
from routing.model import Endpoint

QUEUE_WEIGHT = 2.0
KV_WEIGHT = 2.0
PREFIX_WEIGHT = 3.0
SCRAPE_S = 0.05
PREDICTED_S = 2.0


class EndpointPicker(WatchingRule):
    """Picker, watcher and scraper in one."""

    def __init__(self, pool: Sequence[Endpoint], index: BlockIndex | ToldCaches) -> None:
        self._pool = tuple(pool)
        self._index = index
        self._loads = [QUEUE_WEIGHT + KV_WEIGHT] * len(self._pool)

    def scraped(self, scrapes: Sequence[Scrape], now: float) -> None:
        """See gateway.virtual.fleet.balancer.Scraper."""
        most = max(one.waiting for one in scrapes)
        range_ = most - min(one.waiting for one in scrapes)
        self._loads = [
            QUEUE_WEIGHT * ((most - one.waiting) / range_ if range_ else 1.0) + KV_WEIGHT * (1 - one.kv_usage_ratio)
            for one in scrapes
        ]

    def pick(
        self, facts: RequestFacts, now: float, rng: random.Random, skip: Collection[Endpoint] = ()
    ) -> Endpoint | None:
        """See routing.choosing.pickers.Picker."""
        per_block = PREFIX_WEIGHT * BLOCK_TOKENS / facts.prompt_tokens
        depths = self._index.depths(facts.prefix, now)
        costs = [-per_block * depth - load for depth, load in zip(depths, self._loads, strict=True)]
        return fewest(self._pool, costs, rng)

    def sent(self, call: Call, facts: RequestFacts, replica: int, now: float) -> None:
        """See gateway.virtual.fleet.balancer.Watcher."""
        self._index.add(call.chain, replica, now)


def endpoint_picker(around: Surroundings) -> Balancer:
    """The approximate one: what it sent is what it knows."""
    blocks = [gpu.cache_tokens // BLOCK_TOKENS for gpu in around.gpus]
    one = EndpointPicker(around.pool, BlockIndex(len(around.pool), blocks))
    return Balancer(one, one, one, SCRAPE_S)


def endpoint_picker_precise(around: Surroundings) -> Balancer:
    """The precise one, which hears KV events."""
    one = EndpointPicker(around.pool, ToldCaches(around.caches, len(around.pool), PREDICTED_S))
    return Balancer(one, one, one, SCRAPE_S)
