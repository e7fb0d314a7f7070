"""The bars next to the peers, judged: a capacity for each gateway, then ours and the better peer in turns at its."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from loadtests.peers.bars import Bar, Pair, Peer, better, judge, near_line, p99_ms
from loadtests.peers.climb import Climb, reached_the_top
from loadtests.peers.commands import compiled_python
from loadtests.peers.environments import PeerAbsent, PeerError
from loadtests.peers.rounds import Load, Measured
from loadtests.peers.table import PeerRow
from loadtests.peers.traffic import GOOD_RATIO, Traffic, capacity, reachable
from loadtests.run.run import RunError
from loadtests.statistics.slo import Slo

PEERS = ("vllm-router:cache_aware", "sglang-router:cache_aware")
_WHERE = "import routing.choosing.policy as one; print(one.__file__)"


class Maker(Protocol):
    """What makes rounds (`loadtests.peers.rounds.Rounds`)."""

    slo: Slo
    traffic: Traffic

    def steady(self, rate_per_s: float, number: int) -> Load: ...

    def delivered(self, name: str, load: Load) -> Measured: ...


def ours(compiled: Path | None) -> tuple[str, str]:
    """The name of our row, and a sentence where that is not the compiled build; nobody installs what is not there."""
    try:
        python = compiled_python(compiled)
    except PeerAbsent as absent:
        return "penstock", f"ours is not compiled: {absent}"
    argv = [str(python), "-P", "-c", _WHERE]
    found = subprocess.run(argv, capture_output=True, text=True, check=False, env={"PYTHONPATH": ""})
    if found.returncode or not found.stdout.strip().endswith(".so"):
        return "penstock", f"ours is not compiled: the one of {python} is not either"
    return "penstock-compiled", ""


class Judged:
    """One kind of traffic: `run`, then `rows` and `bars` say what was found, `notes` what a reader needs to know."""

    def __init__(
        self,
        kind: str,
        rounds: Maker,
        ours: str,
        climb: Climb,
        runs: int,
        strict: bool = True,
        say: Callable[[str], None] | None = None,
    ) -> None:
        """Not `strict`: a round that must not be believed goes on into the figures, and is said beside them."""
        self.kind = kind
        self.rows = {name: PeerRow(name) for name in (ours, *PEERS)}
        self.bars: list[Bar] = []
        self.notes: list[str] = []
        self._rounds = rounds
        self._ours = ours
        self._climb = climb
        self._runs = runs
        self._strict = strict
        self._say = say or (lambda text: print(text, file=sys.stderr, flush=True))

    def run(self) -> None:
        """All rounds, and the verdict. What is wrong with a row is a bar that is not judged."""
        for row in self.rows.values():
            self._seek(row)
        self._compare()
        for row in self.rows.values():
            self.bars += [Bar(f"{self.kind}: {row.name}: {problem}", None) for problem in row.problems]

    def _compare(self) -> None:
        mine = self.rows[self._ours]
        best = better({name: capacity(self.rows[name].tried) for name in PEERS})
        if best is None or not mine.tried:
            nobody = "no peer has a capacity" if best is None else "ours has no capacity"
            self.bars.append(Bar(f"{self.kind}: {nobody}", None))
            return
        name, per_s = best
        pairs, peer = self._at_its_capacity(name, per_s)
        if reached_the_top(self.rows[name].tried, GOOD_RATIO):
            peer = replace(peer, at_top=True)
        self.notes.append(near_line(self.kind, peer))
        at_top = reached_the_top(mine.tried, GOOD_RATIO)
        self.bars += judge(self.kind, capacity(mine.tried) or 0.0, at_top, peer, pairs, self._runs)

    def _seek(self, row: PeerRow) -> None:
        """Climb until too few requests are good."""
        climb, traffic = self._climb, self._rounds.traffic
        load = Load(climb.arrivals(traffic.turns), climb.duration_s, climb.warm_up_s, 0)
        if (found := self._round(row, f"capacity of {row.name}", load)) is not None:
            row.tried = climb.tried(found.whole, self._rounds.slo.good(found.whole), found.started_ns)
            steps = ", ".join([f"{rate:.0f}/s {good:.0%}" for rate, good in row.tried])
            self.notes.append(f"{self.kind}: {row.name} has good: {steps}")

    def _at_its_capacity(self, name: str, per_s: float) -> tuple[list[Pair], Peer]:
        pairs: list[Pair] = []
        hits = queried = 0.0
        ceilings: list[float] = []
        for number in range(1, self._runs + 1):
            both: dict[str, Measured] = {}
            order = (self._ours, name) if number % 2 else (name, self._ours)
            for one in order:
                said = f"run {number} of {self._runs} at {per_s:.1f}/s: {one}"
                found = self._round(self.rows[one], said, self._rounds.steady(per_s, number))
                if found is None:
                    break
                both[one] = found
                self.rows[one].rounds.append(found.round)
            if len(both) < 2:
                break
            mine, theirs = both[self._ours], both[name]
            hits, queried = hits + theirs.round.hit_tokens, queried + theirs.round.queried_tokens
            ceiling = reachable(theirs.records, self._rounds.traffic.workload)
            ceilings += [] if ceiling is None else [ceiling]
            pairs.append(Pair(p99_ms(mine.round.run), p99_ms(theirs.round.run), self._good(mine), self._good(theirs)))
        mean = sum(ceilings) / len(ceilings) if ceilings else None
        return pairs, Peer(name, per_s, hits / queried if queried else None, mean)

    def _good(self, found: Measured) -> float:
        run = found.round.run
        return int(self._rounds.slo.good(run).sum()) / len(run) if len(run) else 0.0

    def _round(self, row: PeerRow, said: str, load: Load) -> Measured | None:
        """None, with a problem of the row, where there is no figure to believe."""
        self._say(f"{self.kind}: {said}, {load.duration_s:g} s")
        try:
            found = self._rounds.delivered(row.name, load)
        except (PeerError, RunError) as error:
            row.problems.append(str(error))
            return None
        if found.reasons:
            row.problems.append(f"{said}: {'; '.join(found.reasons)}")
            return None if self._strict else found
        return found
