"""Everything counted at one moment, as it crosses from worker to parent, and the sum of several.

`merge` is associative and commutative (sums of seconds and dollars up to float rounding).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from gateway.telemetry.metrics.families import BY_NAME
from gateway.telemetry.metrics.series import Series

Key = tuple[str, tuple[str, ...]]
"""The name of a family, and label values in the family's order."""


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


def merge(snapshots: Iterable[MetricsSnapshot]) -> MetricsSnapshot:
    """One snapshot of several workers: counters, in-flight and queues add up, the other gauges take the maximum.

    It leaves its parts alone and shares with them the series that only one of them has: not to be changed.
    """
    summed: set[tuple[str, str, str]] = set()
    series: dict[tuple[str, str, str], Series] = {}
    counters: dict[Key, float] = {}
    gauges: dict[Key, float] = {}
    for snapshot in snapshots:
        for one in snapshot.series:
            seen = series.get(one.key)
            if seen is None:
                series[one.key] = one
                continue
            if one.key not in summed:
                summed.add(one.key)
                seen = series[one.key] = seen.copy()
            seen.add(one)
        for sample in snapshot.counters:
            combine(counters, (sample.name, sample.labels), sample.value)
        for sample in snapshot.gauges:
            combine(gauges, (sample.name, sample.labels), sample.value)
    return MetricsSnapshot([series[key] for key in sorted(series)], samples(counters), samples(gauges))


def combine(into: dict[Key, float], key: Key, value: float) -> None:
    """Add a value to those of other workers, as its family says."""
    into[key] = BY_NAME[key[0]].combine(into[key], value) if key in into else value


def samples(values: dict[Key, float]) -> list[Sample]:
    return [Sample(name, labels, values[name, labels]) for name, labels in sorted(values)]
