"""What ours must reach against the others, of each trace and start-up time, over the means of all seeds.

not dominated    no other rule has as much attainment for as few replica-hours, and more of one of them
attainment       at least that of every rule that uses as many or more replica-hours
replica-hours    10 % fewer than the best of those that attain no more, on the geometric mean over all rows
square wave      at most one change of direction within two start-up times
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from gateway.virtual.scaling.compare import OURS, Row

FEWER: Final = 0.9
SAME: Final = 0.0005
"""A difference of attainment that is none: half a request in a thousand."""
SQUARE: Final = "square"


@dataclass(frozen=True, slots=True)
class Point:
    """One rule on one trace with one start-up time, in the mean over seeds."""

    rule: str
    attainment: float
    replica_hours: float
    changes: float
    flips: int


@dataclass(frozen=True, slots=True)
class Case:
    """All rules on one trace with one start-up time."""

    trace: str
    startup_s: float
    ours: Point
    others: Sequence[Point]
    aims: Sequence[Point] = ()
    """Ours at other aims, which nothing is held against."""

    @property
    def dominating(self) -> list[str]:
        """The rules that are better in one and not worse in the other."""
        return [
            one.rule
            for one in self.others
            if one.attainment >= self.ours.attainment
            and one.replica_hours <= self.ours.replica_hours
            and (one.attainment, one.replica_hours) != (self.ours.attainment, self.ours.replica_hours)
        ]

    @property
    def above(self) -> list[str]:
        """The rules with as many or more replica-hours that attain more."""
        return [
            one.rule
            for one in self.others
            if one.replica_hours >= self.ours.replica_hours and one.attainment > self.ours.attainment + SAME
        ]

    @property
    def best(self) -> Point | None:
        """Of those that attain no more, the one that attains the most."""
        lower = [one for one in self.others if one.attainment <= self.ours.attainment + SAME]
        return max(lower, key=lambda one: one.attainment, default=None)

    @property
    def ratio(self) -> float | None:
        """Our replica-hours over its."""
        best = self.best
        return None if best is None else self.ours.replica_hours / best.replica_hours

    @property
    def frontier(self) -> list[Point]:
        """All rules that no other dominates, the cheapest first."""
        points = sorted([self.ours, *self.aims, *self.others], key=lambda one: (one.replica_hours, -one.attainment))
        kept: list[Point] = []
        for one in points:
            if not kept or one.attainment > kept[-1].attainment:
                kept.append(one)
        return kept


def cases(rows: Iterable[Row]) -> list[Case]:
    """The rows of all seeds, put together."""
    by_case: dict[tuple[str, float], dict[str, list[Row]]] = {}
    for row in rows:
        by_case.setdefault((row.trace, row.startup_s), {}).setdefault(row.rule, []).append(row)
    found = []
    for (trace, startup_s), by_rule in by_case.items():
        points = {rule: _point(rule, of) for rule, of in by_rule.items()}
        ours = points.pop(OURS)
        aims = [point for rule, point in points.items() if rule.startswith(f"{OURS} ")]
        others = [point for rule, point in points.items() if not rule.startswith(f"{OURS} ")]
        found.append(Case(trace, startup_s, ours, others, aims))
    return found


def ratio_of_all(all_cases: Sequence[Case]) -> float:
    """The geometric mean of the ratios."""
    return math.exp(fmean([math.log(ratio) for one in all_cases if (ratio := one.ratio) is not None]))


def missed(all_cases: Sequence[Case]) -> list[str]:
    """What was to be reached and was not, one sentence each."""
    found: list[str] = []
    for one in all_cases:
        where = f"{one.trace}, {one.startup_s:.0f} s"
        if one.dominating:
            found.append(f"{where}: dominated by {', '.join(one.dominating)}")
        if one.above:
            found.append(f"{where}: attains less than {', '.join(one.above)}, with no more replica-hours")
        if one.trace == SQUARE and one.ours.flips > 1:
            found.append(f"{where}: {one.ours.flips} changes of direction within two start-up times")
    ratio = ratio_of_all(all_cases)
    if ratio > FEWER:
        found.append(
            f"replica-hours are {ratio:.2f} times those of the best that attain no more; to be at most {FEWER}"
        )
    return found


def _point(rule: str, rows: Sequence[Row]) -> Point:
    return Point(
        rule,
        fmean([row.attainment for row in rows]),
        fmean([row.replica_hours for row in rows]),
        fmean([row.changes for row in rows]),
        max([row.flips for row in rows]),
    )
