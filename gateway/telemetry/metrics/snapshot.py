"""Everything counted at one moment, as it crosses from worker to parent, and the sum of several.

`merge` is associative and commutative (sums of seconds and dollars up to float rounding).
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Final, TypeVar

import msgspec

from gateway.telemetry.metrics.families import BY_NAME
from gateway.telemetry.metrics.series import Series

T = TypeVar("T")
AT_ONCE: Final = 256
"""Samples to a step: a fleet may have one of each family for each of its 19,200 replicas."""
GROUPS_AT_ONCE: Final = 4

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
    return finished(merging(snapshots))


def merging(snapshots: Iterable[MetricsSnapshot]) -> Generator[None, None, MetricsSnapshot]:
    """The same in steps."""
    summed: set[tuple[str, str, str]] = set()
    series: dict[tuple[str, str, str], Series] = {}
    counters: dict[Key, float] = {}
    gauges: dict[Key, float] = {}
    for snapshot in snapshots:
        for at, one in enumerate(snapshot.series, 1):
            if at % AT_ONCE == 0:
                yield
            seen = series.get(one.key)
            if seen is None:
                series[one.key] = one
                continue
            if one.key not in summed:
                summed.add(one.key)
                seen = series[one.key] = seen.copy()
            seen.add(one)
        for into, told in ((counters, snapshot.counters), (gauges, snapshot.gauges)):
            for at, sample in enumerate(told, 1):
                combine(into, (sample.name, sample.labels), sample.value)
                if at % AT_ONCE == 0:
                    yield
    in_order = [series[key] for key in sorted(series)]
    yield
    return MetricsSnapshot(in_order, (yield from sampling(counters)), (yield from sampling(gauges)))


def combine(into: dict[Key, float], key: Key, value: float) -> None:
    """Add a value to those of other workers, as its family says."""
    into[key] = BY_NAME[key[0]].combine(into[key], value) if key in into else value


def sampling(values: dict[Key, float]) -> Generator[None, None, list[Sample]]:
    """All of them in order, in steps: to sort 38,400 at once takes 30 ms, to let go of them 8. `values` is empty after
    it."""
    groups: dict[tuple[str, str], list[Key]] = {}
    for at, key in enumerate(list(values), 1):
        groups.setdefault((key[0], key[1][0] if key[1] else ""), []).append(key)
        if at % AT_ONCE == 0:
            yield
    found: list[Sample] = []
    for at, group in enumerate(sorted(groups), 1):
        found += [Sample(name, labels, values.pop((name, labels))) for name, labels in sorted(groups.pop(group))]
        if at % GROUPS_AT_ONCE == 0:
            yield
    return found


def emptying(snapshot: MetricsSnapshot) -> Generator[None, None, None]:
    """Let go of what a snapshot holds, in steps."""
    for samples in (snapshot.counters, snapshot.gauges):
        while samples:
            del samples[-AT_ONCE:]
            yield


def finished(making: Generator[None, None, T]) -> T:
    """What steps come to, with no turn for anybody else."""
    while True:
        try:
            next(making)
        except StopIteration as end:
            made: T = end.value
            return made
