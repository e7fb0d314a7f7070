"""Play a scenario: start its processes, send its load, let happen what is to happen, and hold it to what it says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from time import monotonic_ns

import msgspec

from loadtests.client.worker import Progress
from loadtests.run.outcome import report_of, write
from loadtests.run.run import Run, RunResult
from loadtests.scenario.expect import Expectation, Verdict, judge
from loadtests.scenario.facts import Facts, of_memory, of_metrics, of_window
from loadtests.scenario.spec import Event, Scenario
from loadtests.scenario.stage import Stage
from loadtests.schedule.plan import Plan
from loadtests.statistics.columns import columns
from loadtests.statistics.honesty import EXIT_INVALID, EXIT_VALID
from loadtests.statistics.slo import parse_duration_s
from loadtests.statistics.window import Window

EXIT_MISSED = 1
Say = Callable[[str], None]


class Played(msgspec.Struct, frozen=True):
    """How it went."""

    verdicts: list[Verdict]
    reasons: list[str]
    """Why the figures must not be believed; mostly empty."""

    @property
    def exit_code(self) -> int:
        """1 when an expectation was missed; 3 when all were met by a client that could not deliver the load."""
        if not all(verdict.met for verdict in self.verdicts):
            return EXIT_MISSED
        return EXIT_INVALID if self.reasons else EXIT_VALID


class _Watcher:
    """Lets the events happen, and samples the gateway's memory."""

    def __init__(self, stage: Stage, events: list[Event], say: Say) -> None:
        self._stage, self._events, self._say = stage, events, say
        self._tasks: list[asyncio.Task[None]] = []
        self.memory: list[tuple[float, int]] = []

    def begin(self, started_ns: int) -> None:
        for event in self._events:
            at_ns = started_ns + round(parse_duration_s(event.at) * 1e9)
            self._tasks.append(asyncio.get_running_loop().create_task(self._happen(event, at_ns)))

    async def _happen(self, event: Event, at_ns: int) -> None:
        await asyncio.sleep(max(0, at_ns - monotonic_ns()) / 1e9)
        await asyncio.to_thread(self._do, event)

    def _do(self, event: Event) -> None:
        stage = self._stage
        if event.kill:
            self._say(f"{event.at}: kill {event.kill}")
            stage.kill(event.kill)
        elif event.restart:
            self._say(f"{event.at}: restart {event.restart}")
            stage.start(event.restart)
        elif event.change:
            self._say(f"{event.at}: {event.change} becomes {event.to}")
            stage.change(event.change, event.to)
        else:
            self._say(f"{event.at}: configure {', '.join(event.configure)}")
            stage.configure(event.configure)

    def sample(self, progress: Progress) -> None:
        if self._stage.gateway is not None:
            self.memory.append((progress.t_s, self._stage.gateway.rss_bytes()))

    async def end(self) -> None:
        """Raises what an event raised."""
        await asyncio.gather(*self._tasks)


def play(scenario: Scenario, out: Path, *, duration: str = "", say: Say = print, **commands: str) -> Played:
    """Raises StageError, RunError or ValueError when it cannot be played. `commands`: see Stage."""
    with Stage(scenario, out / "stage", **commands) as stage:
        plan = scenario.plan(stage.url, duration)
        if scenario.slow_readers is not None:
            stage.begin_readers(scenario.slow_readers)
        watcher = _Watcher(stage, scenario.events, say)
        result = asyncio.run(_run(plan, out, watcher))
        beside: Facts = {**stage.end_readers(), **of_metrics(stage.metrics())}
        beside |= of_memory(watcher.memory, plan.duration_s)
    report = report_of(result, warmup_s=0.0, name=scenario.says)
    write(report, out)
    verdicts = [judge(one, facts_of(result, one) | beside) for one in scenario.expectations()]
    played = Played(verdicts, report.honesty.reasons)
    (out / "scenario.json").write_bytes(msgspec.json.format(msgspec.json.encode(played), indent=1) + b"\n")
    return played


async def _run(plan: Plan, out: Path, watcher: _Watcher) -> RunResult:
    result = await Run(plan, out).execute(watcher.sample, watcher.begin)
    await watcher.end()
    return result


def facts_of(result: RunResult, expectation: Expectation) -> Facts:
    """The facts of an expectation's window."""
    zero, end_s = result.started_ns, result.plan.duration_s if expectation.end_s is None else expectation.end_s
    window = Window(zero + round(expectation.start_s * 1e9), zero + round(end_s * 1e9), None, "")
    return of_window(columns(result.records), result.records, window, result.plan.slo)


def lines(played: Played) -> list[str]:
    """What was expected and what was found, a line each."""
    said = []
    for verdict in played.verdicts:
        found = "nothing" if verdict.found is None else f"{verdict.found:.6g}"
        said.append(f"  {'met   ' if verdict.met else 'MISSED'}  {verdict.expectation.text:<52} found {found}")
    return said + [f"  INVALID  {reason}" for reason in played.reasons]
