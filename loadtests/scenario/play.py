"""Play a scenario: start its processes, send its load, let happen what is to happen, and hold it to what it says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic_ns

import msgspec

from loadtests.client.worker import Progress
from loadtests.run.outcome import report_of, write
from loadtests.run.run import Run, RunResult
from loadtests.scenario.expect import Expectation, Mark, Verdict, judge, read_expectation
from loadtests.scenario.facts import Facts, of_memory, of_metrics, of_window
from loadtests.scenario.spec import Event, Scenario
from loadtests.scenario.stage import Stage
from loadtests.schedule.plan import Plan
from loadtests.statistics.columns import columns
from loadtests.statistics.honesty import EXIT_INVALID, EXIT_VALID
from loadtests.statistics.slo import parse_duration_s
from loadtests.statistics.window import Window

EXIT_MISSED = 1
LOOK_S = 0.1
"""How often an event looks whether what it waits for has come."""
SETTLED_S = 5.0
"""What was sent less than this before a run was ended is nobody's: it was given up."""
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
        self._enough: asyncio.Task[None] | None = None
        self._ended = False
        self.marks: dict[str, Mark] = {}
        """When the events that have a name were, as far as they are over."""
        self.memory: list[tuple[float, int]] = []

    def begin(self, started_ns: int) -> None:
        for event in self._events:
            self._tasks.append(asyncio.get_running_loop().create_task(self._happen(event, started_ns)))

    def enough(self, seconds: float, stop: Callable[[], None]) -> None:
        """Call this so long after the last event was over, if the run lasts until then."""
        self._enough = asyncio.get_running_loop().create_task(self._stop_after(seconds, stop))

    async def _stop_after(self, seconds: float, stop: Callable[[], None]) -> None:
        await asyncio.wait(self._tasks)
        await asyncio.sleep(seconds + SETTLED_S)
        if not self._ended:
            stop()

    async def _happen(self, event: Event, started_ns: int) -> None:
        from_s = 0.0
        if event.after:
            if not await self._seen(lambda: event.after in self.marks):
                return
            from_s = self.marks[event.after].over_s
        at_ns = started_ns + round((from_s + parse_duration_s(event.at)) * 1e9)
        await asyncio.sleep(max(0, at_ns - monotonic_ns()) / 1e9)
        began_s = (monotonic_ns() - started_ns) / 1e9
        await asyncio.to_thread(self._do, event)
        if event.until and not await self._comes(event.until):
            self._say(f"{event.name or event.at}: `{event.until}` was not seen")
            return
        over_s = (monotonic_ns() - started_ns) / 1e9
        if event.until:
            self._say(f"{over_s:.1f}s: {event.until}")
        if event.name:
            self.marks[event.name] = Mark(began_s, over_s)

    async def _comes(self, line: str) -> bool:
        """Whether the gateway's metrics come to say this before the run ends."""
        expectation = read_expectation(line)
        while not self._ended:
            said = await asyncio.to_thread(self._stage.metrics)
            if said and judge(expectation, of_metrics(said)).met:
                return True
            await asyncio.sleep(LOOK_S)
        return False

    async def _seen(self, what: Callable[[], bool]) -> bool:
        while not what():
            if self._ended:
                return False
            await asyncio.sleep(LOOK_S)
        return True

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
        elif event.configure:
            self._say(f"{event.at}: configure {', '.join(event.configure)}")
            stage.configure(event.configure)

    def sample(self, progress: Progress) -> None:
        if self._stage.gateway is not None:
            self.memory.append((progress.t_s, self._stage.gateway.rss_bytes()))

    async def end(self) -> None:
        """What waits for something waits no longer. Raises what an event raised."""
        self._ended = True
        if self._enough is not None:
            self._enough.cancel()
        await asyncio.gather(*self._tasks)


def play(scenario: Scenario, out: Path, *, duration: str = "", say: Say = print, **commands: str) -> Played:
    """Raises StageError, RunError or ValueError when it cannot be played. `commands`: see Stage."""
    with Stage(scenario, out / "stage", **commands) as stage:
        plan = scenario.plan(stage.url, duration)
        if scenario.slow_readers is not None:
            stage.begin_readers(scenario.slow_readers)
        watcher = _Watcher(stage, scenario.events, say)
        result = asyncio.run(_run(plan, out, watcher, scenario.load.enough))
        beside: Facts = {**stage.end_readers(), **of_metrics(stage.metrics())}
        beside |= of_memory(watcher.memory, result.ran_s)
    report = report_of(result, warmup_s=0.0, name=scenario.says)
    write(report, out)
    verdicts = [verdict(result, one, watcher.marks, beside) for one in scenario.expectations()]
    played = Played(verdicts, report.honesty.reasons)
    (out / "scenario.json").write_bytes(msgspec.json.format(msgspec.json.encode(played), indent=1) + b"\n")
    return played


async def _run(plan: Plan, out: Path, watcher: _Watcher, enough: str) -> RunResult:
    run = Run(plan, out)

    def begin(started_ns: int) -> None:
        watcher.begin(started_ns)
        if enough:
            watcher.enough(parse_duration_s(enough), run.stop)

    result = await run.execute(watcher.sample, begin)
    await watcher.end()
    return result


def verdict(result: RunResult, expectation: Expectation, marks: Mapping[str, Mark], beside: Facts) -> Verdict:
    """What became of it, over its window; `beside` are the facts that have none."""
    zero, lasted_s = result.started_ns, result.ran_s - (SETTLED_S if result.stopped else 0.0)
    edges = expectation.window_s(marks, lasted_s)
    if edges is None or edges[0] >= lasted_s:
        return Verdict(expectation, None, met=False)
    start_s, end_s = edges
    window = Window(zero + round(start_s * 1e9), zero + round(end_s * 1e9), None, "")
    return judge(expectation, of_window(columns(result.records), result.records, window, result.plan.slo) | beside)


def lines(played: Played) -> list[str]:
    """What was expected and what was found, a line each."""
    said = []
    for verdict in played.verdicts:
        found = "nothing" if verdict.found is None else f"{verdict.found:.6g}"
        said.append(f"  {'met   ' if verdict.met else 'MISSED'}  {verdict.expectation.text:<52} found {found}")
    return said + [f"  INVALID  {reason}" for reason in played.reasons]
