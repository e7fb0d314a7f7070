"""Releases in numbers: only bad events matter to the gate, so only they are drawn.

    python -m tests.routing.gate.simulated [--runs 2000]

prints how often a canary that is no worse is rolled back, and after how many of its requests a worse one is.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator

from routing.gate.evidence import against_no_worse

ALPHA = 0.05


def gaps(rng: random.Random, rate: float) -> Iterator[int]:
    """How many requests there are from one bad event to the next."""
    while True:
        yield max(1, round(rng.expovariate(rate)))


def rolled_back_after(
    rng: random.Random, share: float, base: float, ratio: float, requests: int, *, alpha: float, tolerance: float
) -> int | None:
    """After how many requests of both arms a canary with `ratio` times the base rate is rolled back; None: never."""
    rate = base * (1.0 - share) + min(1.0, base * ratio) * share
    canary = share * min(1.0, base * ratio) / rate
    evidence, at = against_no_worse(tolerance), 0
    for gap in gaps(rng, rate):
        at += gap
        if at > requests:
            return None
        evidence.event(rng.random() < canary, share)
        if evidence.rejects(alpha):
            return at
    return None


def false_alarms(share: float, base: float, runs: int, seed: int, *, requests: int = 100_000) -> float:
    """The part of A/A tests, looked at after each event, that end in a rollback; without any tolerance."""
    rng = random.Random(seed)
    ends = [rolled_back_after(rng, share, base, 1.0, requests, alpha=ALPHA, tolerance=1.0) for _ in range(runs)]
    return sum(end is not None for end in ends) / runs


def delay(share: float, base: float, ratio: float, runs: int, seed: int, *, tolerance: float = 1.0) -> int:
    """The median of the canary's requests until it is rolled back."""
    rng = random.Random(seed)
    ends = [
        rolled_back_after(rng, share, base, ratio, 10_000_000, alpha=ALPHA, tolerance=tolerance) for _ in range(runs)
    ]
    found = sorted(end for end in ends if end is not None)
    return round(found[len(found) // 2] * share)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.routing.gate.simulated", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--runs", type=int, default=2000, metavar="N")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    print(f"seed {options.seed}, {options.runs} runs, alpha {ALPHA}\n")
    print("rolled back though no worse, of 100,000 requests (at most 5 %)")
    print(f"{'canary':>8}" + "".join(f"{base:>9g}" for base in (0.05, 0.01, 0.002)))
    for share in (0.5, 0.05, 0.01):
        rates = [false_alarms(share, base, options.runs, options.seed) for base in (0.05, 0.01, 0.002)]
        print(f"{share:>8.0%}" + "".join(f"{rate:>9.1%}" for rate in rates), flush=True)
    print("\nrequests of the canary until it is rolled back (median)")
    for base, ratio, share in ((0.01, 2, 0.5), (0.01, 3, 0.05), (0.01, 2, 0.05), (0.01, 5, 0.01), (0.01, 100, 0.05)):
        runs = max(100, options.runs // 4)
        strict, tolerant = (delay(share, base, ratio, runs, options.seed, tolerance=rho) for rho in (1.0, 1.1))
        told = f"{strict:,}; with a tolerance of 1.1: {tolerant:,}"
        print(f"{base:.1%} -> {base * ratio:.0%} at {share:.0%}: {told}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
