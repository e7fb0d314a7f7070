"""A merged snapshot as Prometheus text. Names, labels and buckets are a public interface: dashboards rely on them.

Off the request path, and slow: about 10 us per line, 75 lines per series. Call `render` in a thread; it reads only
its argument.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from importlib.metadata import version
from itertools import accumulate, chain

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST as CONTENT_TYPE
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from gateway.telemetry.metrics import (
    BREAKER_OPEN,
    CONFIG_RELOADS,
    COUNTERS,
    DURATION_BOUNDS_S,
    FALLBACKS,
    GAUGES,
    LOOP_AGE,
    OVERHEAD_BOUNDS_S,
    QUEUE_TOKENS,
    RECORDS_DROPPED,
    REPLICAS,
    RETRIES,
    SHED,
    TPOT_BOUNDS_S,
    TTFT_BOUNDS_S,
    Family,
    Histogram,
    MetricsSnapshot,
    Sample,
    Series,
)

__all__ = ["CONTENT_TYPE", "render"]

VERSION = version("penstock")

_HELP = {
    RETRIES: "Requests sent again to the same engine before their first byte, by the reason.",
    FALLBACKS: "Requests sent on to another engine before their first byte.",
    SHED: "Requests refused by admission control.",
    CONFIG_RELOADS: "Attempts to reload the configuration, by their result.",
    RECORDS_DROPPED: "Request records that a sink could not take in time or could not write.",
    BREAKER_OPEN: "1 while a circuit breaker keeps traffic from the replica, in any worker; else 0.",
    QUEUE_TOKENS: "Tokens of requests that wait for admission.",
    REPLICAS: "Replicas of the engine, by state.",
    LOOP_AGE: "Seconds since the control loop last succeeded.",
}
_LABELS = ("model", "engine", "arm")
_HISTOGRAMS = (
    (
        "penstock_request_duration_seconds",
        "Seconds from the arrival of a request to the end of its answer.",
        "duration",
        DURATION_BOUNDS_S,
    ),
    (
        "penstock_time_to_first_token_seconds",
        "Seconds from the dispatch of the answering attempt to the first body byte of its answer.",
        "ttft",
        TTFT_BOUNDS_S,
    ),
    (
        "penstock_time_per_output_token_seconds",
        "Seconds per completion token after the first, of requests with two tokens or more.",
        "tpot",
        TPOT_BOUNDS_S,
    ),
    (
        "penstock_overhead_seconds",
        "Seconds from the last byte of a request to its first dispatch to an engine.",
        "overhead",
        OVERHEAD_BOUNDS_S,
    ),
)
_SMALLEST = frozenset({"process_start_time_seconds", "process_max_fds"})


def render(snapshot: MetricsSnapshot, pids: Iterable[int] = ()) -> bytes:
    """The text that answers a scrape, to be sent as `CONTENT_TYPE`.

    Args:
        snapshot: of one worker, or merged.
        pids: the processes whose CPU, memory and descriptors add up to the `process_` metrics; none means this one.
    """
    registry = CollectorRegistry()
    registry.register(_Collector(snapshot, tuple(pids) or (os.getpid(),)))
    return generate_latest(registry)


class _Collector(Collector):
    def __init__(self, snapshot: MetricsSnapshot, pids: tuple[int, ...]) -> None:
        self._snapshot = snapshot
        self._pids = pids

    def collect(self) -> Iterator[Metric]:
        snapshot = self._snapshot
        build = GaugeMetricFamily(
            "penstock_build_info", "Always 1; the label says which version runs.", None, ["version"]
        )
        build.add_metric([VERSION], 1)
        yield build
        yield from _requests(snapshot.series)
        yield from _histograms(snapshot.series)
        yield from _usage(snapshot.series)
        yield from _others(snapshot.counters, CounterMetricFamily, COUNTERS)
        yield from _others(snapshot.gauges, GaugeMetricFamily, GAUGES)
        yield from _processes(self._pids)


def _requests(all_series: list[Series]) -> Iterator[Metric]:
    requests = CounterMetricFamily(
        "penstock_requests_total",
        "Requests settled, by the status the client was told (499: it left before an answer).",
        None,
        [*_LABELS, "code"],
    )
    errors: dict[tuple[str, str, str], int] = {}
    in_flight: dict[tuple[str, str], int] = {}
    for series in all_series:
        for code, count in sorted(series.codes.items()):
            # A 200 can only come from an engine; without one its zero would be noise.
            if count or series.engine:
                requests.add_metric([*series.key, str(code)], count)
        for kind, count in series.errors.items():
            key = series.model, series.engine, kind
            errors[key] = errors.get(key, 0) + count
        if series.engine:
            pair = series.model, series.engine
            in_flight[pair] = in_flight.get(pair, 0) + series.in_flight
    yield requests
    failed = CounterMetricFamily(
        "penstock_errors_total",
        "Requests that failed, by the kind of failure; the access line names the same kind.",
        None,
        ["model", "engine", "kind"],
    )
    for labels, count in sorted(errors.items()):
        failed.add_metric(labels, count)
    yield failed
    running = GaugeMetricFamily("penstock_in_flight", "Requests now with an engine.", None, ["model", "engine"])
    for two, number in sorted(in_flight.items()):
        running.add_metric(two, number)
    yield running


def _histograms(all_series: list[Series]) -> Iterator[Metric]:
    for name, text, attribute, bounds in _HISTOGRAMS:
        family = HistogramMetricFamily(name, text, labels=_LABELS)
        les = [*map(floatToGoString, bounds), "+Inf"]
        for series in all_series:
            histogram: Histogram = getattr(series, attribute)
            counts = list(accumulate(histogram.counts))
            if counts[-1] or series.engine:
                family.add_metric(series.key, list(zip(les, counts, strict=True)), histogram.sum)
        yield family


def _usage(all_series: list[Series]) -> Iterator[Metric]:
    tokens = CounterMetricFamily(
        "penstock_tokens_total",
        "Tokens of settled requests; input includes cached ones, output includes reasoning ones.",
        None,
        [*_LABELS, "kind"],
    )
    cost = CounterMetricFamily(
        "penstock_cost_usd_total", "US dollars that settled requests cost, where a price is known.", None, _LABELS
    )
    for series in all_series:
        if series.engine:
            tokens.add_metric([*series.key, "input"], series.input_tokens)
            tokens.add_metric([*series.key, "cached"], series.cached_tokens)
            tokens.add_metric([*series.key, "output"], series.output_tokens)
            tokens.add_metric([*series.key, "reasoning"], series.reasoning_tokens)
            cost.add_metric(series.key, series.cost_usd)
    yield tokens
    yield cost


def _others(
    samples: list[Sample],
    metric: type[CounterMetricFamily] | type[GaugeMetricFamily],
    families: Mapping[str, Family],
) -> Iterator[Metric]:
    made = {name: metric(name, _HELP[name], None, family.labels) for name, family in families.items()}
    for sample in samples:
        made[sample.name].add_metric(sample.labels, sample.value)
    yield from made.values()


def _processes(pids: tuple[int, ...]) -> Iterator[Metric]:
    """`process_` metrics of all workers as if they were one process; a process that is gone adds nothing."""
    total: dict[str, Metric] = {}
    for metric in chain.from_iterable(ProcessCollector(pid=partial(int, pid), registry=None).collect() for pid in pids):
        known = total.setdefault(metric.name, metric)
        if known is not metric:
            one, two = known.samples[0], metric.samples[0]
            value = min(one.value, two.value) if metric.name in _SMALLEST else one.value + two.value
            known.samples[0] = one._replace(value=value)
    yield from total.values()
