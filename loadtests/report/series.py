"""The run over time and the shapes of its durations, binned for drawing: at most 100 slices and 60 bars, any length.

A slice is also wide enough to hold 25 requests on average: percentiles of three requests draw noise.

Percentiles of a slice are those of the requests *scheduled* in it, from the intended send; a rate counts what left, or
ended, in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec
import numpy as np

from loadtests.statistics.columns import Bools, Columns, Floats, Ints
from loadtests.statistics.histogram import LogHistogram
from loadtests.statistics.intervals import nearest_rank
from loadtests.statistics.window import sliced

MAX_SLICES = 100
SLICE_REQUESTS = 25
MIN_SLICES = 10
MAX_BARS = 60
LOG_FROM_RATIO = 12.0
"""Durations whose p99.9 is this many times their minimum are drawn on a logarithmic axis."""
KINDS_SHOWN = 6
"""Errors are drawn by kind up to this many, the rest together as `other`."""

_SLICES_S = tuple(step * scale for scale in (0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0) for step in (1.0, 2.0, 5.0))

Track = list[float | None]


class TimeSeries(msgspec.Struct, frozen=True):
    """Slices of `slice_s` from the start of the schedule. Counts are per slice, not per second."""

    slice_s: float
    scheduled: list[int]
    sent: list[int]
    answered: list[int]
    ttft_p50_s: Track
    ttft_p90_s: Track
    ttft_p99_s: Track
    e2e_p50_s: Track
    e2e_p90_s: Track
    e2e_p99_s: Track
    errors: dict[str, list[int]]


class Distribution(msgspec.Struct, frozen=True):
    """Counts between `edges_s` (one more than counts), a list per way of measuring; `beyond` lie past the last edge."""

    name: str
    logarithmic: bool
    edges_s: list[float]
    counts: dict[str, list[int]]
    beyond: int


def time_series(run: Columns, started_ns: int, duration_s: float) -> TimeSeries:
    """Slice a run by time; what lies outside the schedule is left out."""
    most = min(MAX_SLICES, max(MIN_SLICES, len(run) // SLICE_REQUESTS))
    slice_s = next((width for width in _SLICES_S if duration_s / width <= most), duration_s / most)
    slices = max(1, math.ceil(duration_s / slice_s - 1e-9))
    by_schedule = _slice_of(run.ti, started_ns, slice_s)
    in_schedule = (by_schedule >= 0) & (by_schedule < slices)

    def counted(stamps: Ints, rows: Bools) -> list[int]:
        at = _slice_of(stamps[rows], started_ns, slice_s)
        return [int(n) for n in np.bincount(at[(at >= 0) & (at < slices)], minlength=slices)]

    def percentiles(values_s: Floats) -> list[Track]:
        rows = run.ok & in_schedule & ~np.isnan(values_s)
        return _sliced_percentiles(by_schedule[rows], values_s[rows], slices, (0.5, 0.9, 0.99))

    ttft, e2e = percentiles(run.ttft_response_s), percentiles(run.e2e_response_s)
    kinds = [kind for kind in run.error.counts() if kind]
    shown = kinds if len(kinds) <= KINDS_SHOWN else kinds[: KINDS_SHOWN - 1]
    errors = {kind: counted(run.ti, run.error.equals(kind)) for kind in shown}
    if len(shown) < len(kinds):
        rest = ~run.ok
        for kind in shown:
            rest &= ~run.error.equals(kind)
        errors["other"] = counted(run.ti, rest)
    everything = np.ones(len(run), dtype=np.bool_)
    return TimeSeries(
        slice_s=slice_s,
        scheduled=counted(run.ti, everything),
        sent=counted(run.ts, run.sent),
        answered=counted(run.te, run.ok),
        ttft_p50_s=ttft[0],
        ttft_p90_s=ttft[1],
        ttft_p99_s=ttft[2],
        e2e_p50_s=e2e[0],
        e2e_p90_s=e2e[1],
        e2e_p99_s=e2e[2],
        errors=errors,
    )


def _slice_of(stamps: Ints, started_ns: int, slice_s: float) -> Ints:
    return (stamps - started_ns) // max(1, round(slice_s * 1e9))


def _sliced_percentiles(at: Ints, values_s: Floats, slices: int, quantiles: tuple[float, ...]) -> list[Track]:
    tracks: list[Track] = [[] for _ in quantiles]
    for values in sliced(at, values_s, slices):
        ranks = [nearest_rank(len(values), q) for q in quantiles]
        placed = np.partition(values, ranks) if len(values) else values
        for track, rank in zip(tracks, ranks, strict=True):
            track.append(float(placed[rank]) if len(values) else None)
    return tracks


def duration_distribution(name: str, measured: Mapping[str, Floats]) -> Distribution | None:
    """Bin durations measured in one or two ways over the same edges; None when nothing was measured."""
    known = {way: values[~np.isnan(values)] for way, values in measured.items()}
    pooled = np.concatenate(list(known.values()))
    if len(pooled) == 0:
        return None
    ordered = np.sort(pooled)
    low, high = float(ordered[0]), float(ordered[nearest_rank(len(ordered), 0.999)])
    edges, logarithmic = _edges(low, high)
    counts = {way: [int(n) for n in np.histogram(values, edges)[0]] for way, values in known.items()}
    beyond = int((next(iter(known.values())) > edges[-1]).sum())
    return Distribution(name, logarithmic, edges.tolist(), counts, beyond)


def gap_distribution(histogram: LogHistogram | None) -> Distribution | None:
    """Bin the chunk gaps of a merged histogram of nanoseconds, each of its buckets spread evenly over its width.

    Putting a bucket into one bar would draw a comb: bars finer than the buckets would be empty in turn. The first bar
    also holds what lies below it.
    """
    if histogram is None or not histogram.count:
        return None
    # Chunks that share a read have gaps of nothing: a few of them must not stretch the axis down to a microsecond.
    low, high = histogram.percentiles((1, 99.9))
    edges, logarithmic = _edges(max(low / 1e9, 1e-6), high / 1e9)
    buckets = np.array(list(histogram.buckets()), dtype=np.float64)
    ends_s = np.column_stack((buckets[:, 0], buckets[:, 1] + 1)).ravel() / 1e9
    upto = np.cumsum(buckets[:, 2])
    below = np.column_stack((upto - buckets[:, 2], upto)).ravel()
    reached = np.rint(np.interp(edges, ends_s, below, left=0, right=histogram.count))
    reached[0] = 0
    counts = [int(n) for n in np.diff(reached)]
    return Distribution("chunk_gap", logarithmic, edges.tolist(), {"gap": counts}, histogram.count - int(reached[-1]))


def _edges(low: float, high: float) -> tuple[Floats, bool]:
    high = max(high, low * 1.01, low + 1e-6)
    if low > 0 and high / low >= LOG_FROM_RATIO:
        return np.geomspace(low, high, MAX_BARS + 1), True
    return np.linspace(low, high, MAX_BARS + 1), False
