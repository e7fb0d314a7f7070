"""The kinds of traffic that gateways are compared under, with what replicas are like and what a good answer is.

prefixes         64 shared beginnings, prompts that replicas prefill side by side
system-prompts   48 system prompts of 12,000 characters, Zipf .8, of which a replica's cache holds 16; prompts are
                 prefilled one after the other, so that every one that is computed twice is felt by all behind it
chats            conversations of six turns, each turn with all before it, on the same replicas
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.client.record import Record
from loadtests.peers.climb import evenly
from loadtests.workloads.spec import Prefixes, Sessions, Synthetic

GOOD_RATIO = 0.9
"""Of the requests, at the highest rate that a gateway is said to have the capacity for."""
TURNS = 6
CHARACTERS_PER_TOKEN = 5.4
"""Of the workload's words, each of which is a token to the simulator, with what stands between them."""
PREFILL_TOKENS_PER_S = round(16_000.0 * 4 / CHARACTERS_PER_TOKEN)
"""As fast as a replica that prefills 16,000 tokens of four characters in a second."""
CACHE_BLOCKS = round(3000 * 4 / CHARACTERS_PER_TOKEN)
"""As roomy as 3,000 blocks of 64 characters."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """One kind. What is given on the command line outdoes it."""

    rate_per_s: float
    """Requests."""
    capacity_rates: tuple[float, ...]
    """Tried one after the other, from the lowest, for the capacity."""
    climb_per_s: tuple[float, ...]
    """The same for a judgement, in one round (`loadtests.peers.climb`): from what all carry to what nobody does, in
    steps that are not much wider than what capacities are told apart by."""
    slo: str
    workload: Synthetic | Sessions
    prefill_ms: float
    prefill_tokens_per_s: float
    cache_blocks: int
    """Of 16 tokens."""
    turns: int = 1
    """Requests that follow from each arrival."""


KINDS: dict[str, Traffic] = {
    "prefixes": Traffic(
        rate_per_s=30.0,
        capacity_rates=(20.0, 30.0, 40.0, 50.0, 60.0),
        climb_per_s=evenly(16.0, 80.0, 8),
        slo="ttft=100ms,tpot=30ms",
        workload=Synthetic(own_words=64, output_tokens=32, prefixes=Prefixes(groups=64, words=1024)),
        prefill_ms=0.1,
        prefill_tokens_per_s=0.0,
        cache_blocks=2048,
    ),
    "system-prompts": Traffic(
        rate_per_s=45.0,
        capacity_rates=(30.0, 40.0, 45.0, 50.0, 55.0, 60.0, 65.0),
        climb_per_s=evenly(100.0, 220.0, 8),
        slo="ttft=500ms",
        workload=Synthetic(own_words=64, output_tokens=16, prefixes=Prefixes(groups=48, words=2208, zipf=0.8)),
        prefill_ms=0.0,
        prefill_tokens_per_s=PREFILL_TOKENS_PER_S,
        cache_blocks=CACHE_BLOCKS,
    ),
    "chats": Traffic(
        rate_per_s=30.0,
        capacity_rates=(20.0, 30.0, 40.0, 50.0, 60.0),
        climb_per_s=evenly(44.0, 72.0, 8),
        slo="ttft=500ms",
        workload=Sessions(turns=TURNS, own_words=192, output_tokens=64, think_ms=2000),
        prefill_ms=0.0,
        prefill_tokens_per_s=PREFILL_TOKENS_PER_S,
        cache_blocks=CACHE_BLOCKS,
        turns=TURNS,
    ),
}


def cold(records: Sequence[Record], from_ns: int) -> int | None:
    """How many requests that are due from then on are the first of their prefix, so that no cache can have it.

    None where prompts have no shared prefixes.
    """
    first: dict[int, Record] = {}
    for record in sorted(records, key=lambda one: one.ti):
        if record.prefix_group >= 0:
            first.setdefault(record.prefix_group, record)
    return sum(record.ti >= from_ns for record in first.values()) if first else None


def reachable(records: Sequence[Record], workload: Synthetic | Sessions) -> float | None:
    """What part of the prompt tokens caches could have known, had they kept all that was ever computed: the ceiling.

    Of a conversation, what its turns before had and were answered; of prompts that begin alike, the beginning, but for
    the first. None where nothing is shared, and where servers do not say how long prompts are.
    """
    known = total = 0.0
    so_far: dict[str, int] = {}
    begun: set[int] = set()
    shared = 0.0
    if isinstance(workload, Synthetic) and workload.prefixes is not None and isinstance(workload.own_words, int):
        shared = workload.prefixes.words / (workload.prefixes.words + workload.own_words)
    for record in sorted(records, key=lambda one: (one.ti, one.turn)):
        if record.prompt_tokens is None:
            continue
        total += record.prompt_tokens
        if record.session:
            known += min(so_far.get(record.session, 0), record.prompt_tokens)
            so_far[record.session] = record.prompt_tokens + (record.tokens or 0)
        elif record.prefix_group in begun:
            known += shared * record.prompt_tokens
        elif record.prefix_group >= 0:
            begun.add(record.prefix_group)
    return known / total if known else None


def capacity(tried: Sequence[tuple[float, float]]) -> float | None:
    """The highest rate, of those tried in ascending order, up to which enough was good; each with what part was.

    Between the last that was and the first that was not, it is taken to fall evenly. None where nothing was tried, and
    0 where not even the lowest was carried.
    """
    if not tried:
        return None
    before: tuple[float, float] | None = None
    for rate, good in tried:
        if good < GOOD_RATIO:
            if before is None:
                return 0.0
            return before[0] + (rate - before[0]) * (before[1] - GOOD_RATIO) / (before[1] - good)
        before = rate, good
    return tried[-1][0]
