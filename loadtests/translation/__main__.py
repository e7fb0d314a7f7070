"""`python -m loadtests.translation`: events translated per second of one core, from HTTP to HTTP.

The path benchmark's streams (`loadtests.path`), asked for in OpenAI's format of an engine that speaks Anthropic's: each
text delta comes in a segment of its own, is decoded, encoded and sent. Same bytes, same client, one run for all rows.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path

from loadtests.path import bench, table, wrk
from loadtests.path.backend import CHUNKS
from loadtests.path.options import parse_options
from loadtests.path.stage import BenchError
from loadtests.stall.yardstick import BARE_US
from loadtests.translation.verdict import Found, found_of, lines

ROWS = "penstock-translated,penstock-compiled-translated,penstock-compiled,litellm-translated,bare"


def main(argv: list[str]) -> int:
    """Exit status 0 when every row is valid and both bars are met."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.translation", description=__doc__)
    parser.add_argument("--gateways", default=ROWS, help=f"default: {ROWS}; `bare` scales the bar to this machine")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--duration", type=int, default=3, metavar="S", help="whole seconds per round")
    parser.add_argument("--compiled-python", type=Path, metavar="PATH", help="default: .envs/compiled/bin/python")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    options = parser.parse_args(argv)
    passed = ["--gateways", options.gateways, "--phases", "plain,stream", "--open-streams", "0"]
    passed += ["--rounds", str(options.rounds), "--duration", str(options.duration)]
    if options.compiled_python is not None:
        passed += ["--compiled-python", str(options.compiled_python)]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        stage = bench.run(parse_options(passed))
    except (BenchError, wrk.WrkError) as error:
        print(f"bench-translation: {error}", file=sys.stderr)
        return 2
    rows = [gateway.row for gateway in stage.gateways]
    figures = {row.name: table.figures(row, None) for row in rows if not row.problems}
    print(table.render([table.figures(row, None) for row in rows]))
    found = found_of(figures, CHUNKS, BARE_US)
    for line in [*lines(found), *stage.left_out]:
        print(line)
    if options.json:
        options.json.write_text(json.dumps({"figures": list(figures.values()), "bars": found.bars}, indent=1) + "\n")
    return 0 if _sound(rows, found) else 1


def _sound(rows: list[table.Row], found: Found) -> bool:
    return not any(row.problems for row in rows) and all(bar["met"] for bar in found.bars)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
