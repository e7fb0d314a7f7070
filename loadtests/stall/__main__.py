"""`python -m loadtests.stall`: the longest hold of a gateway's loop, per cause, against its bar.

Streams stand still while the loop is held. Each cause is made to happen alone, a few times, to a gateway whose every
turn of the loop is timed (`hook.py`); the figure is the thread's CPU time of the longest turn. Bars are scaled to the
machine by a relay that is measured in the same run (`yardstick.py`).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from loadtests.path.wrk import WrkError
from loadtests.processes.machine import alone
from loadtests.stall.causes import Cause, causes, warm
from loadtests.stall.stage import Place, StallError, Watched, builds, engine
from loadtests.stall.table import Row, render
from loadtests.stall.yardstick import BARE_US, CONNECTIONS, ROUND_S, Yardstick, scale

ABOUT = f"""The longest hold of a gateway's event loop, per cause, in CPU time of the loop's thread.

Bars are those of a machine whose bare relay takes {BARE_US} us of CPU for a plain request (the row `bare` of
`make bench-path`: {CONNECTIONS} closed-loop connections, a core of its own). That relay is measured here too, for
{ROUND_S:g} s before, between and after the gateways, and each bar is multiplied by the median of its readings over
{BARE_US} us, be that more or less than 1: `bar ms` as written, `bar here ms` scaled, `ratio` = longest hold / bar here.

The compiled build is measured as well where `.envs/compiled` has it. Exit status: 0 when every row is met, 1 when one
is missed, 2 when something could not be started."""


def parse_options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="make bench-stall", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="WORDS",
        help="causes whose name holds these words, such as 'that tell' or counted; again: or these",
    )
    parser.add_argument("--python", type=Path, metavar="PATH", help="measure the penstock beside this interpreter")
    return parser.parse_args(argv)


def wanted(only: list[str]) -> list[Cause]:
    """The causes whose name holds any of these words; without any, all. Raises StallError when there is none."""
    every = causes()
    found = [cause for cause in every if not only or any(words in cause.name for words in only)]
    if not found:
        raise StallError("no cause has a name with these words; all are:\n" + "\n".join(cause.name for cause in every))
    return found


def measure(cause: Cause, watched: Watched) -> Row:
    """Let it happen a few times. A cause that fails is a row with the reason."""
    row = Row(cause.name, cause.bar_ms)
    for _ in range(cause.times):
        try:
            watched.watch()
            cause.happen(watched)
        except StallError as error:
            row.problem = str(error)
            break
        row.readings.append(watched.reading())
    return row


@dataclass(slots=True)
class Found:
    """What there is so far: a run that is ended early, or cannot go on, tells that much."""

    rows: dict[str, list[Row]] = field(default_factory=dict)
    """Of each build."""
    readings_us: list[float] = field(default_factory=list)
    """What the bare relay takes for a request."""


def run(options: argparse.Namespace, work: Path, found: Found) -> None:
    """Add to `found` all causes, one gateway after the other.

    Raises StallError when something cannot be started.
    """
    asked_for = wanted(options.only)
    programs = builds(options.python)
    cores = set(os.sched_getaffinity(0))
    gateway_cores = {max(cores)}
    load_cores = cores - gateway_cores or cores
    began_s = time.monotonic()
    with contextlib.ExitStack() as started:
        backend_process, backend = engine(work / "backend.log", "loadtests.path.backend", load_cores)
        started.callback(backend_process.stop)
        pieces_process, pieces = engine(work / "pieces.log", "loadtests.stall.pieces", load_cores)
        started.callback(pieces_process.stop)
        telling_process, telling = engine(work / "telling.log", "loadtests.stall.telling", load_cores)
        started.callback(telling_process.stop)
        yardstick = Yardstick(work / "bare.log", backend, gateway_cores, load_cores)
        started.callback(yardstick.stop)
        found.readings_us = yardstick.readings_us
        yardstick.read()
        for build, program in programs.items():
            rows: dict[str, Row] = {}
            found.rows[build] = []
            for place in Place:
                here = [cause for cause in asked_for if cause.place is place]
                if not here:
                    continue
                home = work / f"{build}-{place.name}".lower().replace(" ", "-")
                behind = telling if place in (Place.FLEET, Place.SCALED) else backend
                say(began_s, f"{build}, {place.value}: starting")
                watched = Watched(place, home, behind, pieces, program, gateway_cores, load_cores)
                with contextlib.closing(watched):
                    warm(watched)
                    for cause in here:
                        say(began_s, f"{build}, {place.value}: {cause.name}")
                        rows[cause.name] = measure(cause, watched)
                        found.rows[build] = [rows[one.name] for one in asked_for if one.name in rows]
                yardstick.read()
        say(began_s, "done")


def say(began_s: float, what: str) -> None:
    """How far it has come."""
    print(f"{time.monotonic() - began_s:4.0f} s  {what}", file=sys.stderr, flush=True)


def main(argv: list[str]) -> int:
    """Exit status 0 when every bar is met, 1 when one is missed, 2 when it cannot be measured."""
    options = parse_options(argv)
    found, problem = Found(), ""
    with alone(), tempfile.TemporaryDirectory(prefix="bench-stall-") as work:
        try:
            run(options, Path(work), found)
        except (StallError, WrkError) as error:
            problem = str(error)
        except KeyboardInterrupt:
            problem = "interrupted"
    if any(found.rows.values()):
        tell(found)
    if problem:
        print(f"bench-stall: {problem}", file=sys.stderr)
        return 2
    here = scale(median(found.readings_us))
    return 0 if all(row.verdict(here) == "met" for rows in found.rows.values() for row in rows) else 1


def tell(found: Found) -> None:
    """The rows of each build, and what the bars are times of."""
    bare_us = median(found.readings_us)
    here = scale(bare_us)
    for build, rows in found.rows.items():
        print(f"{build}:\n{render(rows, here)}")
    readings = f"the median of {min(found.readings_us):.1f} to {max(found.readings_us):.1f}"
    print(f"The bare relay took {bare_us:.1f} us per request ({readings}).")
    print(f"Bars here are those written times {bare_us:.1f} / {BARE_US} = {here:.2f}; a busy machine has wide ones.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
