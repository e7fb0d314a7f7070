"""What the modelled replicas are like, and the true state of those that run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engines.simulator.core import SimulatorCore
from engines.simulator.settings import SimulatorSettings
from gateway.virtual.trace import BLOCK_TOKENS, Chain, seeded


@dataclass(frozen=True, slots=True)
class Gpu:
    """One kind of replica."""

    prefill_tokens_per_s: float = 16_000.0
    cache_tokens: int = 48_000
    """Of the KV cache: 3,000 blocks of 16 tokens (64 characters)."""
    itl_ms: float = 10.0
    base_ms: float = 4.0
    """From the end of prefill to the first token."""
    time_factor_under_load: float = 2.0
    max_num_seqs: int = 256

    def settings(self) -> SimulatorSettings:
        """The simulator's knobs of such a replica."""
        blocks = self.cache_tokens // BLOCK_TOKENS
        return SimulatorSettings(
            ttft_ms=self.base_ms,
            itl_ms=self.itl_ms,
            prefill_tokens_per_s=self.prefill_tokens_per_s,
            time_factor_under_load=self.time_factor_under_load,
            max_num_seqs=self.max_num_seqs,
            max_waiting_queue_length=1_000_000,
            max_model_len=blocks * BLOCK_TOKENS,
            kv_cache_blocks=blocks,
            block_size=BLOCK_TOKENS,
        )


H100 = Gpu()
A100 = Gpu(prefill_tokens_per_s=8_000.0, itl_ms=18.0)
"""Half as fast: what a pool of two generations is made of."""


def fleet_of(gpus: Sequence[Gpu], replicas: int) -> tuple[Gpu, ...]:
    """That many replicas, the kinds in turn."""
    return tuple(gpus[i % len(gpus)] for i in range(replicas))


def cores_of(fleet: Sequence[Gpu], seed: int) -> list[SimulatorCore]:
    """Fresh engines, with empty caches."""
    return [SimulatorCore(gpu.settings(), seeded(seed, "replica", i)) for i, gpu in enumerate(fleet)]


class TrueCaches:
    """What is in each replica's cache at this moment, seen by nobody but an oracle or an engine's KV events."""

    def __init__(self, cores: Sequence[SimulatorCore]) -> None:
        self._caches = [core.cache for core in cores]

    def depths(self, chain: Sequence[int]) -> list[int]:
        """Leading blocks of the prompt that each replica has."""
        assert isinstance(chain, Chain)
        keys = chain.keys
        return [cache.cached(keys) for cache in self._caches]


@dataclass(frozen=True, slots=True)
class Scrape:
    """What `/metrics` of one replica says."""

    waiting: int
    running: int
    kv_usage_ratio: float


def scrape(cores: Sequence[SimulatorCore]) -> list[Scrape]:
    """All replicas' metrics of this moment."""
    return [Scrape(core.waiting, core.running, core.cache.usage_ratio) for core in cores]
