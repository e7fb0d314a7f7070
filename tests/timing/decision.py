"""What a decision costs, from raw body to choice: `python -m tests.timing.decision [--pairs 10000000]`, in minutes.

A route of the policy `prefix` over 16 and over 256 replicas, whose index is full; bodies of 16 KiB whose prompts some
replica was sent a long time ago, so that nothing of their chains is in a processor's cache. Each is timed from the
bytes of the body to `choose`'s endpoint, in CPU time of the thread, and so is noting where the request went. Figures
are given raw, and scaled to the machine on which the bars were set (`prefix_index.slower`). A figure is the median of
those of `REPETITIONS` parts, each with a scale of its own moment: what else the machine does for a while decides none.
Ends with status 1 where a bar is missed.

With the compiled wheel: run it with that environment's Python from a folder that has only `tests`.
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.body.prefixes import prefix_chain
from routing.choosing import policy
from routing.choosing.policy import choose
from routing.facts import NO_NEEDS, Needs, RequestFacts
from routing.fleet import ModelSpec, TargetSpec, build_fleet
from routing.model import Endpoint
from routing.prefix.index import PrefixIndex
from routing.replicas.replica_table import ReplicaTable
from tests.timing.prefix_index import BLOCKS, TOKENS_PER_BLOCK, Cost, prompt, slower, timed_us

OPERATION = "/v1/chat/completions"
BARS_US = {16: (25.0, 30.0), 256: (40.0, 60.0)}
"""By replicas: the median and the p95."""
ADD_BAR_US = 30.0
"""The median of noting where the request went."""
REPETITIONS = 7


@dataclass
class Body:
    """A request's body, of which the chain is asked late (`routing.facts.FactSource`)."""

    body: bytes

    def prefix(self) -> list[int]:
        return prefix_chain("m", self.body)

    def session(self) -> str:
        return ""

    def needs(self) -> Needs:
        return NO_NEEDS


def body_of(number: int, shared: bool) -> bytes:
    """A chat of which each block is as in `prefix_index.prompt`, in letters."""
    text = prompt(number, shared).hex().encode()[: BLOCKS * 256]
    return b'{"model":"m","messages":[{"role":"user","content":"' + text + b'"}],"max_tokens":64}'


@dataclass(frozen=True)
class Part:
    """A part of the samples."""

    decision: Cost
    add: Cost
    slower: float
    """Than the machine of the bars, at that moment."""


def together(costs: Sequence[Cost], slower: Sequence[float]) -> Cost:
    """The median of each figure, scaled; the worst is the worst of all."""
    return Cost(
        statistics.median([one.median / by for one, by in zip(costs, slower, strict=True)]),
        statistics.median([one.p95 / by for one, by in zip(costs, slower, strict=True)]),
        max([one.worst / by for one, by in zip(costs, slower, strict=True)]),
    )


def measure(
    pairs: int,
    replicas: int,
    shared: bool,
    samples: int = 1000,
    repetitions: int = REPETITIONS,
    factor: float | None = None,
) -> list[Part]:
    """Decisions of an index that has been filled to its capacity, each with its add. `factor` is how much slower this
    machine is, where that is known."""
    table = ReplicaTable()
    table.prefixes = PrefixIndex(pairs)
    target = TargetSpec("e", "up", tuple(str(number) for number in range(replicas)), frozenset({OPERATION}))
    route = build_fleet([ModelSpec("m", (target,), "prefix")], table).models["m"]
    pool = list(route.endpoints())
    rng = random.Random(5)
    for endpoint in pool:
        table.prefixes.limit(endpoint.state.slot, 2 * pairs // replicas)
        endpoint.state.charge(rng.randrange(4000), rng.randrange(2000))
        endpoint.state.prefill.learn(2000, 120.0 + rng.uniform(-10, 10), 0.0)
    count = 0
    while table.prefixes.pairs + BLOCKS <= pairs:
        source = Body(body_of(count, shared))
        facts = RequestFacts(OPERATION, BLOCKS * TOKENS_PER_BLOCK, 64, source)
        route.sent(facts, rng.choice(pool))
        count += 1
    gc.collect()
    gc.freeze()
    parts: list[Part] = []
    now = 100.0
    for _ in range(repetitions):
        decided: list[float] = []
        added: list[float] = []
        for _ in range(samples):
            source = Body(body_of(rng.randrange(count * 4 // 10, count), shared))
            facts = RequestFacts(OPERATION, BLOCKS * TOKENS_PER_BLOCK, 64, source)
            now += 0.001
            at = now
            chosen: list[Endpoint | None] = []
            decided.append(timed_us(lambda: chosen.append(choose(route, facts, at, rng))))  # noqa: B023
            went = chosen[0]
            assert went is not None
            added.append(timed_us(lambda: route.sent(facts, went)))  # noqa: B023
        parts.append(Part(Cost.of(decided), Cost.of(added), factor or slower(2000)))
    return parts


def verdict(scaled: Cost, median_us: float, p95_us: float | None = None) -> str:
    """Met, or which bar is not."""
    bars = (("median", scaled.median, median_us), ("p95", scaled.p95, p95_us))
    missed = [name for name, us, bar in bars if bar is not None and us > bar]
    return f"MISSED: {' and '.join(missed)}" if missed else "met"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=10_000_000)
    parser.add_argument("--slower", type=float, help="than the machine of the bars (measured, where it is not given)")
    asked = parser.parse_args()
    built = "interpreted" if str(policy.__file__).endswith(".py") else "compiled"
    print(f"{asked.pairs:,} pairs, {built}; medians of {REPETITIONS} parts, each scaled to the machine of the bars")
    print(f"  {'body to choice, CPU time, us':34} {'median':>8} {'p95':>8} {'worst':>9}   | scaled: median, p95, worst")
    missed = False
    for shared in (False, True):
        for replicas, (median, p95) in BARS_US.items():
            parts = measure(asked.pairs, replicas, shared, factor=asked.slower)
            ones, by = [1.0] * len(parts), [part.slower for part in parts]
            name = f"{replicas} replicas, {'shared' if shared else 'apart'}"
            for what, costs, p95_us in (
                (name, [part.decision for part in parts], p95),
                (f"{name}, the add", [part.add for part in parts], None),
            ):
                most = median if p95_us else ADD_BAR_US
                raw, scaled = together(costs, ones), together(costs, by)
                said = verdict(scaled, most, p95_us)
                missed |= said != "met"
                bars = f"{most:g}, {p95_us:g}" if p95_us else f"{most:g}"
                print(f"{raw.beside(what, scaled)}   at most {bars}: {said}", flush=True)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
