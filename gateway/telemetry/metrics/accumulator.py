"""The parent's view of its workers. Counters never go backwards when a worker is replaced."""

from __future__ import annotations

from gateway.telemetry.metrics.snapshot import MetricsSnapshot, merge


class Accumulator:
    """The newest snapshot of each worker, and the sum of those that are gone.

    A `worker` is one process, not one seat: a replacement reports under a new name (the process id will do), because it
    starts from zero.
    """

    def __init__(self) -> None:
        self._latest: dict[str, MetricsSnapshot] = {}
        self._departed = MetricsSnapshot()

    def update(self, worker: str, snapshot: MetricsSnapshot) -> None:
        """Take the worker's newest snapshot in place of its last."""
        self._latest[worker] = snapshot

    def departed(self, worker: str) -> None:
        """The worker is gone: keep what it counted, forget its gauges. Unknown names are fine."""
        last = self._latest.pop(worker, None)
        if last is None:
            return
        kept = merge([self._departed, MetricsSnapshot(last.series, last.counters)])
        for series in kept.series:
            series.in_flight = 0
        self._departed = kept

    def total(self, *own: MetricsSnapshot) -> MetricsSnapshot:
        """Everything ever counted, plus `own`, the parent's snapshot of itself."""
        return merge([self._departed, *self._latest.values(), *own])
