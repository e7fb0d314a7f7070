"""What a run measured, by the definitions that the package's README publishes.

Two rules keep it honest. Latency is that of requests answered without an error, with their number beside it; attainment
and goodput are over every request *scheduled* in the window, so a target that sheds cannot look fast. And a number that
the server did not give (token counts) is counted as unknown, never computed from chunks.
"""

from __future__ import annotations

import msgspec
import numpy as np

from loadtests.statistics.columns import UNKNOWN, Bools, Coded, Columns
from loadtests.statistics.histogram import LogHistogram
from loadtests.statistics.intervals import Proportion, wilson
from loadtests.statistics.slo import Slo
from loadtests.statistics.spread import Spread, pooled_spread, spread
from loadtests.statistics.window import Window

SPLIT_LIMIT = 64
"""Groups listed per split, the busiest first: a report of a thousand replicas must still open on a phone."""


class Tokens(msgspec.Struct, frozen=True):
    """Token counts that the server reported, over answered requests."""

    completion: int
    prompt: int
    cached: int
    unknown: int
    """Answers without a completion count."""
    cached_ratio: float | None
    """Cached over prompt tokens, where both were reported."""


class OutputLength(msgspec.Struct, frozen=True):
    """Whether the work was the work asked for: an answer that stops early is a cheaper answer."""

    asked: int
    """Answers whose request set `max_tokens` and whose count is known."""
    short: int
    """Of those, answers with fewer tokens than asked."""
    produced_ratio: float | None
    """Tokens produced over tokens asked."""
    finish_reasons: dict[str, int]


class Throughput(msgspec.Struct, frozen=True):
    """What *finished* inside the window, per second of it; and the whole run over its makespan, apart."""

    requests_per_s: float
    tokens_per_s: float
    prompt_tokens_per_s: float
    makespan_s: float
    makespan_requests_per_s: float
    makespan_tokens_per_s: float


class Split(msgspec.Struct, frozen=True):
    """One engine, replica or arm, as its response header named it; an empty name is an answer without the header."""

    name: str
    scheduled: int
    failed: int
    attainment: Proportion
    ttft_response: Spread | None
    e2e_response: Spread | None
    tpot: Spread | None


class Summary(msgspec.Struct, frozen=True):
    """All durations in seconds, all rates per second. A spread is None when nothing of its kind happened."""

    scheduled: int
    answered: int
    failed: int
    dropped: int
    retried: int
    slo: dict[str, float]
    attainment: Proportion
    goodput_per_s: float
    ttft_response: Spread | None
    ttft_service: Spread | None
    ttfo_response: Spread | None
    """Only where an answer reasons before it answers; otherwise it is TTFT, and None here."""
    e2e_response: Spread | None
    e2e_service: Spread | None
    tpot: Spread | None
    tpot_undefined: int
    """Streamed answers of fewer than two tokens."""
    stall: Spread | None
    chunk_gap: Spread | None
    """Pooled over all chunks of the whole run, warm-up included, from the merged histograms."""
    tokens: Tokens
    output_length: OutputLength
    throughput: Throughput
    errors: dict[str, int]
    statuses: dict[str, int]
    splits: dict[str, list[Split]]


def summarise(run: Columns, window: Window, slo: Slo | None = None, chunk_gaps: LogHistogram | None = None) -> Summary:
    """Compute the summary of the requests scheduled in `window`. `slo` None: good means answered without an error."""
    slo = slo or Slo()
    inside = run.take(window.scheduled(run))
    good = slo.good(inside)
    answered = inside.take(inside.ok)
    streamed_short = answered.stream & ((answered.tokens == 0) | (answered.tokens == 1))
    reasons = (answered.first_content > 0) & (answered.first_content != answered.c1)
    errors = inside.error.counts()
    errors.pop("", None)
    return Summary(
        scheduled=len(inside),
        answered=len(answered),
        failed=len(inside) - len(answered),
        dropped=int(inside.error.equals("dropped").sum()),
        retried=int((inside.attempts > 1).sum()),
        slo=slo.limits(),
        attainment=wilson(int(good.sum()), len(inside)),
        goodput_per_s=int(good.sum()) / window.length_s,
        ttft_response=spread(answered.ttft_response_s),
        ttft_service=spread(answered.ttft_service_s),
        ttfo_response=spread(answered.ttfo_response_s) if bool(reasons.any()) else None,
        e2e_response=spread(answered.e2e_response_s),
        e2e_service=spread(answered.e2e_service_s),
        tpot=spread(answered.tpot_s),
        tpot_undefined=int(streamed_short.sum()),
        stall=spread(answered.stall_s),
        chunk_gap=None if chunk_gaps is None else pooled_spread(chunk_gaps),
        tokens=_tokens(answered),
        output_length=_output_length(answered),
        throughput=_throughput(run, window),
        errors=errors,
        statuses=_statuses(inside),
        splits={
            by: _split(getattr(inside, by), inside, good)
            for by in ("engine", "replica", "arm")
            if _is_named(inside, by)
        },
    )


def _is_named(run: Columns, by: str) -> bool:
    column: Coded = getattr(run, by)
    return any(column.counts().keys() - {""})


def _sum_known(values: np.ndarray[tuple[int], np.dtype[np.int64]]) -> int:
    return int(values[values != UNKNOWN].sum())


def _tokens(answered: Columns) -> Tokens:
    both = (answered.prompt_tokens != UNKNOWN) & (answered.cached_tokens != UNKNOWN)
    prompt_of_both = int(answered.prompt_tokens[both].sum())
    return Tokens(
        completion=_sum_known(answered.tokens),
        prompt=_sum_known(answered.prompt_tokens),
        cached=_sum_known(answered.cached_tokens),
        unknown=int((answered.tokens == UNKNOWN).sum()),
        cached_ratio=int(answered.cached_tokens[both].sum()) / prompt_of_both if prompt_of_both else None,
    )


def _output_length(answered: Columns) -> OutputLength:
    both = (answered.asked_tokens > 0) & (answered.tokens != UNKNOWN)
    asked, produced = answered.asked_tokens[both], answered.tokens[both]
    return OutputLength(
        asked=int(both.sum()),
        short=int((produced < asked).sum()),
        produced_ratio=float(produced.sum() / asked.sum()) if len(asked) else None,
        finish_reasons=answered.finish_reason.counts(),
    )


def _throughput(run: Columns, window: Window) -> Throughput:
    answered = run.take(run.ok)
    finished = answered.take((answered.te >= window.start_ns) & (answered.te < window.end_ns))
    length_s = window.length_s
    makespan_s = float(answered.te.max() - run.ti.min()) / 1e9 if len(answered) else 0.0
    return Throughput(
        requests_per_s=len(finished) / length_s,
        tokens_per_s=_sum_known(finished.tokens) / length_s,
        prompt_tokens_per_s=_sum_known(finished.prompt_tokens) / length_s,
        makespan_s=makespan_s,
        makespan_requests_per_s=len(answered) / makespan_s if makespan_s else 0.0,
        makespan_tokens_per_s=_sum_known(answered.tokens) / makespan_s if makespan_s else 0.0,
    )


def _statuses(run: Columns) -> dict[str, int]:
    codes, counts = np.unique(run.status, return_counts=True)
    named = {"none" if code == 0 else str(code): int(n) for code, n in zip(codes.tolist(), counts, strict=True)}
    return dict(sorted(named.items(), key=lambda pair: (-pair[1], pair[0])))


def _split(by: Coded, run: Columns, good: Bools) -> list[Split]:
    splits = []
    ttft_s, e2e_s, tpot_s, ok = run.ttft_response_s, run.e2e_response_s, run.tpot_s, run.ok
    for name in list(by.counts())[:SPLIT_LIMIT]:
        rows = by.equals(name)
        scheduled = int(rows.sum())
        answered = np.flatnonzero(rows & ok)
        splits.append(
            Split(
                name=name,
                scheduled=scheduled,
                failed=scheduled - len(answered),
                attainment=wilson(int((good & rows).sum()), scheduled),
                ttft_response=spread(ttft_s[answered]),
                e2e_response=spread(e2e_s[answered]),
                tpot=spread(tpot_s[answered]),
            )
        )
    return splits
