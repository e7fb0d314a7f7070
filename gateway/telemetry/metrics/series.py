"""What is counted for one (model, engine, arm): plain numbers, so that a request settles in about a microsecond.

One struct for all that a settled request adds to, rather than one per family: the caller holds it, and finds nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

import msgspec

from engines.model import Usage

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
