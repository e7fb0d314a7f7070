"""A run: the plan's workers as processes of their own, started at one moment, and their records put together.

Workers are started by command, never forked: a fork shares an event loop and a random state that were not made for it.
All of them derive the same schedule, which is checked before the start, and each sends its share: the union is the
schedule, whatever their number. A worker that ends without a result makes the run fail: half a load is no load.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from time import monotonic_ns

import msgspec

from loadtests.client.record import Record, read_records
from loadtests.client.worker import Progress, Ready, WorkerResult
from loadtests.schedule.plan import Plan
from loadtests.statistics.histogram import LogHistogram
from loadtests.statistics.honesty import WorkerLoad

START_NS = 100_000_000
"""From the last worker's "ready" to the first arrival: time for the word to reach them all."""
READY_S = 120.0
STOP_S = 10.0
_LINE_BYTES = 1 << 20
_PATH = os.pathsep.join(filter(None, (str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH"))))


class RunError(Exception):
    """The run could not be made; the message is for the user."""


class RunResult(msgspec.Struct):
    """Everything that summary, report and comparison need."""

    plan: Plan
    records: list[Record]
    """By intended send, then index and turn."""
    workers: list[WorkerResult]
    started_ns: int
    """The schedule's zero, on the clock of the records."""
    stopped: bool = False
    """Ended early, by the caller: `ran_s` says when."""
    ran_s: float = 0.0
    """Seconds of the schedule that were sent: the plan's duration unless stopped."""

    def chunk_gaps(self) -> LogHistogram:
        """All pauses between chunks, of all workers, ns."""
        merged = LogHistogram()
        for worker in self.workers:
            merged.merge(LogHistogram.from_json(worker.chunk_gaps))
        return merged

    def loads(self) -> list[WorkerLoad]:
        """What the honesty block needs."""
        return [WorkerLoad(worker.worker, worker.cpu_ratio, worker.loop_stall_s) for worker in self.workers]


class _Saved(msgspec.Struct):
    """`run.json`: a RunResult without its records."""

    plan: Plan
    workers: list[WorkerResult]
    started_ns: int
    stopped: bool
    ran_s: float


OnProgress = Callable[[Progress], None]


class Run:
    """One run of a plan, in a directory. Call `execute` once; `stop` may be called from its callback."""

    def __init__(self, plan: Plan, out: Path) -> None:
        """Writes `plan.json`, then `records.jsonl` and `run.json` into `out`, which is made if it is missing."""
        self.plan = plan
        self.out = out
        self._processes: list[asyncio.subprocess.Process] = []
        self._latest: dict[int, dict[int, Progress]] = {}
        self._stopped = False

    def stop(self) -> None:
        """End early: nothing more is sent, what is in flight is given up, all records are kept."""
        self._stopped = True
        for process in self._processes:
            if process.stdin is not None:
                process.stdin.close()

    async def execute(
        self, on_progress: OnProgress | None = None, on_start: Callable[[int], None] | None = None
    ) -> RunResult:
        """Run it. `on_start` gets the schedule's zero, `on_progress` the sum over the workers each second. Raises
        RunError.

        Cancelled, it ends the workers and raises: what they had is in their own files.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        path = self.out / "plan.json"
        path.write_bytes(self.plan.to_json())
        for stale in (*self.out.glob("records-*.jsonl"), *self.out.glob("worker-*.json")):
            stale.unlink()
        try:
            for worker in range(self.plan.workers):
                self._processes.append(await self._start(path, worker))
            readies = await asyncio.gather(*(self._ready(worker) for worker in range(self.plan.workers)))
            if len({ready.fingerprint for ready in readies}) != 1:
                raise RunError("the workers have different schedules")
            if self._stopped:
                raise RunError("stopped before the start: nothing was sent")
            started_ns = monotonic_ns() + START_NS
            for process in self._processes:
                assert process.stdin is not None
                if not process.stdin.is_closing():
                    process.stdin.write(b"%d\n" % started_ns)
            if on_start is not None:
                on_start(started_ns)
            workers = range(self.plan.workers)
            await asyncio.gather(*(self._follow(worker, on_progress) for worker in workers))
            codes = await asyncio.gather(*(process.wait() for process in self._processes))
            if any(codes):
                worker = next(worker for worker, code in enumerate(codes) if code)
                raise RunError(f"worker {worker} failed: {await self._last_words(worker)}")
        finally:
            await self._end()
        return self._merge(started_ns)

    async def _start(self, plan: Path, worker: int) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        argv = [sys.executable, "-P", "-m", "loadtests.client.worker"]
        argv += [str(plan), str(self.out), "--worker", str(worker)]
        # A session of its own: an interrupt from the terminal is for us, and we end the workers in order.
        return await asyncio.create_subprocess_exec(
            *argv,
            "--coordinated",
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            limit=_LINE_BYTES,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": _PATH},
        )

    async def _ready(self, worker: int) -> Ready:
        stdout = self._processes[worker].stdout
        assert stdout is not None
        try:
            line = await asyncio.wait_for(stdout.readline(), READY_S)
        except TimeoutError:
            raise RunError(f"worker {worker} was not ready within {READY_S:g} s") from None
        if not line:
            raise RunError(await self._last_words(worker))
        return msgspec.json.decode(line, type=Ready)

    async def _follow(self, worker: int, on_progress: OnProgress | None) -> None:
        stdout = self._processes[worker].stdout
        assert stdout is not None
        tick = 0
        while line := await stdout.readline():
            at_tick = self._latest.setdefault(tick, {})
            at_tick[worker] = msgspec.json.decode(line, type=Progress)
            tick += 1
            if len(at_tick) == self.plan.workers:
                del self._latest[tick - 1]
                if on_progress is not None:
                    on_progress(added(list(at_tick.values())))

    async def _last_words(self, worker: int) -> str:
        stderr = self._processes[worker].stderr
        assert stderr is not None
        lines = (await stderr.read()).decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"worker {worker} ended without a word"

    async def _end(self) -> None:
        for process in self._processes:
            if process.stdin is not None:
                process.stdin.close()
        waiting = [asyncio.ensure_future(process.wait()) for process in self._processes]
        if not waiting:
            return
        _, late = await asyncio.wait(waiting, timeout=STOP_S)
        if late:
            for process in self._processes:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
            await asyncio.wait(waiting)

    def _merge(self, started_ns: int) -> RunResult:
        records: list[Record] = []
        workers: list[WorkerResult] = []
        with (self.out / "records.jsonl").open("wb") as whole:
            for worker in range(self.plan.workers):
                part = self.out / f"records-{worker}.jsonl"
                whole.write(part.read_bytes())
                records += read_records(part)
                result = self.out / f"worker-{worker}.json"
                workers.append(msgspec.json.decode(result.read_bytes(), type=WorkerResult))
                part.unlink()
                result.unlink()
        stopped = any(worker.stopped for worker in workers)
        ran_s = min(self.plan.duration_s, max(worker.wall_s for worker in workers)) if stopped else self.plan.duration_s
        saved = _Saved(self.plan, workers, started_ns, stopped, ran_s)
        (self.out / "run.json").write_bytes(msgspec.json.encode(saved))
        return _result(saved, records)


def _result(saved: _Saved, records: list[Record]) -> RunResult:
    records.sort(key=attrgetter("ti", "index", "turn"))
    return RunResult(saved.plan, records, saved.workers, saved.started_ns, saved.stopped, saved.ran_s)


def execute(plan: Plan, out: Path, on_progress: OnProgress | None = None) -> RunResult:
    """`Run.execute` for callers without a loop. Raises RunError."""
    return asyncio.run(Run(plan, out).execute(on_progress))


def load_run(out: Path) -> RunResult:
    """A run made earlier, from its directory. Raises ValueError with one sentence."""
    try:
        saved = msgspec.json.decode((out / "run.json").read_bytes(), type=_Saved)
        return _result(saved, read_records(out / "records.jsonl"))
    except (OSError, msgspec.MsgspecError) as error:
        raise ValueError(f"{out} holds no run: {error}") from None


def added(parts: list[Progress]) -> Progress:
    total = Progress(t_s=max(part.t_s for part in parts), cpu_ratio=max(part.cpu_ratio for part in parts))
    latency: dict[str, LogHistogram] = {}
    errors: dict[str, int] = {}
    for part in parts:
        for name in ("sent", "done", "failed", "good", "dropped", "in_flight", "chunks", "tokens"):
            setattr(total, name, getattr(total, name) + getattr(part, name))
        for name, data in part.latency.items():
            latency.setdefault(name, LogHistogram()).merge(LogHistogram.from_json(data))
        for kind, count in part.errors.items():
            errors[kind] = errors.get(kind, 0) + count
    total.latency = {name: histogram.to_json() for name, histogram in latency.items()}
    total.errors = errors
    return total
