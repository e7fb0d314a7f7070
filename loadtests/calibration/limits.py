"""How far the client itself can go on one core, and what its report costs (`make bench-load`).

Three figures, each against a bound: SSE events per second read from the null server, the send lag of 2,000 short
requests per second offered open loop, and the seconds that the report of a ten-minute run at 1,000 requests/s takes.
The records of that run are those of a real short one, repeated: what a report costs does not depend on what they say.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import msgspec
from msgspec.structs import replace

from loadtests.calibration.null_server import MODEL, null_server
from loadtests.client.record import RecordWriter
from loadtests.processes.machine import alone
from loadtests.run.outcome import report_of, write
from loadtests.run.run import RunResult, execute, load_run
from loadtests.schedule.arrivals import Constant, Poisson
from loadtests.schedule.plan import Plan
from loadtests.statistics.columns import columns
from loadtests.statistics.honesty import examine
from loadtests.workloads.spec import Synthetic

EVENTS_PER_S = 30_000.0
REQUESTS_PER_S = 2_000.0
LAG_P99_S = 0.005
REPORT_S = 5.0
LONG_S = 600.0
LONG_RATE = 1_000.0
STREAMED = Synthetic(own_words=8, output_tokens=100)
PLAIN = Synthetic(own_words=8, output_tokens=8, stream=False)


def events(base: Plan, out: Path) -> tuple[str, bool]:
    """32 users who read streams of 100 content events as fast as they come."""
    result = execute(replace(base, users=32, workload_spec=STREAMED), out)
    seconds = (max(record.te for record in result.records) - result.started_ns) / 1e9
    failed = sum(bool(record.error) for record in result.records)
    per_s = sum(record.chunks for record in result.records) / seconds
    cpu = sum(worker.cpu_s for worker in result.workers) / seconds
    said = f"{per_s:,.0f} content events/s, client {cpu:.0%} of a core, {failed} failed"
    return said, per_s > EVENTS_PER_S and not failed


def requests(base: Plan, out: Path, rate: float, arrivals: str) -> tuple[str, bool]:
    """Short plain requests at a rate that the schedule decides."""
    spec = Poisson(rate_per_s=rate) if arrivals == "poisson" else Constant(rate_per_s=rate)
    result = execute(replace(base, arrivals=spec, workload_spec=PLAIN), out)
    run = columns(result.records)
    honesty = examine(run, result.started_ns, result.ran_s, open_loop=True, workers=result.loads())
    lag = honesty.send_lag
    assert lag is not None
    cpu = sum(worker.cpu_s for worker in result.workers) / sum(worker.wall_s for worker in result.workers)
    said = (
        f"send lag p50 {lag.at(0.5) * 1e3:.2f}, p99 {lag.at(0.99) * 1e3:.2f}, max {lag.max_s * 1e3:.2f} ms;"
        f" achieved {honesty.achieved_ratio or 0:.2%}, client {cpu:.0%} of a core, {int((~run.ok).sum())} failed"
    )
    return said, lag.at(0.99) < LAG_P99_S and (honesty.achieved_ratio or 0) >= 0.99


def report(base: Plan, out: Path) -> tuple[str, bool]:
    """From the records on disk to the two files of a ten-minute run."""
    short = execute(replace(base, arrivals=Poisson(rate_per_s=300.0), workload_spec=STREAMED, duration_s=4.0), out)
    count = lengthen(short, out)
    before = time.perf_counter()
    result = load_run(out)
    loaded = time.perf_counter()
    write(report_of(result), out)
    done = time.perf_counter()
    said = f"{count:,} records: {loaded - before:.2f} s to read them, {done - loaded:.2f} s to judge, sum up and draw"
    return said, done - before < REPORT_S


def lengthen(short: RunResult, out: Path) -> int:
    """Write `short`, repeated over LONG_S at LONG_RATE, into its directory; the number of records."""
    count = round(LONG_S * LONG_RATE)
    step_ns = round(1e9 / LONG_RATE)
    with RecordWriter(out / "records.jsonl") as writer:
        for index in range(count):
            record = short.records[index % len(short.records)]
            shift = short.started_ns + index * step_ns - record.ti
            stamps = {
                name: getattr(record, name) + shift if getattr(record, name) else 0
                for name in ("ti", "ts", "c1", "ck", "te", "first_content", "first_reasoning")
            }
            writer.write(replace(record, index=index, replica=f"10.0.0.{index % 8}:8000", **stamps))
    saved = msgspec.json.decode((out / "run.json").read_bytes())
    saved["ran_s"] = saved["plan"]["duration_s"] = LONG_S
    (out / "run.json").write_bytes(msgspec.json.encode(saved))
    return count


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="make bench-load", description="What the load client can do.")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each run")
    parser.add_argument("--rate", type=float, default=REQUESTS_PER_S, help="short requests per second")
    options = parser.parse_args(argv)
    cores = sorted(os.sched_getaffinity(0))
    base = Plan(
        target="http://127.0.0.1", model=MODEL, duration_s=options.seconds, drain_s=5.0, cores=(cores[-1],), seed=1
    )
    met = True
    with alone(), null_server(set(cores[:-1]) or set(cores)) as url, tempfile.TemporaryDirectory() as directory:
        base, out = replace(base, target=url), Path(directory)
        for name, (said, good) in (
            (f"events, over {EVENTS_PER_S:,.0f}/s", events(base, out)),
            (f"{options.rate:,.0f} requests/s, evenly spaced", requests(base, out, options.rate, "constant")),
            (f"{options.rate:,.0f} requests/s, Poisson", requests(base, out, options.rate, "poisson")),
            (f"report of {LONG_S / 60:.0f} minutes, under {REPORT_S:g} s", report(base, out)),
        ):
            met = met and good
            print(f"{'met   ' if good else 'MISSED'}  {name:<34} {said}", flush=True)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
