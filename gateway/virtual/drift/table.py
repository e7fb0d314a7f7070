"""`make bench-drift`: the figures of drift detection, next to what they must reach, into docs/drift.md.

    python -m gateway.virtual.drift.table [--scale 1.0] [--seed 1] [--into docs/drift.md]

Ends with status 1 where a bar is missed. At scale 1 it takes about twenty minutes of one core.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np

from gateway.virtual.drift.judging import TEST_DAYS, Counts, judge_arms, judge_world
from gateway.virtual.drift.rates import BASE, LIMIT, in_sessions, independent, learned
from gateway.virtual.drift.worlds import WORLDS
from routing.drift.detector import ENOUGH_UNITS, LEAST_UNITS

BEGIN: Final = "<!-- make bench-drift: from here -->"
END: Final = "<!-- make bench-drift: to here -->"
SIZES: Final = ((100, 150), (500, 150), (2_000, 150), (10_000, 30))
"""Requests in a window, and how many worlds are played."""
BEYOND: Final = "shocks .10"
"""What no bar holds for: only a control arm helps."""
Generator = np.random.Generator


class Bars:
    """Which figures miss what they must reach."""

    def __init__(self) -> None:
        self.missed: list[str] = []

    def check(self, what: str, value: float, *, least: float | None = None, most: float | None = None) -> None:
        if (least is not None and value < least) or (most is not None and value > most):
            bar = f"at least {least:g}" if least is not None else f"at most {most:g}"
            self.missed.append(f"{what}: {value:.4g}, must be {bar}")


def windows(bars: Bars, scale: float, seed: int) -> Iterator[str]:
    """The rows of the table of false alarms and of what is found."""
    yield (
        "| world | requests in a window | days | not enough data | false-alarm days | by PSI > .1 "
        "| found in one window | in six |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for requests, worlds in SIZES:
        for number, world in enumerate(WORLDS):
            counts = Counts()
            for each in range(max(1, round(worlds * scale))):
                counts.add(judge_world(world, requests, [seed, number, requests, each]))
            alarmed, seen = counts.alarmed / counts.days, counts.seen / counts.chances
            in_six = counts.seen_in_six / counts.runs
            yield (
                f"| {world.name} | {requests:,} | {counts.days:,} | {counts.silent} | {alarmed:.2%} | "
                f"{counts.folk / counts.days:.0%} | "
                f"{seen:.0%} | {in_six:.0%} |"
            )
            what = f"{world.name} at {requests}"
            if world.name != BEYOND:
                bars.check(f"{what}, false-alarm days", alarmed, most=0.015 if requests == 100 else 0.01)
                if requests == 500:
                    bars.check(f"{what}, found in one", seen, least=0.5 if world.name == "heavy" else 0.9)
                if requests == 2_000:
                    bars.check(f"{what}, found in one", seen, least=0.99)
            if world.name == "base" and requests == 100:
                bars.check(f"{what}, found in six", in_six, least=0.9)
        counts = Counts()
        for each in range(max(1, round(worlds * scale))):
            counts.add(judge_arms(WORLDS[-1], requests, [seed, len(WORLDS), requests, each]))
        alarmed = counts.alarmed / counts.days
        yield (
            f"| {WORLDS[-1].name}, against a control arm | {requests:,} | {counts.days:,} | {counts.silent} | "
            f"{alarmed:.2%} | | {counts.seen / counts.chances:.0%} | {counts.seen_in_six / counts.runs:.0%} |"
        )
        bars.check(f"a control arm at {requests}, false-alarm days", alarmed, most=0.015 if requests == 100 else 0.01)


def rates(bars: Bars, scale: float, seed: int) -> Iterator[str]:
    """The rows of the table of rates."""

    def twice(rng: Generator) -> int:
        return in_sessions(rng, once=True, factor=2)

    rows: list[tuple[str, int, Callable[[Generator], int], float | None, float | None]] = [
        ("1 % as before, baseline known", 1_000, lambda rng: independent(BASE, BASE, rng), LIMIT, None),
        (
            f"1 % as before, baseline from {ENOUGH_UNITS:,}",
            1_000,
            lambda rng: independent(BASE, learned(ENOUGH_UNITS, rng), rng),
            LIMIT,
            None,
        ),
        (
            f"1 % as before, bound from {LEAST_UNITS:,}",
            20,
            lambda rng: independent(BASE, learned(LEAST_UNITS, rng), rng),
            LIMIT,
            None,
        ),
        ("sessions as before, each request counted", 200, lambda rng: in_sessions(rng, once=False), None, None),
        ("sessions as before, each user once in 1,000", 40, lambda rng: in_sessions(rng, once=True), LIMIT, None),
        ("1 % -> 2 %", 1_000, lambda rng: independent(2 * BASE, BASE, rng), None, 1_800),
        ("1 % -> 3 %", 1_000, lambda rng: independent(3 * BASE, BASE, rng), None, None),
        ("1 % -> 20 %", 1_000, lambda rng: independent(20 * BASE, BASE, rng), None, None),
        ("sessions at twice the rate, each user once", 200, twice, None, None),
    ]
    yield "| rate | runs | requests until the alarm: mean | median |"
    yield "|---|---|---|---|"
    for number, (name, runs, run, least_mean, most_median) in enumerate(rows):
        found = np.array([run(np.random.default_rng([seed, number, at])) for at in range(max(5, round(runs * scale)))])
        mean, median = float(found.mean()), float(np.median(found))
        yield f"| {name} | {len(found):,} | {mean:,.0f} | {median:,.0f} |"
        if least_mean is not None:
            bars.check(f"{name}, mean", mean, least=least_mean)
        if most_median is not None:
            bars.check(f"{name}, median", median, most=most_median)


LEAST_SCALE = 0.1
"""For tables to be published."""


def into(path: Path, text: str) -> None:
    """Put the tables between their marks. Raises ValueError where there are none."""
    page = path.read_text()
    before, mark, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (mark and end):
        raise ValueError(f"{path} has no place for the tables: {BEGIN} and {END}")
    path.write_text(f"{before}{BEGIN}\n{text}{END}{after}")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m gateway.virtual.drift.table", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of worlds and runs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--into", type=Path, help="the page that has a place for the tables")
    options = parser.parse_args(argv)
    bars, lines = Bars(), []
    for part in (windows, rates):
        for line in part(bars, options.scale, options.seed):
            print(line, flush=True)
            lines.append(line)
        print(flush=True)
        lines.append("")
    told = f"Seed {options.seed}, {TEST_DAYS} days in each world, A = {LIMIT:,.0f}."
    told += f" Missed: {'; '.join(bars.missed)}." if bars.missed else " Every bar is met."
    print(told)
    if options.into is not None and options.scale < LEAST_SCALE:
        print(f"{options.into} keeps its tables: {options.scale:g} is a quick look, of {LEAST_SCALE:g} it takes them")
    elif options.into is not None:
        into(options.into, "\n".join([*lines, told, ""]))
    return 1 if bars.missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
