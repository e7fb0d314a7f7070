"""The parent's view of its workers. Counters never go backwards when a worker is replaced."""

from __future__ import annotations

from collections.abc import Generator, Iterable

import msgspec

from gateway.telemetry.metrics.series import Series
from gateway.telemetry.metrics.snapshot import MetricsSnapshot, Sample, finished, merge, merging


class Accumulator:
    """The newest that each worker told, and the sum of those that are gone.

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

    def gauges(self, worker: str) -> list[Sample]:
        """What a worker last told of its gauges."""
        told = self._latest.get(worker)
        return [] if told is None else told.gauges

    def departed(self, worker: str) -> None:
        """The worker is gone: keep what it counted, forget its gauges. Unknown names are fine."""
        last = self._latest.pop(worker, MetricsSnapshot())
        series_told = self._series.pop(worker, {})
        kept = merge([self._departed, MetricsSnapshot(list(series_told.values()), last.counters)])
        kept.series = [msgspec.structs.replace(series, in_flight=0) for series in kept.series]
        self._departed = kept

    def total(self, *own: MetricsSnapshot) -> MetricsSnapshot:
        """Everything ever counted, plus `own`, the parent's snapshot of itself."""
        return finished(self.adding(*own))

    def adding(self, *own: MetricsSnapshot) -> Generator[None, None, MetricsSnapshot]:
        """The same in steps: what there was when it began."""
        series = (MetricsSnapshot(list(told.values())) for told in self._series.values())
        return merging([self._departed, *series, *self._latest.values(), *own])
