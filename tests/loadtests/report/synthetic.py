"""Records of a run that never happened, made from a seed: slow start, a stall, three kinds of failure, two replicas."""

from __future__ import annotations

import numpy as np

from loadtests.client.record import Record
from loadtests.report.model import Report, build_report
from loadtests.statistics.columns import columns
from loadtests.statistics.histogram import LogHistogram
from loadtests.statistics.honesty import Floor, WorkerLoad
from loadtests.statistics.slo import Slo

STARTED_NS = 5_000_000_000


def synthetic_records(rate: float, duration_s: float, seed: int = 1) -> list[Record]:
    """Poisson arrivals, lognormal TTFT with a warm-up of 8 % of the run, ~130 tokens at ~12 ms, 1.5 % failures."""
    rng = np.random.default_rng(seed)
    count = round(rate * duration_s)
    at_s = np.sort(rng.uniform(0, duration_s, count))
    lag_s = rng.gamma(1.5, 0.00006, count)
    warm = 1 + 2.5 * np.exp(-at_s / (0.03 * duration_s))
    stalled = (at_s > 0.62 * duration_s) & (at_s < 0.62 * duration_s + 1.2)
    ttft_s = rng.lognormal(np.log(0.11), 0.42, count) * warm + np.where(stalled, 0.62 * duration_s + 1.2 - at_s, 0.0)
    tokens = np.maximum(1, rng.lognormal(np.log(130), 0.6, count)).astype(int)
    tpot_s = rng.normal(0.0118, 0.0011, count).clip(0.006)
    replica = rng.integers(0, 2, count)
    arm = rng.random(count) < 0.1
    kinds = rng.choice(["", "http_429", "timeout", "in_stream"], count, p=[0.985, 0.009, 0.004, 0.002])
    ti = STARTED_NS + np.round(at_s * 1e9).astype(np.int64)
    ts = ti + np.round(lag_s * 1e9).astype(np.int64)
    c1 = ts + np.round(ttft_s * (1 + 0.35 * replica) * 1e9).astype(np.int64)
    ck = c1 + np.round(tpot_s * (1 + 0.2 * arm) * (tokens - 1) * 1e9).astype(np.int64)
    gap = np.round(rng.lognormal(np.log(0.03), 0.5, count) * 1e9).astype(np.int64)
    records = []
    for i in range(count):
        kind = str(kinds[i])
        if kind:
            status = {"http_429": 429, "in_stream": 200}.get(kind, 0)
            records.append(Record(index=i, ti=int(ti[i]), ts=int(ts[i]), error=kind, status=status))
            continue
        records.append(
            Record(
                index=i,
                ti=int(ti[i]),
                ts=int(ts[i]),
                c1=int(c1[i]),
                ck=int(ck[i]),
                te=int(ck[i]) + 300_000,
                first_content=int(c1[i]),
                status=200,
                chunks=int(tokens[i]),
                tokens=int(tokens[i]) if i % 400 else None,
                asked_tokens=130 if i % 2 else None,
                prompt_tokens=512,
                cached_tokens=384 if i % 3 else 0,
                finish_reason="length" if i % 5 else "stop",
                max_gap_ns=int(gap[i]) if tokens[i] > 1 else 0,
                engine="llama",
                replica=f"10.0.0.{replica[i] + 1}:8000",
                arm="canary" if arm[i] else "control",
                attempts=1 + (i % 97 == 0),
            )
        )
    return records


def synthetic_gaps(count: int = 20_000, seed: int = 2) -> LogHistogram:
    gaps = LogHistogram()
    gaps.extend([int(gap) for gap in np.random.default_rng(seed).lognormal(np.log(11.5e6), 0.25, count)])
    return gaps


def synthetic_report(rate: float = 50, duration_s: float = 120, seed: int = 1, cpu: float = 0.4) -> Report:
    records = synthetic_records(rate, duration_s, seed)
    samples = np.random.default_rng(seed).normal(cpu, 0.05, (2, round(duration_s))).clip(0, 1)
    return build_report(
        columns(records),
        title=f"llama-3.1-8b at {rate:g} requests/s, Poisson",
        created="2026-03-14T09:26:53+00:00",
        facts={
            "Target": "http://127.0.0.1:8080/v1/chat/completions",
            "Model": "llama-3.1-8b",
            "Arrivals": f"Poisson, {rate:g}/s, seed {seed}",
            "Duration": f"{duration_s:g} s",
            "Workload": "synthetic, 16 shared prefixes (Zipf 1.1)",
            "Client": "2 workers",
        },
        started_ns=STARTED_NS,
        duration_s=duration_s,
        open_loop=True,
        slo=Slo(ttft_s=0.5, tpot_s=0.05),
        chunk_gaps=synthetic_gaps(),
        workers=[WorkerLoad(w, samples[w].tolist(), 0.0031 + w / 1000) for w in range(2)],
        floor=Floor(0.00021, 0.00064, 0.000012, 0.00011, 41_200.0, 3_900.0),
    )
