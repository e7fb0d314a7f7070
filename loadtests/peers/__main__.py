"""`python -m loadtests.peers`: one workload through each gateway in front of simulated vLLM replicas, and one table.

Each round of a gateway has replicas of its own, started for it with empty caches, and all gateways have their turn in a
round before any has its next. The hit rate is what the replicas counted, not what anybody reports of himself.

With `--bars` the figures are judged (`loadtests/peers/bars.py`), of system prompts and of chats: the capacity of ours
and of each peer's cache_aware, then three runs of ours and the better peer in turns at its capacity. Ends with status 1
where a bar is missed or cannot be judged. It takes 25 minutes; with `--short` 2 for each kind, which say little.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from loadtests.peers.climb import Climb, evenly
from loadtests.peers.environments import PeerError
from loadtests.peers.fleets import DEFAULT
from loadtests.peers.judged import Judged, ours
from loadtests.peers.rounds import Load, Measured, Rounds
from loadtests.peers.table import PeerRow, figures, table
from loadtests.peers.traffic import GOOD_RATIO, KINDS
from loadtests.processes.machine import alone
from loadtests.run.run import RunError
from loadtests.statistics.slo import Slo, parse_slo

JUDGED = ("system-prompts", "chats")
RUNS = 3


class Peers:
    """The comparison, round by round."""

    def __init__(self, options: argparse.Namespace, work: Path) -> None:
        self.options = options
        self.rounds = Rounds(options, work)
        self.slo = self.rounds.slo
        self.rows = [PeerRow(name) for name in options.gateways.split(",") if name]

    def run(self) -> None:
        """Every gateway, every round."""
        for number in range(self.options.rounds):
            for row in self.rows:
                if row.problems:
                    continue
                print(f"round {number + 1} of {self.options.rounds}: {row.name}", file=sys.stderr, flush=True)
                found = self._delivered(row, f"round {number + 1}", self.rounds.steady(self.options.rate, number))
                if found is not None:
                    row.rounds.append(found.round)
        for row in self.rows if self.options.capacity else ():
            self._seek(row)

    def _seek(self, row: PeerRow) -> None:
        """Find the rate up to which a gateway meets the objective for nine requests of ten."""
        for rate in self.rounds.traffic.capacity_rates:
            if row.problems:
                return
            print(f"capacity: {row.name} at {rate:g}/s", file=sys.stderr, flush=True)
            found = self._delivered(row, f"capacity at {rate:g}/s", self.rounds.steady(rate, int(rate)))
            if found is None:
                return
            good = figures(PeerRow(row.name, [found.round]), self.slo)["attainment"] or 0.0
            row.tried.append((rate, good))
            if good < GOOD_RATIO:
                return

    def _delivered(self, row: PeerRow, said: str, load: Load) -> Measured | None:
        """A round, with what is wrong with it; None where there was none."""
        try:
            found = self.rounds.delivered(row.name, load)
        except (PeerError, RunError) as error:
            row.problems.append(str(error))
            return None
        if found.failed:
            count = sum(found.failed.values())
            row.problems.append(f"{said}: {count} of {len(found.whole)} failed: {found.failed}")
        row.problems += [f"{said}: {reason}" for reason in found.reasons]
        return found


def parse_options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.peers", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gateways", default=",".join(DEFAULT), help="NAME or NAME:POLICY, with commas between them")
    parser.add_argument("--replicas", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tries", type=int, default=3, help="of a round in which the client was late")
    parser.add_argument("--traffic", choices=list(KINDS), help="see loadtests/peers/traffic.py (default: prefixes)")
    parser.add_argument("--capacity", action="store_true", help="also find the rate that each carries")
    parser.add_argument("--bars", action="store_true", help="judge; of both kinds, where --traffic names none")
    parser.add_argument("--short", action="store_true", help="with --bars: one short run each, to see that it works")
    parser.add_argument("--climb-from", type=float, metavar="RATE", help="with --bars: the lowest rate tried")
    parser.add_argument("--climb-to", type=float, metavar="RATE", help="the highest")
    parser.add_argument("--compiled-python", type=Path, metavar="PATH", help="default: .envs/compiled/bin/python")
    parser.add_argument("--duration", type=float, metavar="S", help="of a round (60)")
    parser.add_argument("--warm-up", type=float, metavar="S", help="of that (30); caches begin empty")
    parser.add_argument("--rate", type=float, help="requests per second, Poisson")
    parser.add_argument("--slo")
    parser.add_argument("--ttft-ms", type=float, default=20.0, help="of a replica, beside prefill")
    parser.add_argument("--itl-ms", type=float, default=8.0)
    parser.add_argument("--prefill-ms", type=float, help="per prompt token that is not in the cache")
    parser.add_argument("--prefill-tokens-per-s", type=float, help="of a replica, prompts in turn; 0: side by side")
    parser.add_argument("--cache-blocks", type=int, help="of 16 tokens, of each replica")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    options = parser.parse_args(argv)
    options.kinds = [options.traffic] if options.traffic or not options.bars else list(JUDGED)
    if options.bars:
        return options
    return for_traffic(options, options.traffic or "prefixes")


def for_traffic(options: argparse.Namespace, kind: str) -> argparse.Namespace:
    """The same options, with what the kind of traffic brings where nothing was given."""
    traffic = KINDS[kind]
    usual = {
        "rate": traffic.rate_per_s,
        "slo": traffic.slo,
        "prefill_ms": traffic.prefill_ms,
        "prefill_tokens_per_s": traffic.prefill_tokens_per_s,
        "cache_blocks": traffic.cache_blocks,
        "duration": 20.0 if options.short else 60.0,
        "warm_up": 8.0 if options.short else 30.0,
    }
    made = argparse.Namespace(**{**vars(options), "traffic": kind})
    for name, value in usual.items():
        if getattr(made, name) is None:
            setattr(made, name, value)
    return made


def climb_of(options: argparse.Namespace) -> Climb:
    """The rates that are tried for a capacity; fewer and for less long where the options ask for the short form."""
    usual = KINDS[options.traffic].climb_per_s
    lowest, highest = options.climb_from or usual[0], options.climb_to or usual[-1]
    return Climb(
        evenly(lowest, highest, 5 if options.short else len(usual)), *((4.0, 8.0) if options.short else (9.0, 20.0))
    )


def judged(options: argparse.Namespace, work: Path) -> list[tuple[Judged, Slo]]:
    """Each kind of traffic, run."""
    name, missing = ours(options.compiled_python)
    if missing:
        print(missing, file=sys.stderr, flush=True)
    found = []
    for kind in options.kinds:
        made = for_traffic(options, kind)
        place = work / kind
        place.mkdir()
        one = Judged(kind, Rounds(made, place), name, climb_of(made), 1 if made.short else RUNS, strict=not made.short)
        one.run()
        found.append((one, parse_slo(made.slo)))
    return found


def tell(found: list[tuple[Judged, Slo]], written: Path | None) -> int:
    """Print the verdicts; the exit status."""
    data = []
    for one, slo in found:
        print(table(list(one.rows.values()), slo))
        print("\n".join(one.notes), end="\n\n")
        rows = [{"name": row.name, **figures(row, slo), "tried": row.tried} for row in one.rows.values()]
        data.append({"traffic": one.kind, "rows": rows, "bars": [asdict(bar) for bar in one.bars]})
    print("\n".join([bar.line() for one, _ in found for bar in one.bars]))
    if written:
        written.write_text(json.dumps(data, indent=1))
    return 0 if all(bar.met for one, _ in found for bar in one.bars) else 1


def main(argv: list[str]) -> int:
    options = parse_options(argv)
    if options.bars:
        with alone(), tempfile.TemporaryDirectory() as directory:
            verdicts = judged(options, Path(directory))
        return tell(verdicts, options.json)
    with alone(), tempfile.TemporaryDirectory() as directory:
        peers = Peers(options, Path(directory))
        peers.run()
    if options.json:
        found = [{"name": row.name, **figures(row, peers.slo), "problems": row.problems} for row in peers.rows]
        options.json.write_text(json.dumps(found, indent=1))
    print(table(peers.rows, peers.slo))
    return 1 if any(row.problems for row in peers.rows) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
