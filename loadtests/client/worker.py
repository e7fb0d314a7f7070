"""One client process: its share of the plan, on one core, measured while it measures.

`python -m loadtests.client.worker PLAN.json OUT [--worker W]` sends arrivals w, w + W, ... of the one schedule, and
writes `OUT/records-W.jsonl` and `OUT/worker-W.json`. With `--coordinated` it says on standard output when it is ready,
waits for the common start on standard input, and reports each second. It ends early, its records kept, when standard
input does: a client whose parent is gone sends nothing more.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import itertools
import os
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic_ns, process_time_ns
from typing import Any

import msgspec
import numpy as np
import uvloop

from loadtests.client.client import Client, Target
from loadtests.client.dispatch import Ahead, ClosedLoop, Dispatcher, OpenLoop
from loadtests.client.record import Record, RecordWriter
from loadtests.schedule.arrivals import fingerprint, shard
from loadtests.schedule.plan import Plan, read_plan
from loadtests.statistics.histogram import LogHistogram
from loadtests.statistics.slo import Slo
from loadtests.workloads.workload import Workload

LATENCIES = ("send_lag", "ttft", "ttft_service", "e2e", "e2e_service", "tpot", "chunk_gap")
"""What is kept of each second: times from the intended send, and of service from the actual one."""
SAMPLE_S = 1.0
HEARTBEAT_S = 0.02
STDIN, STDOUT = 0, 1


class Progress(msgspec.Struct, kw_only=True):
    """The run so far, after `t_s` seconds; of one worker, or of all together. Latencies: of the last second."""

    worker: int = -1
    t_s: float
    sent: int = 0
    done: int = 0
    failed: int = 0
    good: int = 0
    """Of `done`: within the plan's SLO."""
    dropped: int = 0
    in_flight: int = 0
    chunks: int = 0
    tokens: int = 0
    cpu_ratio: float = 0.0
    """Of one core; the busiest worker's when added up."""
    latency: dict[str, dict[str, Any]] = {}
    """LogHistogram JSON by the names in LATENCIES, ns, over the requests that ended in the last second."""
    errors: dict[str, int] = {}
    """By kind, of the last second."""


class Ready(msgspec.Struct, kw_only=True):
    """What a coordinated worker says first."""

    fingerprint: str
    scheduled: int


class WorkerResult(msgspec.Struct, kw_only=True):
    """What a worker says of itself when it is done."""

    worker: int
    scheduled: int
    """Arrivals of its share; 0 in a closed loop."""
    sent: int
    drops: int
    stopped: bool
    """Told to end early: arrivals that were not due yet have no record."""
    started_ns: int
    wall_s: float
    cpu_s: float
    cpu_ratio: list[float]
    """CPU over time, for each second."""
    loop_stall_s: float
    """The longest time the loop was late for its heartbeat."""
    chunk_gaps: dict[str, Any]
    """LogHistogram JSON, ns: all pauses between chunks, warm-up included."""


class Tally:
    """Takes every record: counts it, feeds the histograms, writes it down."""

    def __init__(self, writer: RecordWriter, slo: Slo) -> None:
        self._writer = writer
        self._met_by = slo.met_by
        self._chunk_gaps = LogHistogram()
        self._latency = {name: LogHistogram() for name in LATENCIES}
        self._errors: dict[str, int] = {}
        self._told: set[str] = set()
        """Kinds of failure with an example."""
        self.done = self.failed = self.good = self.chunks = self.tokens = 0

    def take(self, record: Record) -> None:
        """About 4 us, and 0.3 us per chunk."""
        self.done += 1
        if record.error:
            self.failed += 1
            if record.said:
                if record.error in self._told:
                    record.said = ""
                self._told.add(record.error)
            self._errors[record.error] = self._errors.get(record.error, 0) + 1
        elif self._met_by(record):
            self.good += 1
        latency = self._latency
        if record.ts:
            latency["send_lag"].add(record.ts - record.ti)
        if record.c1:
            self.chunks += record.chunks
            latency["chunk_gap"].extend(record.gaps)
        if record.tokens is not None:
            self.tokens += record.tokens
        if not record.error:
            if record.c1:
                latency["ttft"].add(record.c1 - record.ti)
                latency["ttft_service"].add(record.c1 - record.ts)
            latency["e2e"].add(record.te - record.ti)
            latency["e2e_service"].add(record.te - record.ts)
            if record.stream and record.c1 and record.tokens is not None and record.tokens > 1:
                latency["tpot"].add((record.ck - record.c1) // (record.tokens - 1))
        self._writer.write(record)

    def last_second(self) -> tuple[dict[str, LogHistogram], dict[str, int]]:
        """Latencies of answered requests, and failures by kind, since this was called before."""
        last = self._latency, self._errors
        self._chunk_gaps.merge(self._latency["chunk_gap"])
        self._latency, self._errors = {name: LogHistogram() for name in LATENCIES}, {}
        return last

    def chunk_gaps(self) -> LogHistogram:
        """Of the whole run so far."""
        whole = LogHistogram()
        whole.merge(self._chunk_gaps)
        whole.merge(self._latency["chunk_gap"])
        return whole


class Watch:
    """CPU of this process for each second, and the stalls of its loop."""

    def __init__(self, start_ns: int, on_second: Callable[[float], None]) -> None:
        """`on_second` gets the CPU share of each second since `start_ns`."""
        self.cpu_ratio: list[float] = []
        self.stall_ns = 0
        self._on_second = on_second
        self._loop = asyncio.get_running_loop()
        self._cpu_ns, self._at_ns = process_time_ns(), monotonic_ns()
        self._beat_ns = self._at_ns
        self._timer = self._loop.call_later(HEARTBEAT_S, self._beat)
        self._ticks = self._loop.call_later(max(0.0, (start_ns - self._at_ns) / 1e9) + SAMPLE_S, self._tick)

    def _tick(self) -> None:
        self._ticks = self._loop.call_later(SAMPLE_S, self._tick)
        self._on_second(self.sample())

    def _beat(self) -> None:
        now = monotonic_ns()
        self.stall_ns = max(self.stall_ns, now - self._beat_ns - round(HEARTBEAT_S * 1e9))
        self._beat_ns = now
        self._timer = self._loop.call_later(HEARTBEAT_S, self._beat)

    def sample(self) -> float:
        """CPU share of one core since the sample before; one of a part of a second is not kept."""
        cpu_ns, at_ns = process_time_ns(), monotonic_ns()
        length_ns = max(1, at_ns - self._at_ns)
        ratio = (cpu_ns - self._cpu_ns) / length_ns
        self._cpu_ns, self._at_ns = cpu_ns, at_ns
        if length_ns >= SAMPLE_S * 1e9 / 2:
            self.cpu_ratio.append(round(ratio, 4))
        return ratio

    def close(self) -> None:
        self._timer.cancel()
        self._ticks.cancel()


class Share:
    """The part of a plan that one worker runs, with all that can be made before the start."""

    def __init__(self, plan: Plan, worker: int) -> None:
        """Raises ValueError with one sentence for a plan that cannot be run."""
        self.plan, self.worker = plan, worker
        self.target = Target.parse(plan.target)
        self.headers = plan.wire_headers(os.environ)
        self.workload: Workload = plan.make_workload()
        whole = plan.offsets() if plan.open_loop else np.zeros(0, dtype=np.int64)
        indexes, self.offsets = shard(whole, worker, plan.workers)
        self.ready = Ready(fingerprint=fingerprint(whole), scheduled=len(indexes))
        numbers: Iterator[int] = iter(indexes.tolist()) if plan.open_loop else itertools.count(worker, plan.workers)
        self.ahead = Ahead(self.workload, numbers)
        if plan.open_loop:
            self.ahead.fill()
        else:
            for _ in range(min(10_000, 20 * plan.users)):
                self.ahead.make_one()

    def dispatcher(self, client: Client, tally: Tally, start_ns: int) -> Dispatcher:
        plan = self.plan
        end_ns = start_ns + round(plan.duration_s * 1e9)
        if plan.open_loop:
            return OpenLoop(
                client,
                self.workload,
                self.ahead,
                tally.take,
                arrivals_ns=(self.offsets + start_ns).tolist(),
                end_ns=end_ns,
                max_in_flight=plan.share(plan.max_in_flight, self.worker),
            )
        step_ns = plan.ramp_s * 1e9 / plan.users
        starts = [start_ns + round(step_ns * user) for user in range(self.worker, plan.users, plan.workers)]
        return ClosedLoop(
            client, self.workload, self.ahead, tally.take, starts_ns=starts, end_ns=end_ns, think_s=plan.think_s
        )


async def work(share: Share, out: Path, start_ns: int, coordinated: bool) -> WorkerResult:
    """Run the share from `start_ns` on. Raises what the workload or the disk raises."""
    plan, loop = share.plan, asyncio.get_running_loop()
    client = Client(
        share.target, timeout_s=plan.timeout_s, connect_timeout_s=plan.connect_timeout_s, headers=share.headers
    )
    stopped = False
    with RecordWriter(out / f"records-{share.worker}.jsonl", plan.keep_gaps) as writer:
        tally = Tally(writer, plan.slo)
        dispatcher = share.dispatcher(client, tally, start_ns)
        cpu_ns = process_time_ns()

        def stop() -> None:
            nonlocal stopped
            loop.remove_reader(STDIN)
            stopped = True
            dispatcher.stop()
            client.give_up_all()

        def report(cpu_ratio: float) -> None:
            if coordinated:
                _say(_progress(share.worker, start_ns, dispatcher, tally, cpu_ratio))

        watch = Watch(start_ns, report)
        if coordinated:
            loop.add_reader(STDIN, stop)
        over_ns = start_ns + round((plan.duration_s + plan.drain_s) * 1e9)
        drained = loop.call_later(max(0.0, (over_ns - monotonic_ns()) / 1e9), client.give_up_all)
        try:
            await dispatcher.run()
        finally:
            drained.cancel()
            if coordinated and not stopped:
                loop.remove_reader(STDIN)
            report(watch.sample())
            watch.close()
            await client.close()
    return WorkerResult(
        worker=share.worker,
        scheduled=share.ready.scheduled,
        sent=dispatcher.sent,
        drops=dispatcher.drops,
        stopped=stopped,
        started_ns=start_ns,
        wall_s=(monotonic_ns() - start_ns) / 1e9,
        cpu_s=(process_time_ns() - cpu_ns) / 1e9,
        cpu_ratio=watch.cpu_ratio,
        loop_stall_s=watch.stall_ns / 1e9,
        chunk_gaps=tally.chunk_gaps().to_json(),
    )


def _progress(worker: int, start_ns: int, dispatcher: Dispatcher, tally: Tally, cpu_ratio: float) -> Progress:
    latency, errors = tally.last_second()
    return Progress(
        worker=worker,
        t_s=(monotonic_ns() - start_ns) / 1e9,
        sent=dispatcher.sent,
        done=tally.done,
        failed=tally.failed,
        good=tally.good,
        dropped=dispatcher.drops,
        in_flight=dispatcher.in_flight,
        chunks=tally.chunks,
        tokens=tally.tokens,
        cpu_ratio=cpu_ratio,
        latency={name: histogram.to_json() for name, histogram in latency.items() if histogram.count},
        errors=errors,
    )


def _say(message: msgspec.Struct) -> None:
    line = memoryview(msgspec.json.encode(message) + b"\n")
    with contextlib.suppress(BrokenPipeError):  # then standard input ends too, and that is heeded
        while line:
            line = line[os.write(STDOUT, line) :]


def _raise_descriptor_limit() -> None:
    """A stream holds a descriptor; the usual soft limit of 1,024 would be an in-flight limit nobody asked for."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.client.worker", description="One client process of a load test."
    )
    parser.add_argument("plan", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--worker", type=int, default=0)
    parser.add_argument("--coordinated", action="store_true", help="wait for the start on standard input")
    options = parser.parse_args(argv)
    _raise_descriptor_limit()
    try:
        plan = read_plan(options.plan)
        if plan.cores and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {plan.cores[options.worker % len(plan.cores)]})
        share = Share(plan, options.worker)
    except (ValueError, OSError) as error:
        print(f"worker {options.worker}: {error}", file=sys.stderr)
        return 2
    gc.collect()
    gc.freeze()  # what exists now is never walked again: a full pass over 30,000 prepared requests takes 20 ms
    start_ns = monotonic_ns() + 50_000_000
    if options.coordinated:
        _say(share.ready)
        line = os.read(STDIN, 100)
        if not line.strip().isdigit():
            return 0  # the parent has changed its mind
        start_ns = int(line)
    result = uvloop.run(work(share, options.out, start_ns, options.coordinated))
    (options.out / f"worker-{options.worker}.json").write_bytes(msgspec.json.encode(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
