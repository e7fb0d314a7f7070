"""Print every published figure of the gate of releases next to its bar, and write them into the docs.

python -m gateway.virtual.releases.bench [--runs 2000] [--seed 1] [--write docs/releases.md]

--runs 40 is a quick look, whose bars may be missed by chance, and which is not written.
"""

from __future__ import annotations

import argparse
import pathlib
import sys

from gateway.virtual.releases.table import markdown, tables

BEGIN, END = "<!-- bench-releases: begin -->", "<!-- bench-releases: end -->"

LEAST_RUNS = 2_000
"""For figures to be published."""


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m gateway.virtual.releases.bench", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--runs", type=int, default=LEAST_RUNS, metavar="N", help="100 or so are a quick look")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", type=pathlib.Path, metavar="FILE", help="put the tables between its marks")
    options = parser.parse_args(argv)
    head = f"`make bench-releases`, seed {options.seed}, {options.runs:,} runs of each false alarm, alpha .05.\n"
    say(head)
    parts, missed = [head], 0
    for table in tables(options.seed, options.runs):
        told = markdown(table)
        say(told)
        parts.append(told)
        missed += sum(not one.met for one in table.figures)
    if options.write is not None and options.runs < LEAST_RUNS:
        say(
            f"{options.write} keeps its tables: {options.runs:,} runs are a quick look, of {LEAST_RUNS:,} it takes them"
        )
    elif options.write is not None:
        written = options.write.read_text()
        before, _, rest = written.partition(BEGIN)
        _, _, after = rest.partition(END)
        options.write.write_text(f"{before}{BEGIN}\n" + "\n".join(parts) + f"{END}{after}")
    say(f"{missed} bars missed" if missed else "all bars met")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
