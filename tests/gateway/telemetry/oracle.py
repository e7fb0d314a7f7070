"""The text of a snapshot as prometheus-client writes it, by a custom collector: what ours is compared with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from gateway import version
from gateway.telemetry.metrics import MetricsSnapshot, Sample, Series
from gateway.telemetry.metrics.families import BY_LABELS, BY_NAME
from gateway.telemetry.metrics.family import Family
from gateway.telemetry.metrics.series import (
    DURATION_BOUNDS_S,
    OVERHEAD_BOUNDS_S,
    QUEUE_BOUNDS_S,
    TPOT_BOUNDS_S,
    TTFT_BOUNDS_S,
    Histogram,
)

COUNTERS = {family.name: family for family in BY_LABELS if family.type == "counter"}
GAUGES = {family.name: family for family in BY_LABELS if family.type == "gauge"}
LABELS = ("model", "engine", "arm")
HISTOGRAMS = (
    ("penstock_request_duration_seconds", "duration", DURATION_BOUNDS_S),
    ("penstock_time_to_first_token_seconds", "ttft", TTFT_BOUNDS_S),
    ("penstock_time_per_output_token_seconds", "tpot", TPOT_BOUNDS_S),
    ("penstock_overhead_seconds", "overhead", OVERHEAD_BOUNDS_S),
    ("penstock_queue_seconds", "queue", QUEUE_BOUNDS_S),
)


def expected_text(snapshot: MetricsSnapshot) -> str:
    """Everything but the `process_` metrics, which no two readings have in common."""
    registry = CollectorRegistry()
    registry.register(_Snapshot(snapshot))
    return generate_latest(registry).decode()


class _Snapshot(Collector):
    def __init__(self, snapshot: MetricsSnapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        build = _gauge("penstock_build_info", "build", "python", "version")
        build.add_metric([version.build(), version.PYTHON, version.VERSION], 1)
        yield build
        yield from _requests(self._snapshot.series)
        yield from _histograms(self._snapshot.series)
        yield from _usage(self._snapshot.series)
        yield from _others(self._snapshot.counters, COUNTERS, CounterMetricFamily)
        yield from _others(self._snapshot.gauges, GAUGES, GaugeMetricFamily)


def _counter(name: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(name, BY_NAME[name].text, None, labels)


def _gauge(name: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, BY_NAME[name].text, None, labels)


def _requests(all_series: list[Series]) -> Iterator[Metric]:
    requests = _counter("penstock_requests_total", *LABELS, "code")
    errors: dict[tuple[str, str, str], int] = {}
    in_flight: dict[tuple[str, str], int] = {}
    for series in all_series:
        for code, count in sorted(series.codes.items()):
            if count or series.engine:
                requests.add_metric([*series.key, str(code)], count)
        for kind, count in series.errors.items():
            key = series.model, series.engine, kind
            errors[key] = errors.get(key, 0) + count
        if series.engine:
            pair = series.model, series.engine
            in_flight[pair] = in_flight.get(pair, 0) + series.in_flight
    yield requests
    failed = _counter("penstock_errors_total", "model", "engine", "kind")
    for labels, count in sorted(errors.items()):
        failed.add_metric(labels, count)
    yield failed
    running = _gauge("penstock_in_flight", "model", "engine")
    for two, number in sorted(in_flight.items()):
        running.add_metric(two, number)
    yield running


def _histograms(all_series: list[Series]) -> Iterator[Metric]:
    for name, attribute, bounds in HISTOGRAMS:
        family = HistogramMetricFamily(name, BY_NAME[name].text, labels=LABELS)
        les = [*map(floatToGoString, bounds), "+Inf"]
        for series in all_series:
            histogram: Histogram = getattr(series, attribute)
            counts = list(accumulate(histogram.counts))
            if counts[-1] or series.engine:
                family.add_metric(series.key, list(zip(les, counts, strict=True)), histogram.sum)
        yield family


def _usage(all_series: list[Series]) -> Iterator[Metric]:
    tokens = _counter("penstock_tokens_total", *LABELS, "kind")
    cost = _counter("penstock_cost_usd_total", *LABELS)
    unpriced = _counter("penstock_unpriced_requests_total", *LABELS)
    for series in all_series:
        if series.engine:
            for kind in ("input", "cached", "output", "reasoning"):
                tokens.add_metric([*series.key, kind], getattr(series, f"{kind}_tokens"))
            cost.add_metric(series.key, series.cost_usd)
            unpriced.add_metric(series.key, series.unpriced)
    yield tokens
    yield cost
    yield unpriced


def _others(
    samples: list[Sample],
    families: Mapping[str, Family],
    metric: type[CounterMetricFamily] | type[GaugeMetricFamily],
) -> Iterator[Metric]:
    made = {name: metric(name, BY_NAME[name].text, None, family.labels) for name, family in families.items()}
    for sample in samples:
        made[sample.name].add_metric(sample.labels, sample.value)
    yield from made.values()
