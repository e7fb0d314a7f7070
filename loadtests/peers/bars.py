"""What must hold next to the peers, and whether it does. Pure: figures in, verdicts out.

    capacity   at least `CAPACITY_TIMES` that of the better peer: the highest rate at which nine of ten requests meet
               the objective
    p99        TTFT at that peer's capacity: lower, in each of the runs; a request that failed waited for ever

Where a peer computes hardly anything twice (its hit rate is within `NEAR` of what caches could know at all), nobody can
be much better by routing: then ours must be not worse, by more than `NEAR`, in the capacity and in the median p99.
Where such a peer carries the highest rate that was tried, ours has to carry it too, and is compared there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from loadtests.statistics.columns import Columns
from loadtests.statistics.intervals import nearest_rank

CAPACITY_TIMES = 1.05
NEAR = 0.02


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: a sentence with its figures, and whether they meet it; None where that cannot be said."""

    what: str
    met: bool | None

    def line(self) -> str:
        verdict = {True: "met", False: "MISSED", None: "NOT JUDGED"}[self.met]
        return f"{verdict:<10}  {self.what}"


@dataclass(frozen=True, slots=True)
class Pair:
    """A run of ours and one of the peer's, asked the same."""

    ours_p99_ms: float
    theirs_p99_ms: float
    ours_good: float
    theirs_good: float


@dataclass(frozen=True, slots=True)
class Peer:
    """The better peer: its capacity, and how near its hit rate comes to the ceiling (None: nothing is shared)."""

    name: str
    per_s: float
    hit_ratio: float | None
    ceiling: float | None
    at_top: bool = False
    """Whether it carries all that was tried."""

    @property
    def near(self) -> bool:
        """Whether it computes hardly anything twice."""
        return bool(self.ceiling and self.hit_ratio is not None and self.hit_ratio >= self.ceiling * (1.0 - NEAR))


def better(capacities: Mapping[str, float | None]) -> tuple[str, float] | None:
    """The peer of the highest capacity; the first of equal ones, None where nobody has one."""
    known = [(name, per_s) for name, per_s in capacities.items() if per_s]
    return max(known, key=lambda one: one[1]) if known else None


def judge(kind: str, ours_per_s: float, at_top: bool, peer: Peer, pairs: Sequence[Pair], wanted: int) -> list[Bar]:
    """The bars of one kind of traffic. `at_top`: ours may carry more than was tried; `wanted` runs are needed."""
    least = 1.0 - NEAR if peer.near else CAPACITY_TIMES
    times = ours_per_s / peer.per_s
    more = "at least " if at_top else ""
    other = f"{peer.name} {'at least ' if peer.at_top else ''}{peer.per_s:.1f}/s"
    said = f"{kind}: capacity {more}{ours_per_s:.1f}/s, {other}: {times:.2f} times, at least {least:g} times"
    unknown = at_top and (times < least or (peer.at_top and not peer.near))
    bars = [Bar(f"{said}; --climb-to tries more" if unknown else said, None if unknown else times >= least)]
    for number, pair in enumerate(pairs, start=1):
        said = f"{kind}: p99 TTFT at {peer.per_s:.1f}/s, run {number}: {_ms(pair.ours_p99_ms)}, {peer.name}"
        said += f" {_ms(pair.theirs_p99_ms)} (good: {pair.ours_good:.1%} and {pair.theirs_good:.1%})"
        bars.append(Bar(f"{said}, lower", pair.ours_p99_ms < pair.theirs_p99_ms))
    if peer.near and pairs:
        ours, theirs = median([one.ours_p99_ms for one in pairs]), median([one.theirs_p99_ms for one in pairs])
        said = f"{kind}: median p99 TTFT {_ms(ours)}, {peer.name} {_ms(theirs)}"
        bars = [*bars[:1], Bar(f"{said}, at most {1 + NEAR:g} times", ours <= theirs * (1 + NEAR))]
    if len(pairs) < wanted:
        bars.append(Bar(f"{kind}: {len(pairs)} of {wanted} runs could be made", None))
    return bars


def near_line(kind: str, peer: Peer) -> str:
    """What the ceiling says of the better peer, for a reader."""
    if peer.ceiling is None or peer.hit_ratio is None:
        return f"{kind}: no prompt tokens are shared"
    said = "ours must be not worse" if peer.near else "there is room above it"
    return (
        f"{kind}: {peer.name} hits {peer.hit_ratio:.1%} of the prompt tokens, the ceiling is {peer.ceiling:.1%}: {said}"
    )


def p99_ms(run: Columns) -> float:
    """Of TTFT from the intended send; infinite where more than one in a hundred failed, or none was asked."""
    waits_s = np.sort(np.where(run.ok & ~np.isnan(run.ttft_response_s), run.ttft_response_s, np.inf))
    return float(waits_s[nearest_rank(len(waits_s), 0.99)]) * 1e3 if len(waits_s) else math.inf


def _ms(value_ms: float) -> str:
    return f"{value_ms:,.0f} ms" if math.isfinite(value_ms) else "never"
