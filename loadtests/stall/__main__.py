"""`python -m loadtests.stall`: the longest hold of a gateway's loop, per cause, against its bar.

Streams stand still while the loop is held. Each cause is made to happen alone, a few times, to a gateway whose every
turn of the loop is timed (`hook.py`); the figure is the thread's CPU time of the longest turn.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from loadtests.processes.machine import alone
from loadtests.stall.causes import Cause, causes, warm
from loadtests.stall.stage import Place, StallError, Watched, engine, program_of
from loadtests.stall.table import Row, render


def parse_options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-stall", description="The longest hold of the loop, per cause.")
    parser.add_argument("--only", default="", metavar="WORDS", help="causes whose name holds these words")
    parser.add_argument("--python", type=Path, metavar="PATH", help="measure the penstock beside this interpreter")
    return parser.parse_args(argv)


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


def run(options: argparse.Namespace, work: Path) -> list[Row]:
    """All causes, one gateway after the other. Raises StallError when something cannot be started."""
    wanted = [cause for cause in causes() if options.only in cause.name]
    program = program_of(options.python)
    cores = set(os.sched_getaffinity(0))
    gateway_cores = {max(cores)}
    load_cores = cores - gateway_cores or cores
    started = []
    rows: dict[str, Row] = {}
    try:
        backend_process, backend = engine(work / "backend.log", "loadtests.path.backend", load_cores)
        started.append(backend_process)
        pieces_process, pieces = engine(work / "pieces.log", "loadtests.stall.pieces", load_cores)
        started.append(pieces_process)
        for place in Place:
            here = [cause for cause in wanted if cause.place is place]
            if not here:
                continue
            watched = Watched(place, work / place.name.lower(), backend, pieces, program, gateway_cores, load_cores)
            started.append(watched.process)
            warm(watched)
            for cause in here:
                print(f"{place.value}: {cause.name}", file=sys.stderr, flush=True)
                rows[cause.name] = measure(cause, watched)
            watched.stop()
    finally:
        for process in reversed(started):
            process.stop()
    return [rows[cause.name] for cause in wanted]


def main(argv: list[str]) -> int:
    """Exit status 0 when every bar is met, 1 when one is missed, 2 when it cannot be measured."""
    options = parse_options(argv)
    with alone(), tempfile.TemporaryDirectory(prefix="bench-stall-") as work:
        try:
            rows = run(options, Path(work))
        except StallError as error:
            print(f"bench-stall: {error}", file=sys.stderr)
            return 2
    print(render(rows))
    return 0 if all(row.verdict == "met" for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
