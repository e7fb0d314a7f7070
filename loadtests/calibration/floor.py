"""The client's own floor: what it measures, on this machine and now, against a server that does nothing.

Two short runs against the null server: 200 requests/s for the latency that the client itself adds, and as many streams
as one core can read. The server has cores of its own where there are any.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from msgspec.structs import replace

from loadtests.calibration.null_server import MODEL, null_server
from loadtests.run.run import execute
from loadtests.schedule.arrivals import Poisson
from loadtests.schedule.plan import Plan
from loadtests.statistics.columns import columns
from loadtests.statistics.honesty import Floor
from loadtests.statistics.spread import pooled_spread, spread
from loadtests.workloads.spec import Synthetic

RATE_PER_S = 200.0
LATENCY_S = 2.0
USERS = 32
CAPACITY_S = 2.0
STREAMED = Synthetic(own_words=8, output_tokens=100)


def measure_floor(cores: tuple[int, ...] = ()) -> Floor:
    """About six seconds. `cores`: those of the client's workers; the null server takes the others, if any are left."""
    available = os.sched_getaffinity(0)
    client = cores[0] if cores else max(available)
    others = available - {client} or available
    base = Plan(
        target="http://127.0.0.1", model=MODEL, workload_spec=STREAMED, cores=(client,), drain_s=5.0, timeout_s=10.0
    )
    with null_server(others) as url, tempfile.TemporaryDirectory() as directory:
        quiet = replace(base, target=url, arrivals=Poisson(rate_per_s=RATE_PER_S), duration_s=LATENCY_S)
        result = execute(quiet, Path(directory))
        run = columns(result.records)
        ttft = spread(run.ttft_service_s[run.ok], (0.5, 0.99))
        gap = pooled_spread(result.chunk_gaps(), (0.5, 0.99))
        full = replace(base, target=url, users=USERS, duration_s=CAPACITY_S)
        busy = execute(full, Path(directory))
        events = sum(record.chunks for record in busy.records if not record.error)
        answered = [record.te for record in busy.records if not record.error]
    if ttft is None or gap is None or not answered:
        raise RuntimeError("the null server answered nothing")
    busy_s = (max(answered) - busy.started_ns) / 1e9
    return Floor(
        ttft_p50_s=ttft.at(0.5),
        ttft_p99_s=ttft.at(0.99),
        chunk_gap_p50_s=gap.at(0.5),
        chunk_gap_p99_s=gap.at(0.99),
        events_per_s=events / busy_s,
        requests_per_s=len(answered) / busy_s,
    )
