"""Whether the numbers of a run may be believed: was the load delivered as planned, and was the client in its own way?

A saturated client shows up as a slow server. So the client's own lag, drops, CPU and floor stand on page one, and a run
that breaks a limit is INVALID, with the reason and exit code 3, whatever its latencies look like.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from loadtests.statistics.columns import Columns
from loadtests.statistics.spread import Spread, spread

SEND_LAG_P99_LIMIT_S = 0.005
CPU_LIMIT_RATIO = 0.85
ACHIEVED_LIMIT_RATIO = 0.99

FLOOR_SHARE = 0.5
"""Above this share of the measured median the client's own floor is most of the number: a warning, not a verdict."""

EXIT_VALID = 0
EXIT_INVALID = 3


class WorkerLoad(msgspec.Struct, frozen=True):
    """What one client process says of itself: CPU share of one core in each second, the longest stall of its loop."""

    worker: int
    cpu_ratio: list[float]
    loop_stall_s: float | None = None


class Floor(msgspec.Struct, frozen=True):
    """What the client measures against a server that does nothing: it cannot see less than this."""

    ttft_p50_s: float
    ttft_p99_s: float
    chunk_gap_p50_s: float | None = None
    chunk_gap_p99_s: float | None = None
    events_per_s: float | None = None
    """Most SSE events per second that one client core read."""
    requests_per_s: float | None = None


class WorkerHonesty(msgspec.Struct, frozen=True):
    """CPU of one client process over its one-second samples; None when the run was too short to have one."""

    worker: int
    cpu_mean_ratio: float | None
    cpu_p95_ratio: float | None
    cpu_max_ratio: float | None
    loop_stall_s: float | None


class Honesty(msgspec.Struct, frozen=True):
    """The block on page one. Offered rate is None for a closed loop, which offers whatever the target lets it."""

    valid: bool
    reasons: list[str]
    """Why it is invalid; empty when it is valid."""
    warnings: list[str]
    scheduled: int
    sent: int
    drops: int
    offered_per_s: float | None
    achieved_per_s: float
    achieved_ratio: float | None
    send_lag: Spread | None
    workers: list[WorkerHonesty]
    floor: Floor | None

    @property
    def verdict(self) -> str:
        return "VALID" if self.valid else "INVALID"

    @property
    def exit_code(self) -> int:
        return EXIT_VALID if self.valid else EXIT_INVALID


def examine(
    run: Columns,
    started_ns: int,
    duration_s: float,
    *,
    open_loop: bool,
    workers: Sequence[WorkerLoad] = (),
    floor: Floor | None = None,
) -> Honesty:
    """Judge a whole run, warm-up included: `duration_s` of schedule from `started_ns`."""
    # What was due before the end and left within the permitted lag was delivered: the last arrival must not decide.
    end_ns = started_ns + round((duration_s + SEND_LAG_P99_LIMIT_S) * 1e9)
    scheduled = len(run)
    sent = int(run.sent.sum())
    in_time = int((run.sent & (run.ts < end_ns)).sum())
    drops = int(run.error.equals("dropped").sum())
    lag = spread(run.send_lag_s)
    achieved_ratio = in_time / scheduled if open_loop and scheduled else None
    judged = [_worker(load) for load in workers]

    reasons = []
    if scheduled == 0:
        reasons.append("no request was scheduled")
    if lag is not None and lag.at(0.99) > SEND_LAG_P99_LIMIT_S:
        reasons.append(
            f"client-bound: send lag p99 {lag.at(0.99) * 1e3:.1f} ms is above {SEND_LAG_P99_LIMIT_S * 1e3:.0f} ms"
        )
    reasons += [
        f"client-bound: worker {worker.worker} used {worker.cpu_p95_ratio * 100:.0f} % of a core"
        f" (95th percentile of seconds), above {CPU_LIMIT_RATIO * 100:.0f} %"
        for worker in judged
        if worker.cpu_p95_ratio is not None and worker.cpu_p95_ratio > CPU_LIMIT_RATIO
    ]
    starved = int(run.error.equals("client_limit").sum())
    if starved:
        reasons.append(f"client-bound: {starved:,} requests found no descriptor or port left on this machine")
    if achieved_ratio is not None and achieved_ratio < ACHIEVED_LIMIT_RATIO:
        reasons.append(
            f"load not delivered: {in_time:,} of {scheduled:,} scheduled requests were sent in time"
            f" ({achieved_ratio * 100:.1f} %, below {ACHIEVED_LIMIT_RATIO * 100:.0f} %;"
            f" {drops:,} dropped by the client)"
        )
    return Honesty(
        valid=not reasons,
        reasons=reasons,
        warnings=_warnings(run, judged, floor, drops),
        scheduled=scheduled,
        sent=sent,
        drops=drops,
        offered_per_s=scheduled / duration_s if open_loop else None,
        achieved_per_s=in_time / duration_s,
        achieved_ratio=achieved_ratio,
        send_lag=lag,
        workers=judged,
        floor=floor,
    )


def _worker(load: WorkerLoad) -> WorkerHonesty:
    if not load.cpu_ratio:
        return WorkerHonesty(load.worker, None, None, None, load.loop_stall_s)
    samples = spread(np.asarray(load.cpu_ratio, dtype=np.float64), (0.95,))
    assert samples is not None
    return WorkerHonesty(load.worker, samples.mean_s, samples.at(0.95), samples.max_s, load.loop_stall_s)


def _warnings(run: Columns, workers: list[WorkerHonesty], floor: Floor | None, drops: int) -> list[str]:
    warnings = []
    if drops:
        warnings.append(f"the client dropped {drops:,} requests at its in-flight limit; they count as failures")
    if not workers or any(worker.cpu_mean_ratio is None for worker in workers):
        warnings.append("client CPU is not known: the run has no one-second sample of every worker")
    if floor is None:
        warnings.append("the client's floor was not measured")
        return warnings
    ttft = spread(run.ttft_service_s[run.ok & run.stream], (0.5,))
    if ttft is not None and floor.ttft_p50_s > FLOOR_SHARE * ttft.at(0.5):
        part = floor.ttft_p50_s / ttft.at(0.5) * 100
        warnings.append(
            f"the client's own floor ({floor.ttft_p50_s * 1e3:.2f} ms) is {part:.0f} % of the"
            " median service TTFT: this measures the client as much as the target"
        )
    return warnings
