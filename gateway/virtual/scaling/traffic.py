"""Traces whose load changes. Open loop: requests come when they come, however slow the answers are.

A rate per second is drawn first, then Poisson arrivals under it, so that all rules meet the same requests under a seed.
Prompts and answers have about the lengths of Azure's traces of conversations: lognormal prompts of 1,370 tokens in the
mean and exponential answers of 280.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from typing import Final

from gateway.virtual.trace import Arrival, seeded

Rate = Callable[[float], float]
"""Requests per second at a second of the trace."""
Trace = Callable[[int], list[Arrival]]

MEDIAN_TOKENS: Final = 1_000.0
SIGMA: Final = 0.8
"""Of the logarithm."""
MEAN_TOKENS: Final = 1_370.0
MOST_TOKENS: Final = 6_000
ANSWER_TOKENS: Final = 280.0
LENGTH_S: Final = 5_400.0


def azure_like(seed: int) -> list[Arrival]:
    """A working day in 90 minutes: one broad hill, and minutes that differ as those of Azure's traces do."""
    rng = seeded(seed, "azure minutes")
    noise, levels = 0.0, []
    for _ in range(int(LENGTH_S // 60) + 2):
        noise = 0.8 * noise + 0.6 * rng.gauss(0.0, 0.25)
        levels.append(math.exp(noise))

    def rate(at_s: float) -> float:
        minute, part = divmod(at_s / 60.0, 1.0)
        level = levels[int(minute)] * (1 - part) + levels[int(minute) + 1] * part
        return level * (4.0 + 8.0 * math.sin(math.pi * at_s / LENGTH_S) ** 2)

    return arrivals(seed, rate, LENGTH_S)


def burst_like(seed: int) -> list[Arrival]:
    """BurstGPT's kind: quiet, and every few minutes a burst of three to five times as much for one or two minutes."""
    rng = seeded(seed, "bursts")
    bursts: list[tuple[float, float, float]] = []
    at_s = 200.0 + rng.expovariate(1 / 200.0)
    while at_s < LENGTH_S:
        long_s = rng.uniform(40.0, 160.0)
        bursts.append((at_s, at_s + long_s, rng.uniform(3.0, 5.0)))
        at_s += long_s + 120.0 + rng.expovariate(1 / 240.0)

    def rate(at_s: float) -> float:
        return 3.5 * max([times for begin, end, times in bursts if begin <= at_s < end], default=1.0)

    return arrivals(seed, rate, LENGTH_S)


def square(seed: int, *, half_s: float = 900.0) -> list[Arrival]:
    """A quarter of an hour of little, one of five times as much, and again."""
    return arrivals(seed, lambda at_s: 3.0 if at_s % (2 * half_s) < half_s else 15.0, LENGTH_S)


def ramp(seed: int) -> list[Arrival]:
    """From next to nothing to 20 requests a second within an hour, and back within half an hour."""
    return arrivals(
        seed, lambda at_s: 0.5 + 19.5 * (at_s / 3600.0 if at_s < 3600.0 else (LENGTH_S - at_s) / 1800.0), LENGTH_S
    )


def night(seed: int) -> list[Arrival]:
    """An evening that ends, 40 minutes without a request but for two, and a morning."""

    def rate(at_s: float) -> float:
        if at_s < 1200.0:
            return 8.0 * (1.0 - at_s / 1200.0) + 0.1
        return 0.0 if at_s < 3600.0 else min(8.0, 0.05 + 8.0 * (at_s - 3600.0) / 1200.0)

    awake = arrivals(seed, rate, LENGTH_S)
    lone = [Arrival(arrival_ms=at_s * 1000, input_tokens=800, output_tokens=200) for at_s in (2000.0, 2900.0)]
    return sorted([*awake, *lone], key=lambda one: one.arrival_ms)


TRACES: Final[dict[str, Trace]] = {
    "azure-like": azure_like,
    "burstgpt-like": burst_like,
    "square": square,
    "ramp": ramp,
    "night": night,
}


def arrivals(seed: int, rate: Rate, length_s: float) -> list[Arrival]:
    """Poisson arrivals under a rate that changes with the time."""
    lengths = seeded(seed, "lengths")
    return [
        Arrival(
            arrival_ms=at_s * 1000,
            input_tokens=min(MOST_TOKENS, max(16, round(lengths.lognormvariate(math.log(MEDIAN_TOKENS), SIGMA)))),
            output_tokens=min(2_000, 1 + round(lengths.expovariate(1 / ANSWER_TOKENS))),
        )
        for at_s in _times(seeded(seed, "times"), rate, length_s)
    ]


def _times(rng: random.Random, rate: Rate, length_s: float) -> Iterator[float]:
    """By steps of a second, in each of which the rate is one."""
    for second in range(int(length_s)):
        left = 1.0
        per_s = rate(second + 0.5)
        if per_s <= 0.0:
            continue
        while (gap := rng.expovariate(per_s)) < left:
            left -= gap
            yield second + 1.0 - left
