"""What a worker counts of one (model, engine, arm) while its requests end: plain numbers, about a microsecond for each.

One object for all that a settled request adds to, rather than one per family: the caller holds it, and finds nothing.
What crosses to the parent is a `Series`, made of it when it is asked for.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from gateway.telemetry.metrics.series import (
    DURATION_BOUNDS_S,
    OVERHEAD_BOUNDS_S,
    QUEUE_BOUNDS_S,
    TPOT_BOUNDS_S,
    TTFT_BOUNDS_S,
    Histogram,
    Series,
)
from routing import lease

if TYPE_CHECKING:
    from engines.model import Usage


class Buckets:
    """A histogram that grows. `counts[i]` values fell into bucket i (not cumulative); the last is above every bound."""

    __slots__ = ("_above", "_bounds", "_slot", "_up_to", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0
        # The bucket of the last value, which is mostly that of the next: two comparisons in place of a search.
        self._slot = 0
        self._above = float("-inf")
        self._up_to = bounds[0]

    def observe(self, value: float) -> None:
        if not self._above < value <= self._up_to:
            self._find(value)
        self.counts[self._slot] += 1
        self.sum += value

    def _find(self, value: float) -> None:
        bounds = self._bounds
        self._slot = slot = bisect_left(bounds, value)
        self._above = bounds[slot - 1] if slot else float("-inf")
        self._up_to = bounds[slot] if slot < len(bounds) else float("inf")

    def histogram(self) -> Histogram:
        return Histogram(self.counts.copy(), self.sum)


class Tally(lease.LeaseSeries):
    """Everything counted of one (model, engine, arm). Get it from `Metrics.series`, hold it, call `settle`.

    `in_flight` is the caller's: `tally.in_flight += 1` at dispatch, `-= 1` when that is over.
    """

    __slots__ = (
        "arm",
        "cached_tokens",
        "codes",
        "cost_usd",
        "duration",
        "engine",
        "errors",
        "input_tokens",
        "model",
        "output_tokens",
        "overhead",
        "queue",
        "reasoning_tokens",
        "tpot",
        "ttft",
        "unpriced",
    )

    def __init__(self, model: str, engine: str, arm: str) -> None:
        self.model = model
        self.engine = engine
        self.arm = arm
        super().__init__()
        self.codes: dict[int, int] = {200: 0}
        self.errors: dict[str, int] = {}
        self.duration = Buckets(DURATION_BOUNDS_S)
        self.ttft = Buckets(TTFT_BOUNDS_S)
        self.tpot = Buckets(TPOT_BOUNDS_S)
        self.overhead = Buckets(OVERHEAD_BOUNDS_S)
        self.queue = Buckets(QUEUE_BOUNDS_S)
        """Of those that waited for room."""
        self.input_tokens = 0
        self.cached_tokens = 0
        self.output_tokens = 0
        self.reasoning_tokens = 0
        self.cost_usd = 0.0
        self.unpriced = 0

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
        codes = self.codes
        codes[code] = codes.get(code, 0) + 1
        self.duration.observe(duration_s)
        if ttft_s is not None:
            self.ttft.observe(ttft_s)
        if tpot_s is not None:
            self.tpot.observe(tpot_s)
        if overhead_s is not None:
            self.overhead.observe(overhead_s)
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

    def series(self) -> Series:
        """The numbers of this moment."""
        return Series(
            self.model,
            self.engine,
            self.arm,
            self.in_flight,
            self.codes.copy(),
            self.errors.copy(),
            self.duration.histogram(),
            self.ttft.histogram(),
            self.tpot.histogram(),
            self.overhead.histogram(),
            self.queue.histogram(),
            self.input_tokens,
            self.cached_tokens,
            self.output_tokens,
            self.reasoning_tokens,
            self.cost_usd,
            self.unpriced,
        )
