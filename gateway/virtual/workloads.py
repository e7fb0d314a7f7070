"""Made-up traffic: what prompts share in each kind, and Poisson arrivals at a rate.

Common random numbers: everything but the times is drawn from the seed alone, so that at every rate and for every policy
the same prompts come in the same order, and of two rates one has the other's gaps, shorter.
"""

from __future__ import annotations

import itertools
import math
import random
from bisect import bisect
from collections.abc import Callable, Iterator

from gateway.virtual.trace import BLOCK_TOKENS, Arrival, seeded

Workload = Callable[[int, float, float], list[Arrival]]
"""Seed, requests per second, seconds -> the arrivals of that time."""


def shared_prompts(
    seed: int,
    rate_per_s: float,
    duration_s: float,
    *,
    prefixes: int = 48,
    prefix_tokens: int = 3000,
    zipf: float = 0.8,
    own_tokens: int = 128,
    output_tokens: int = 64,
) -> list[Arrival]:
    """One of a few long system prompts (12,000 characters), taken by Zipf's law, and a short question of its own."""
    rng = seeded(seed, "shared prompts")
    heads = [tuple(range(i << 20, (i << 20) + prefix_tokens // BLOCK_TOKENS)) for i in range(1, prefixes + 1)]
    heavier = list(itertools.accumulate(rank**-zipf for rank in range(1, prefixes + 1)))
    rng.shuffle(heads)  # or the popular ones would fall on the same replicas in every seed
    arrivals = []
    for number, at_s in enumerate(_poisson(seeded(seed, "times"), rate_per_s, duration_s)):
        own = max(8, round(rng.expovariate(1 / own_tokens)))
        head = heads[bisect(heavier, rng.random() * heavier[-1])]
        fresh = (prefix_tokens + own) // BLOCK_TOKENS - len(head)
        arrivals.append(
            Arrival(
                arrival_ms=at_s * 1000,
                input_tokens=prefix_tokens + own,
                output_tokens=_around(rng, output_tokens),
                prefix_ids=head + _fresh(number, fresh),
                tenant=f"t{head[0] >> 20}",
            )
        )
    return arrivals


def chat(
    seed: int,
    rate_per_s: float,
    duration_s: float,
    *,
    turns: float = 6.0,
    think_s: float = 4.0,
    system_tokens: int = 512,
    systems: int = 4,
    question_tokens: int = 192,
    answer_tokens: int = 128,
    most_tokens: int = 16_000,
) -> list[Arrival]:
    """Conversations: each turn sends everything before it. Sessions come as Poisson does; a turn comes when its user
    has read and thought, whatever the rate. The first moment finds conversations at every turn, not only at the first.
    """
    longest_s = 4 * turns * think_s
    arrivals: list[Arrival] = []
    starts = _poisson(seeded(seed, "times"), rate_per_s / turns, longest_s + duration_s)
    for session, start_s in enumerate(starts):
        rng = seeded(seed, "session", session)
        at_s = start_s - longest_s
        system = rng.randrange(systems)
        tokens = system_tokens
        ids = tuple(range(system << 20, (system << 20) + system_tokens // BLOCK_TOKENS))
        for _ in range(1 + _geometric(rng, turns - 1)):
            tokens += max(8, round(rng.expovariate(1 / question_tokens)))
            if tokens > most_tokens:
                break  # its context is full
            ids += _fresh(session + systems, tokens // BLOCK_TOKENS - len(ids), len(ids))
            answer = _around(rng, answer_tokens)
            if 0 <= at_s < duration_s:
                arrivals.append(
                    Arrival(
                        arrival_ms=at_s * 1000,
                        input_tokens=tokens,
                        output_tokens=answer,
                        prefix_ids=ids,
                        session=f"s{session}",
                        tenant=f"t{system}",
                    )
                )
            tokens += answer
            at_s += rng.expovariate(1 / think_s) + 1.0
    return sorted(arrivals, key=lambda one: one.arrival_ms)


def no_sharing(
    seed: int, rate_per_s: float, duration_s: float, *, median_tokens: int = 800, output_tokens: int = 96
) -> list[Arrival]:
    """Prompts that have nothing in common, most of them short and some very long."""
    rng = seeded(seed, "no sharing")
    arrivals = []
    for number, at_s in enumerate(_poisson(seeded(seed, "times"), rate_per_s, duration_s)):
        tokens = min(16_000, max(16, round(rng.lognormvariate(math.log(median_tokens), 1.0))))
        arrivals.append(
            Arrival(
                arrival_ms=at_s * 1000,
                input_tokens=tokens,
                output_tokens=_around(rng, output_tokens),
                prefix_ids=_fresh(number, tokens // BLOCK_TOKENS),
                tenant=f"t{number % 8}",
            )
        )
    return arrivals


def _poisson(rng: random.Random, rate_per_s: float, duration_s: float) -> Iterator[float]:
    at_s = 0.0
    while (at_s := at_s + rng.expovariate(1.0) / rate_per_s) < duration_s:
        yield at_s


def _fresh(owner: int, count: int, first: int = 0) -> tuple[int, ...]:
    """Ids that only this owner has."""
    begin = (1 << 40) + (owner << 20) + first
    return tuple(range(begin, begin + count))


def _around(rng: random.Random, tokens: int) -> int:
    """Output lengths: exponential, cut where a client's `max_tokens` would."""
    return min(4 * tokens, 1 + round(rng.expovariate(1 / tokens)))


def _geometric(rng: random.Random, mean: float) -> int:
    return int(math.log(1.0 - rng.random()) / math.log(mean / (1.0 + mean))) if mean > 0 else 0
