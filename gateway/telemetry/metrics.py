"""Counters of one worker, and the sum of several.

Promise: settling one request costs about a microsecond (a prometheus-client observe costs 0.7 us each, and there would
be fourteen). So numbers are plain attributes and lists, found once per route and held by the caller. `merge` is
associative and commutative, and the merge of all workers equals one worker that had seen every request (sums of
seconds and dollars up to float rounding). Labels come from the configuration; a model outside it counts as `other`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import msgspec

from engines.model import Usage

OTHER = "other"

# A bucket counts values up to and including its bound, as Prometheus' `le` does.
TTFT_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
TPOT_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5)
DURATION_BOUNDS_S = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
    *(10.0, 30.0, 60.0, 120.0, 300.0, 600.0),
)
OVERHEAD_BOUNDS_S = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1)


class Histogram(msgspec.Struct, array_like=True):
    """`counts[i]` values fell into bucket i (not cumulative); the last one is above every bound."""

    counts: list[int]
    sum: float = 0.0

    def copy(self) -> Histogram:
        return Histogram(self.counts.copy(), self.sum)

    def add(self, other: Histogram) -> None:
        self.counts = [mine + its for mine, its in zip(self.counts, other.counts, strict=True)]
        self.sum += other.sum


def _histogram(bounds: tuple[float, ...]) -> Callable[[], Histogram]:
    return lambda: Histogram([0] * (len(bounds) + 1))


def _codes() -> dict[int, int]:
    return {200: 0}


class Series(msgspec.Struct, array_like=True):
    """Everything counted for one (model, engine, arm). Get it from `Metrics.series`, hold it, call `settle`.

    `in_flight` is the caller's: `series.in_flight += 1` at dispatch, `-= 1` in the `finally` that settles.
    """

    model: str
    engine: str
    arm: str
    in_flight: int = 0
    codes: dict[int, int] = msgspec.field(default_factory=_codes)
    errors: dict[str, int] = msgspec.field(default_factory=dict)
    duration: Histogram = msgspec.field(default_factory=_histogram(DURATION_BOUNDS_S))
    ttft: Histogram = msgspec.field(default_factory=_histogram(TTFT_BOUNDS_S))
    tpot: Histogram = msgspec.field(default_factory=_histogram(TPOT_BOUNDS_S))
    overhead: Histogram = msgspec.field(default_factory=_histogram(OVERHEAD_BOUNDS_S))
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd: float = 0.0

    def settle(
        self,
        code: int,
        duration_s: float,
        ttft_s: float | None = None,
        tpot_s: float | None = None,
        overhead_s: float | None = None,
        usage: Usage | None = None,
        cost_usd: float | None = None,
    ) -> None:
        """Count one finished request. None means not known or not defined (a TPOT of one token), and counts nowhere."""
        try:
            self.codes[code] += 1
        except KeyError:
            self.codes[code] = 1
        histogram = self.duration
        histogram.counts[bisect_left(DURATION_BOUNDS_S, duration_s)] += 1
        histogram.sum += duration_s
        if ttft_s is not None:
            histogram = self.ttft
            histogram.counts[bisect_left(TTFT_BOUNDS_S, ttft_s)] += 1
            histogram.sum += ttft_s
        if tpot_s is not None:
            histogram = self.tpot
            histogram.counts[bisect_left(TPOT_BOUNDS_S, tpot_s)] += 1
            histogram.sum += tpot_s
        if overhead_s is not None:
            histogram = self.overhead
            histogram.counts[bisect_left(OVERHEAD_BOUNDS_S, overhead_s)] += 1
            histogram.sum += overhead_s
        if usage is not None:
            self.input_tokens += usage.input_tokens
            self.cached_tokens += usage.cached_tokens
            self.output_tokens += usage.output_tokens
            self.reasoning_tokens += usage.reasoning_tokens
        if cost_usd is not None:
            self.cost_usd += cost_usd

    def error(self, kind: str) -> None:
        """Count one failure by its kind in `gateway.errors`, answered or only recorded."""
        self.errors[kind] = self.errors.get(kind, 0) + 1

    @property
    def key(self) -> tuple[str, str, str]:
        return self.model, self.engine, self.arm

    def copy(self) -> Series:
        """The same numbers, sharing nothing that changes."""
        return msgspec.structs.replace(
            self,
            codes=self.codes.copy(),
            errors=self.errors.copy(),
            duration=self.duration.copy(),
            ttft=self.ttft.copy(),
            tpot=self.tpot.copy(),
            overhead=self.overhead.copy(),
        )

    def add(self, other: Series) -> None:
        """Add the numbers of the same series of another worker."""
        self.in_flight += other.in_flight
        for code, count in other.codes.items():
            self.codes[code] = self.codes.get(code, 0) + count
        for kind, count in other.errors.items():
            self.errors[kind] = self.errors.get(kind, 0) + count
        self.duration.add(other.duration)
        self.ttft.add(other.ttft)
        self.tpot.add(other.tpot)
        self.overhead.add(other.overhead)
        self.input_tokens += other.input_tokens
        self.cached_tokens += other.cached_tokens
        self.output_tokens += other.output_tokens
        self.reasoning_tokens += other.reasoning_tokens
        self.cost_usd += other.cost_usd


class Family(NamedTuple):
    """A metric kept outside `Series`: its labels, and how the values of two workers become one."""

    labels: tuple[str, ...]
    combine: Callable[[float, float], float]


def _sum(left: float, right: float) -> float:
    return left + right


RETRIES = "penstock_retries_total"
FALLBACKS = "penstock_fallbacks_total"
SHED = "penstock_shed_total"
CONFIG_RELOADS = "penstock_config_reloads_total"
RECORDS_DROPPED = "penstock_records_dropped_total"
BREAKER_OPEN = "penstock_breaker_open"
QUEUE_TOKENS = "penstock_queue_tokens"
REPLICAS = "penstock_replicas"
LOOP_AGE = "penstock_loop_last_success_age_seconds"

COUNTERS: Mapping[str, Family] = {
    RETRIES: Family(("engine", "reason"), _sum),
    FALLBACKS: Family(("model", "from", "to"), _sum),
    SHED: Family(("model", "reason"), _sum),
    CONFIG_RELOADS: Family(("result",), _sum),
    RECORDS_DROPPED: Family(("sink",), _sum),
}
GAUGES: Mapping[str, Family] = {
    BREAKER_OPEN: Family(("engine", "replica"), max),  # open in any worker shows
    QUEUE_TOKENS: Family(("model",), _sum),  # each worker has its own queue
    REPLICAS: Family(("engine", "state"), max),  # one fact that several may report
    LOOP_AGE: Family(("loop",), max),  # the stalest shows
}


class Sample(msgspec.Struct, array_like=True, frozen=True):
    """One number of a `Family`; `labels` are values in the family's order."""

    name: str
    labels: tuple[str, ...]
    value: float


class MetricsSnapshot(msgspec.Struct):
    """Cumulative counters and current gauges at one moment, ready for msgpack or JSON; sorted, so equal means equal."""

    series: list[Series] = msgspec.field(default_factory=list)
    counters: list[Sample] = msgspec.field(default_factory=list)
    gauges: list[Sample] = msgspec.field(default_factory=list)


Key = tuple[str, tuple[str, ...]]
Reading = Iterable[tuple[tuple[str, ...], float]]
"""(label values, value) pairs of one gauge."""


class Metrics:
    """The numbers of this worker. Not thread-safe: everything here belongs to the event loop's thread."""

    def __init__(self, models: Iterable[str]) -> None:
        """`models` are the configured public names; assign `models` again when a reload changes them."""
        self.models = frozenset(models)
        self._series: dict[tuple[str, str, str], Series] = {}
        self._counters: dict[Key, float] = {}
        self._watched: list[tuple[str, Callable[[], Reading]]] = []
        self._totals: list[tuple[Key, Callable[[], float]]] = []

    def series(self, model: str, engine: str = "", arm: str = "") -> Series:
        """The one series of these labels. `engine` and `arm` are configured names, or empty when none was reached."""
        key = self._model(model), engine, arm
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = Series(*key)
        return series

    def retry(self, engine: str, reason: str) -> None:
        self._count(RETRIES, engine, reason)

    def fallback(self, model: str, from_engine: str, to_engine: str) -> None:
        self._count(FALLBACKS, self._model(model), from_engine, to_engine)

    def shed(self, model: str, reason: str) -> None:
        self._count(SHED, self._model(model), reason)

    def config_reload(self, result: str, times: int = 1) -> None:
        """`result` is `applied` or `refused`; 0 times shows it before its first, which an alert could not see else."""
        self._count(CONFIG_RELOADS, result, by=times)

    def records_dropped(self, sink: str, records: int) -> None:
        self._count(RECORDS_DROPPED, sink, by=records)

    def watch(self, gauge: str, read: Callable[[], Reading]) -> None:
        """Ask `read` for the gauge's current values at every snapshot. `gauge` is a key of `GAUGES`.

        Reading late is what survives a reload: `read` looks at the current state, and what is gone is not reported.
        """
        if gauge not in GAUGES:
            raise KeyError(gauge)
        self._watched.append((gauge, read))

    def watch_dropped(self, sink: str, read: Callable[[], int]) -> None:
        """Ask `read` at every snapshot how many records `sink` has dropped since the process started."""
        self._totals.append(((RECORDS_DROPPED, (sink,)), read))

    def snapshot(self) -> MetricsSnapshot:
        """A copy of everything at this moment."""
        return MetricsSnapshot([self._series[key].copy() for key in sorted(self._series)], *self.others())

    def all_series(self) -> list[Series]:
        """Every series, as it counts: copy what you keep."""
        return list(self._series.values())

    def others(self) -> tuple[list[Sample], list[Sample]]:
        """The counters and the gauges that belong to no series, at this moment."""
        gauges: dict[Key, float] = {}
        for name, read in self._watched:
            for labels, value in read():
                _combine(gauges, GAUGES, (name, labels), value)
        counters = self._counters.copy()
        for key, total in self._totals:
            _combine(counters, COUNTERS, key, total())
        return _samples(counters), _samples(gauges)

    def _model(self, model: str) -> str:
        return model if model in self.models else OTHER

    def _count(self, name: str, *labels: str, by: int = 1) -> None:
        key = name, labels
        self._counters[key] = self._counters.get(key, 0) + by


def merge(snapshots: Iterable[MetricsSnapshot]) -> MetricsSnapshot:
    """One snapshot of several workers: counters, in-flight and queues add up, the other gauges take the maximum."""
    series: dict[tuple[str, str, str], Series] = {}
    counters: dict[Key, float] = {}
    gauges: dict[Key, float] = {}
    for snapshot in snapshots:
        for one in snapshot.series:
            seen = series.get(one.key)
            if seen is None:
                series[one.key] = one.copy()
            else:
                seen.add(one)
        for sample in snapshot.counters:
            _combine(counters, COUNTERS, (sample.name, sample.labels), sample.value)
        for sample in snapshot.gauges:
            _combine(gauges, GAUGES, (sample.name, sample.labels), sample.value)
    return MetricsSnapshot([series[key] for key in sorted(series)], _samples(counters), _samples(gauges))


class Accumulator:
    """The parent's view of its workers. Counters never go backwards when a worker is replaced.

    A `worker` is one process, not one seat: a replacement reports under a new name (the process id will do), because it
    starts from zero.
    """

    def __init__(self) -> None:
        self._series: dict[str, dict[tuple[str, str, str], Series]] = {}
        self._latest: dict[str, MetricsSnapshot] = {}
        self._departed = MetricsSnapshot()

    def update(self, worker: str, snapshot: MetricsSnapshot) -> None:
        """Take the worker's newest snapshot in place of its last."""
        self._series[worker] = {series.key: series for series in snapshot.series}
        self.update_others(worker, snapshot.counters, snapshot.gauges)

    def update_series(self, worker: str, changed: Iterable[Series]) -> None:
        """Take the newest of some series of a worker in place of what it told of them before."""
        self._series.setdefault(worker, {}).update((series.key, series) for series in changed)

    def update_others(self, worker: str, counters: list[Sample], gauges: list[Sample]) -> None:
        """Take a worker's newest counters and gauges in place of its last; its series stay."""
        self._latest[worker] = MetricsSnapshot([], counters, gauges)

    def departed(self, worker: str) -> None:
        """The worker is gone: keep what it counted, forget its gauges. Unknown names are fine."""
        last = self._latest.pop(worker, MetricsSnapshot())
        series_told = self._series.pop(worker, {})
        kept = merge([self._departed, MetricsSnapshot(list(series_told.values()), last.counters)])
        for series in kept.series:
            series.in_flight = 0
        self._departed = kept

    def total(self, *own: MetricsSnapshot) -> MetricsSnapshot:
        """Everything ever counted, plus `own`, the parent's snapshot of itself."""
        series = (MetricsSnapshot(list(told.values())) for told in self._series.values())
        return merge([self._departed, *series, *self._latest.values(), *own])


def _combine(into: dict[Key, float], families: Mapping[str, Family], key: Key, value: float) -> None:
    into[key] = families[key[0]].combine(into[key], value) if key in into else value


def _samples(values: dict[Key, float]) -> list[Sample]:
    return [Sample(name, labels, values[name, labels]) for name, labels in sorted(values)]
