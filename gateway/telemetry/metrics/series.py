"""What was counted for one (model, engine, arm), as it crosses from worker to parent; `tally` is what counts it."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

# A bucket counts values up to and including its bound, as Prometheus' `le` does.
TTFT_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
TPOT_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.5)
DURATION_BOUNDS_S = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
    *(10.0, 30.0, 60.0, 120.0, 300.0, 600.0),
)
QUEUE_BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
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
    """Everything counted for one (model, engine, arm)."""

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
    queue: Histogram = msgspec.field(default_factory=_histogram(QUEUE_BOUNDS_S))
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd: float = 0.0
    unpriced: int = 0

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
            queue=self.queue.copy(),
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
        self.queue.add(other.queue)
        self.input_tokens += other.input_tokens
        self.cached_tokens += other.cached_tokens
        self.output_tokens += other.output_tokens
        self.reasoning_tokens += other.reasoning_tokens
        self.cost_usd += other.cost_usd
        self.unpriced += other.unpriced
