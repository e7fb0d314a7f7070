"""How long requests take, as histograms by model, engine and arm."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.telemetry.metrics.family import Family
from gateway.telemetry.metrics.series import (
    DURATION_BOUNDS_S,
    OVERHEAD_BOUNDS_S,
    QUEUE_BOUNDS_S,
    TPOT_BOUNDS_S,
    TTFT_BOUNDS_S,
    Series,
)
from gateway.telemetry.metrics.text import histograms


def _seconds(name: str, text: str) -> Family:
    return Family(name, "histogram", text, ("model", "engine", "arm"))


DURATION = _seconds(
    "penstock_request_duration_seconds", "Seconds from the arrival of a request to the end of its answer."
)
TTFT = _seconds(
    "penstock_time_to_first_token_seconds",
    "Seconds from the dispatch of the answering attempt to the first body byte of its answer.",
)
TPOT = _seconds(
    "penstock_time_per_output_token_seconds",
    "Seconds per completion token after the first, of requests with two tokens or more.",
)
OVERHEAD = _seconds(
    "penstock_overhead_seconds", "Seconds from the last byte of a request to its first dispatch to an engine."
)
QUEUE = _seconds(
    "penstock_queue_seconds",
    "Seconds that requests waited for room, of those that waited and then went.",
)

FAMILIES = (DURATION, TTFT, TPOT, OVERHEAD, QUEUE)


def lines(all_series: list[Series], _pids: tuple[int, ...]) -> Iterator[str]:
    yield from histograms(DURATION, DURATION_BOUNDS_S, ((series, series.duration) for series in all_series))
    yield from histograms(TTFT, TTFT_BOUNDS_S, ((series, series.ttft) for series in all_series))
    yield from histograms(TPOT, TPOT_BOUNDS_S, ((series, series.tpot) for series in all_series))
    yield from histograms(OVERHEAD, OVERHEAD_BOUNDS_S, ((series, series.overhead) for series in all_series))
    yield from histograms(QUEUE, QUEUE_BOUNDS_S, ((series, series.queue) for series in all_series))
