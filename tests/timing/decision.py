"""What a decision costs, from raw body to choice: `python -m tests.timing.decision [--pairs 10000000]`, in minutes.

A route of the policy `prefix` over 16 and over 256 replicas, whose index is full; bodies of 16 KiB whose prompts some
replica was sent a long time ago, so that nothing of their chains is in a processor's cache. Each is timed from the
bytes of the body to `choose`'s endpoint, in CPU time of the thread. Figures are given raw, and scaled to the machine on
which the bars were set (`prefix_index.slower`). Ends with status 1 where a bar is missed.

With the compiled wheel: run it with that environment's Python from a folder that has only `tests`.
"""

from __future__ import annotations

import argparse
import gc
import random
import sys
from dataclasses import dataclass

from gateway.body.prefixes import prefix_chain
from routing.choosing import policy
from routing.choosing.policy import choose
from routing.facts import NO_NEEDS, Needs, RequestFacts
from routing.fleet import ModelSpec, TargetSpec, build_fleet
from routing.prefix.index import PrefixIndex
from routing.replicas.replica_table import ReplicaTable
from tests.timing.prefix_index import BLOCKS, TOKENS_PER_BLOCK, Cost, prompt, slower, timed_us

OPERATION = "/v1/chat/completions"
BARS_US = {16: (25.0, 30.0), 256: (40.0, 60.0)}
"""By replicas: the median and the p95."""


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


def measure(pairs: int, replicas: int, shared: bool, samples: int = 3000) -> Cost:
    """Decisions of an index that has been filled to its capacity."""
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
    took: list[float] = []
    now = 100.0
    for _ in range(samples):
        source = Body(body_of(rng.randrange(count * 4 // 10, count), shared))
        facts = RequestFacts(OPERATION, BLOCKS * TOKENS_PER_BLOCK, 64, source)
        now += 0.001
        at = now
        took.append(timed_us(lambda: choose(route, facts, at, rng)))  # noqa: B023
    return Cost.of(took)


def verdict(cost: Cost, replicas: int, factor: float) -> str:
    """Met, or which bar is not."""
    median, p95 = BARS_US[replicas]
    missed = [name for name, us, bar in (("median", cost.median, median), ("p95", cost.p95, p95)) if us / factor > bar]
    return f"MISSED: {' and '.join(missed)}" if missed else "met"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=10_000_000)
    parser.add_argument("--slower", type=float, help="than the machine of the bars (measured, where it is not given)")
    asked = parser.parse_args()
    factor = asked.slower or slower()
    built = "interpreted" if str(policy.__file__).endswith(".py") else "compiled"
    print(f"{asked.pairs:,} pairs, {built}; this machine is {factor:.2f} times slower than the one of the bars")
    print(f"  {'body to choice, CPU time, us':34} {'median':>8} {'p95':>8} {'worst':>9}   | scaled: median, p95, worst")
    missed = False
    for shared in (False, True):
        for replicas, (median, p95) in BARS_US.items():
            cost = measure(asked.pairs, replicas, shared)
            said = verdict(cost, replicas, factor)
            missed |= said != "met"
            name = f"{replicas} replicas, {'shared' if shared else 'apart'}"
            print(f"{cost.line(name, factor)}   at most {median:g}, {p95:g}: {said}", flush=True)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
