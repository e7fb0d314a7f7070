"""What the prefix index costs, full: `python -m tests.timing.prefix_index [--pairs 10000000]`, about two minutes.

A prompt is 16 KiB, 64 blocks, and is asked for again long after it was last: nothing of it is in a processor's cache
but its bytes, which have just come in. A decision is its chain, its match, and a cost for every replica. `apart` shares
nothing, so each block is one pair; `shared` has 48 blocks of one of 500 system prompts in front.

Times are given raw, in CPU time of the thread, and scaled to the machine on which the bars were set: there the keys of
64 blocks take 4.6 us, and how long they take here says how much slower this one is.
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from routing.prefix.chain import BLOCK_BYTES, chain
from routing.prefix.index import PrefixIndex
from routing.prefix.match import Match, slots_in

BLOCKS = 64
SYSTEM_BLOCKS = 48
SYSTEM_PROMPTS = 500
TOKENS_PER_BLOCK = 64
KEYS_US = 4.6
"""The chain of 64 blocks, on the machine of the bars."""
MIB = 1 << 20


def prompt(number: int, shared: bool) -> bytes:
    """The body of one of the prompts, always the same."""
    own = number.to_bytes(8, "big") * (BLOCK_BYTES // 8)
    if not shared:
        return own * BLOCKS
    system = (1 + number % SYSTEM_PROMPTS).to_bytes(8, "little") * (BLOCK_BYTES // 8)
    return system * SYSTEM_BLOCKS + own * (BLOCKS - SYSTEM_BLOCKS)


class Replicas:
    """Stands in for the cost of each replica: what it has in flight, and what it makes of a token."""

    def __init__(self, count: int) -> None:
        rng = random.Random(count)
        self.slots = (1 << count) - 1
        self.fixed_ms = [rng.uniform(0, 200) for _ in range(count)]
        self.token_ms = [rng.uniform(0.05, 0.08) for _ in range(count)]

    def cheapest(self, match: Match, tokens: int) -> int:
        token_ms = self.token_ms
        left = [tokens] * len(token_ms)
        for depth, mask in match.points:  # as `routing.choosing.costs` does
            lacking = self.slots & ~mask
            uncached = tokens - depth * TOKENS_PER_BLOCK
            if mask.bit_count() <= lacking.bit_count():
                for slot in slots_in(mask):
                    left[slot] = uncached
            else:
                before, left = left, [uncached] * len(left)
                for slot in slots_in(lacking):
                    left[slot] = before[slot]
        costs = [fixed + rate * each for fixed, rate, each in zip(self.fixed_ms, token_ms, left, strict=True)]
        return costs.index(min(costs))


def memory_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def timed_us(step: Callable[[], object]) -> float:
    began = time.thread_time_ns()
    step()
    return (time.thread_time_ns() - began) / 1e3


def slower(looks: int = 20_000) -> float:
    """How much slower this machine is than the one of the bars."""
    raw = prompt(0, False)
    return min(timed_us(lambda: chain(raw, 7)) for _ in range(looks)) / KEYS_US


@dataclass(frozen=True)
class Cost:
    """Of one kind of step, in CPU microseconds of this machine."""

    median: float
    p95: float
    worst: float

    @classmethod
    def of(cls, us: list[float]) -> Cost:
        return cls(statistics.median(us), sorted(us)[len(us) * 19 // 20], max(us))

    def line(self, name: str, slower: float) -> str:
        return self.beside(name, Cost(self.median / slower, self.p95 / slower, self.worst / slower))

    def beside(self, name: str, scaled: Cost) -> str:
        """The figures, and what they are where scaled."""
        raw = f"{self.median:8.1f} {self.p95:8.1f} {self.worst:9.0f}"
        return f"  {name:34} {raw}   | {scaled.median:7.1f} {scaled.p95:7.1f} {scaled.worst:8.0f}"


@dataclass(frozen=True)
class Costs:
    """Of an index that is full."""

    bytes: int
    pairs: int
    steps: dict[str, Cost]


def measure(pairs: int, replicas: int, shared: bool, samples: int = 3000) -> Costs:
    """An index filled to its capacity, and what each step takes then."""
    gc.collect()
    before = memory_bytes()
    index = PrefixIndex(pairs)
    fleet = Replicas(replicas)
    slots = [index.open() for _ in range(replicas)]
    rng = random.Random(5)
    homes: list[int] = []
    filling: list[float] = []
    stale = 0
    while stale < samples:  # then it has been full for a while
        keys = chain(prompt(len(homes), shared), 7)
        slot = rng.choice(slots)
        filling.append(timed_us(lambda: index.add(keys, slot)))  # noqa: B023
        stale += index.pairs + BLOCKS > pairs
        homes.append(slot)
    full, held = memory_bytes() - before, index.pairs
    steps = {"add, all new, at capacity": Cost.of(filling[-samples:]), "any add of the filling": Cost.of(filling)}

    deciding: list[float] = []
    matching: list[float] = []
    again: list[float] = []
    for _ in range(samples):
        number = rng.randrange(len(homes) * 4 // 10, len(homes))
        raw = prompt(number, shared)
        found: list[Match] = []

        def decide(raw: bytes = raw, found: list[Match] = found) -> None:
            match = index.match(chain(raw, 7))
            found.append(match)
            fleet.cheapest(match, BLOCKS * TOKENS_PER_BLOCK)

        deciding.append(timed_us(decide))
        keys = chain(raw, 7)
        matching.append(timed_us(lambda: index.match(keys)))  # noqa: B023
        again.append(timed_us(lambda: index.add(keys, homes[number])))  # noqa: B023
    steps = {
        "decision: chain, match, all costs": Cost.of(deciding),
        "match alone, found a moment ago": Cost.of(matching),
        "add, where it was before": Cost.of(again),
    } | steps
    steps["drop a slot"] = Cost.of([timed_us(lambda: index.drop(slot)) for slot in slots[:2]])  # noqa: B023
    steps["a step of sweeping it"] = Cost.of(list(sweeping(index)))
    return Costs(full, held, steps)


def sweeping(index: PrefixIndex) -> Iterator[float]:
    remains = [True]
    while remains[-1]:
        yield timed_us(lambda: remains.append(index.sweep()))


def longest_prompt(runs: int = 30_000) -> Cost:
    """512 KiB sent to a slot full of prompts of one block, each of which is forgotten for a block of it."""
    rng = random.Random(3)
    costs: list[float] = []
    for _ in range(5):
        index = PrefixIndex()
        slot = index.open(runs)
        for _ in range(runs):
            index.add([rng.getrandbits(64)], slot)
        keys = [rng.getrandbits(64) for _ in range(2048)]
        costs.append(timed_us(lambda: index.add(keys, slot)))  # noqa: B023
    return Cost.of(costs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=10_000_000)
    parser.add_argument("--slower", type=float, help="than the machine of the bars (measured, where it is not given)")
    asked = parser.parse_args()
    pairs, factor = asked.pairs, asked.slower or slower()
    print(f"{pairs:,} pairs; this machine is {factor:.2f} times slower than the one of the bars")
    print(f"  {'CPU time, us':34} {'median':>8} {'p95':>8} {'worst':>9}   | scaled: median, p95, worst")
    for shared in (False, True):
        for replicas in (16, 256):
            with ProcessPoolExecutor(1, get_context("spawn")) as fresh:  # where no freed memory is used again
                costs = fresh.submit(measure, pairs, replicas, shared).result()
            name = "shared" if shared else "apart"
            print(
                f"{replicas} replicas, {name}: {costs.pairs:,} pairs in {costs.bytes / MIB:.0f} MiB, "
                f"{costs.bytes / costs.pairs:.1f} bytes a pair"
            )
            for step, cost in costs.steps.items():
                print(cost.line(step, factor))
    print(longest_prompt().line("512 KiB for 2048 prompts of a block", factor))


if __name__ == "__main__":
    main()
