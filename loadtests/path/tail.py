"""How sure a comparison of two tails is: rounds that took turns, and what drawing them anew would have given. Pure.

A p99 of one round is one number, whatever happened inside it; rounds are what repeats. So rounds are resampled, each
with its neighbour of the same turn, and the 2.5th and 97.5th percentile of what the medians then give is the interval
(percentile bootstrap, Efron and Tibshirani 1993, chapter 13).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from loadtests.path.table import Row

DRAWS = 4_000
SEED = 7
"""Fixed: the same rounds print the same interval."""
LOG_BAR_US = 100.0
"""What the access log may add to p99."""
STORE_BAR_US = 0.0
"""What the record store may add to p99: it is to be the same with it and without."""

Pair = tuple[float, float]
Statistic = Callable[[Sequence[Pair]], float]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two rows at one number of connections, medians over their rounds; `of` is their ratio or their difference."""

    name: str
    connections: int
    rounds: int
    mine_us: float
    theirs_us: float
    of: float
    low: float
    high: float
    """The 95 % interval of `of`."""


def ratio(pairs: Sequence[Pair]) -> float:
    """Ratio of the medians; infinite where theirs is nothing."""
    theirs = median(b for _, b in pairs)
    return median(a for a, _ in pairs) / theirs if theirs else math.inf


def difference(pairs: Sequence[Pair]) -> float:
    """Difference of the medians."""
    return median(a for a, _ in pairs) - median(b for _, b in pairs)


def bootstrap(pairs: Sequence[Pair], statistic: Statistic) -> Pair:
    """The 95 % interval of a statistic of paired rounds. Raises ValueError without a round."""
    if not pairs:
        raise ValueError("no rounds to draw from")
    draw = random.Random(SEED)
    found = sorted(statistic(draw.choices(pairs, k=len(pairs))) for _ in range(DRAWS))
    return found[int(0.025 * DRAWS)], found[int(0.975 * DRAWS) - 1]


def _compare(mine: Row, theirs: Row, statistic: Statistic) -> list[Comparison]:
    found = []
    for connections, rounds in mine.latency.items():
        others = theirs.latency.get(connections, [])
        pairs = [(a.p99_us, b.p99_us) for a, b in zip(rounds, others, strict=False)]
        if pairs:
            medians = median(a for a, _ in pairs), median(b for _, b in pairs)
            interval = bootstrap(pairs, statistic)
            found.append(Comparison(mine.name, connections, len(pairs), *medians, statistic(pairs), *interval))
    return found


def against(rows: Mapping[str, Row], base: str) -> list[Comparison]:
    """p99 of each penstock over that of the row `base`, per number of connections; empty without that row."""
    if base not in rows:
        return []
    return [
        one
        for name, row in rows.items()
        if name.startswith("penstock") and ", no " not in name
        for one in _compare(row, rows[base], ratio)
    ]


def log_on_against_off(rows: Mapping[str, Row]) -> list[Comparison]:
    """p99 with the access log on, less that with it off, for each penstock that has both rows."""
    return _on_against_off(rows, "no log")


def store_on_against_off(rows: Mapping[str, Row]) -> list[Comparison]:
    """p99 with the record store on, less that with it off, for each penstock that has both rows."""
    return _on_against_off(rows, "no store")


def _on_against_off(rows: Mapping[str, Row], off: str) -> list[Comparison]:
    return [
        one
        for name, row in rows.items()
        if f"{name}, {off}" in rows
        for one in _compare(row, rows[f"{name}, {off}"], difference)
    ]


def lines(found: Sequence[Comparison], base: str) -> list[str]:
    """One line each: a bar is met when the interval reaches down to 1."""
    return [
        f"p99 at {one.connections:2}: {one.name} {one.mine_us:,.0f} us, {base} {one.theirs_us:,.0f} us, "
        f"ratio {one.of:.2f} {_sure(one, '.2f', bar=1.0)}"
        for one in found
    ]


def log_lines(found: Sequence[Comparison]) -> list[str]:
    """One line each: a bar is met when the interval reaches down to `LOG_BAR_US`."""
    return [_added(one, "the access log", LOG_BAR_US) for one in found]


def store_lines(found: Sequence[Comparison]) -> list[str]:
    """One line each: a bar is met when the interval reaches down to `STORE_BAR_US`."""
    return [_added(one, "the record store", STORE_BAR_US) for one in found]


def _added(one: Comparison, what: str, bar: float) -> str:
    return (
        f"p99 at {one.connections:2}: {one.name} with {what} {one.mine_us:,.0f} us, without {one.theirs_us:,.0f} us, "
        f"{one.of:+,.0f} us {_sure(one, '+,.0f', bar=bar)}"
    )


def _sure(one: Comparison, form: str, bar: float) -> str:
    verdict = "met" if one.low <= bar else "MISSED"
    return f"[{one.low:{form}}, {one.high:{form}}] of {one.rounds} rounds: {verdict}"
