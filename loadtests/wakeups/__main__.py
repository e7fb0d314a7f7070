"""`python -m loadtests.wakeups`: what is lost while models wake from zero and replicas change.

Models at zero are woken again and again while some clients give up, and replicas of another are added and taken away
under load. Every replica is a process that is really started and stopped. The whole takes half an hour on two cores; it
can be run in parts: `--wakeups 250 --changes 0`, each with a `--seed` of its own. Answers are measured against the
start of the same moment. While replicas change, every turn of the gateway's loop is timed, as `loadtests.stall` does;
bars in time are scaled by the same bare relay, measured before, between and after the parts (it needs wrk). Status 1: a
bar is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from loadtests.path.wrk import WrkError
from loadtests.stall.stage import StallError, engine, program_of
from loadtests.stall.yardstick import Yardstick
from loadtests.wakeups.clients import Answer, ask, leave
from loadtests.wakeups.figures import Changes, Seen, Wakeups, missed, table
from loadtests.wakeups.stage import CHANGING, Stage, WakeupsError, woken

WAITING, LEAVING = 4, 2
"""Clients of one wake-up."""
LEAVES_S = 2.0
"""Within so long they do."""
STREAMS, PLAIN = 6, 2
"""Clients under which replicas change."""
MOST_REPLICAS = 4
LOOK_S = 0.2
SETTLES_S = 120.0
QUIET_S = 3.0
"""About what a change takes."""


class Run:
    """One run over one stage."""

    def __init__(self, stage: Stage, seed: int, wakeups: Wakeups, changes: Changes) -> None:
        """What is seen is added to the last two."""
        self.stage = stage
        self.wakeups, self.changes = wakeups, changes
        self._rng = random.Random(seed)
        self._standing: dict[str, dict[str, Any]] = {}
        self._left = 0

    async def wake(self, models: int, count: int) -> None:
        """So many wake-ups, of all models beside each other."""
        self._left = count
        watching = asyncio.ensure_future(self._watch())
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(models):
                    group.create_task(self._wake_one(woken(number)))
        finally:
            watching.cancel()

    async def change(self, count: int) -> None:
        """So many changes of replicas, under load."""
        replicas = await self._change_to(0, 2)
        self.changes.count = 0
        self.changes.holds_ms.clear()
        self.changes.quiet_ms.clear()
        over = asyncio.Event()
        load = [asyncio.ensure_future(self._ask(over, n < STREAMS)) for n in range(STREAMS + PLAIN)]
        while self.changes.count < count:
            wanted = self._rng.choice([n for n in range(1, MOST_REPLICAS + 1) if n != replicas])
            replicas = await self._change_to(replicas, wanted)
            self._say(f"{self.changes.count} of {count} changes, {self.changes.requests} requests")
        over.set()
        await asyncio.gather(*load)

    # -- one of each ---------------------------------------------------------------------------------------------------

    async def _wake_one(self, model: str) -> None:
        while self._left > 0:
            self._left -= 1
            await self._until(model, ready=0, starting=0, draining=0)
            began_s = time.monotonic()
            leavers = [leave(self.stage.port, model, self._rng.uniform(0.0, LEAVES_S)) for _ in range(LEAVING)]
            stays = [ask(self.stage.port, model, stream=bool(n % 2), tokens=20) for n in range(WAITING)]
            gone = asyncio.gather(*leavers)
            answers = await asyncio.gather(*stays)
            await gone
            self._note(model, began_s, answers)

    def _note(self, model: str, began_s: float, answers: list[Answer]) -> None:
        seen = self.wakeups
        seen.waited += len(answers)
        seen.left += LEAVING
        seen.lost.update([f"{one.status} {one.why[-120:]!r}" for one in answers if not one.good])
        start_s = self.stage.starts.first_since(model, began_s)
        if start_s is None:
            seen.untold += 1
        else:
            seen.firsts_s.append((min(one.first_s for one in answers), start_s))
        self._say(f"{seen.count} wake-ups")

    async def _change_to(self, before: int, replicas: int) -> int:
        self.stage.configure(replicas)
        if (board := self.stage.board) is not None:
            board.reset()
        self.stage.reload()
        deadline_s = time.monotonic() + SETTLES_S
        while True:
            one = (await asyncio.to_thread(self.stage.standing))[CHANGING]
            if (one["ready"], one["starting"], one["draining"]) == (replicas, 0, 0):
                break
            if time.monotonic() > deadline_s:
                raise WakeupsError(f"{replicas} replicas were wanted, and there are {one}")
            await asyncio.sleep(LOOK_S)
        if board is not None:
            self.changes.holds_ms.append(board.longest_cpu_ms)
            board.reset()
            await asyncio.sleep(QUIET_S)
            self.changes.quiet_ms.append(board.longest_cpu_ms)
        self.changes.count += abs(replicas - before)
        return replicas

    async def _ask(self, over: asyncio.Event, stream: bool) -> None:
        while not over.is_set():
            answer = await ask(self.stage.port, CHANGING, stream=stream, tokens=self._rng.randrange(5, 120))
            self.changes.requests += 1
            if not answer.good:
                self.changes.cut += stream and answer.status == 0
                self.changes.failed[f"{answer.status} {answer.why[-120:]!r}"] += 1

    async def _watch(self) -> None:
        while True:
            self._standing = await asyncio.to_thread(self.stage.standing)
            await asyncio.sleep(LOOK_S)

    async def _until(self, model: str, **wanted: int) -> None:
        self._standing.pop(model, None)  # what was seen before is no news
        deadline_s = time.monotonic() + SETTLES_S
        while {name: self._standing.get(model, {}).get(name) for name in wanted} != wanted:
            if time.monotonic() > deadline_s:
                raise WakeupsError(f"{model} does not come to rest: {self._standing.get(model)}")
            await asyncio.sleep(LOOK_S / 4)

    def _say(self, what: str) -> None:
        print(f"\r{what}   ", end="", file=sys.stderr, flush=True)


def run(options: argparse.Namespace, work: Path) -> Seen:
    """Both parts, one after the other, each with a gateway of its own. Raises WakeupsError, StallError and WrkError."""
    began_s = time.monotonic()
    program = program_of(options.python)
    cores = os.sched_getaffinity(0)
    wakeups, changes = Wakeups(), Changes()
    left, failed = 0.0, 0
    with contextlib.ExitStack() as started:
        backend, url = engine(work / "backend.log", "loadtests.path.backend", cores)
        started.callback(backend.stop)
        yardstick = Yardstick(work / "bare.log", url, {max(cores)}, cores - {max(cores)} or cores)
        started.callback(yardstick.stop)
        yardstick.read()
        for part, models in (("wakeups", max(1, options.models)), ("changes", 0)):
            if not getattr(options, part):
                continue
            with Stage(work / part, program, models, options.startup, watched=not models) as stage:
                one = Run(stage, options.seed, wakeups, changes)
                asyncio.run(one.wake(models, options.wakeups) if models else one.change(options.changes))
                left += stage.left()
                failed += stage.starts.failed
            print(file=sys.stderr)
            yardstick.read()
    return Seen(wakeups, changes, left, failed, time.monotonic() - began_s, yardstick.readings_us)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtests.wakeups", description=__doc__)
    parser.add_argument("--wakeups", type=int, default=1_000, help="of models at zero (default 1000)")
    parser.add_argument("--changes", type=int, default=500, help="of replicas, under load (default 500)")
    parser.add_argument("--models", type=int, default=6, help="that are woken beside each other (default 6)")
    parser.add_argument(
        "--startup", type=float, default=0.5, help="seconds that a replica's server waits (default 0.5)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of when clients leave, and of who changes")
    parser.add_argument("--python", type=Path, help="the interpreter beside whose `penstock` that one is; none: ours")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="wakeups-") as work:
            seen = run(options, Path(work))
    except (WakeupsError, StallError, WrkError) as error:
        print(error, file=sys.stderr)
        return 2
    print(table(seen), end="")
    return 1 if missed(seen) else 0


if __name__ == "__main__":
    sys.exit(main())
