"""A mergeable histogram of durations: percentiles within a stated relative error, whatever was merged in what order.

Buckets are log-linear: every power of two is cut into 2^b equal parts, and a bucket answers with its middle, so the
error is at most 2^-(b+1) of the value (1 % asks for b = 6: 0.78 %). Values below 2^(b+1) have a bucket each and are
exact, as are count, sum, min and max. Two histograms of equal error have equal buckets, so that merging shards loses
nothing: the percentiles of the whole are those of the merged parts. An average of percentiles would be no percentile.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any


class LogHistogram:
    """Counts of non-negative integers, by convention nanoseconds."""

    __slots__ = ("_bits", "_counts", "count", "max", "min", "relative_error", "sum")

    def __init__(self, relative_error: float = 0.01) -> None:
        """`relative_error`: the largest |answer - truth| / truth of a percentile, in (0, 0.5]."""
        if not 0 < relative_error <= 0.5:
            raise ValueError("relative_error must be above 0 and at most 0.5")
        self.relative_error = relative_error
        self._bits = max(0, math.ceil(-math.log2(relative_error)) - 1)
        self._counts: dict[int, int] = {}
        self.count = 0
        self.sum = 0
        self.min = 0
        """0 while empty, as is `max`."""
        self.max = 0

    def add(self, value: int, n: int = 1) -> None:
        """Count `value` n times. Raises ValueError when it is negative."""
        shift = value.bit_length() - self._bits - 1
        index = value if shift <= 0 else (shift << self._bits) + (value >> shift)
        if value < 0:
            raise ValueError(f"a duration cannot be negative: {value}")
        self._counts[index] = self._counts.get(index, 0) + n
        if not self.count or value < self.min:
            self.min = value
        if value > self.max:
            self.max = value
        self.count += n
        self.sum += value * n

    def extend(self, values: Sequence[int]) -> None:
        """Count each of `values`; about half the price of as many `add`s."""
        if not values:
            return
        smallest, largest = min(values), max(values)
        if smallest < 0:
            raise ValueError(f"a duration cannot be negative: {smallest}")
        bits, counts = self._bits, self._counts
        for value in values:
            shift = value.bit_length() - bits - 1
            index = value if shift <= 0 else (shift << bits) + (value >> shift)
            counts[index] = counts.get(index, 0) + 1
        self.min = min(self.min, smallest) if self.count else smallest
        self.max = max(self.max, largest)
        self.count += len(values)
        self.sum += sum(values)

    def merge(self, other: LogHistogram) -> None:
        """Take in everything `other` holds. Raises ValueError when its buckets are others."""
        if other._bits != self._bits:
            raise ValueError(f"cannot merge errors of {self.relative_error} and {other.relative_error}")
        if not other.count:
            return
        for index, n in other._counts.items():
            self._counts[index] = self._counts.get(index, 0) + n
        self.min = min(self.min, other.min) if self.count else other.min
        self.max = max(self.max, other.max)
        self.count += other.count
        self.sum += other.sum

    def percentile(self, q: float) -> int:
        """The value at rank ceil(q/100 * count) of the sorted values (nearest rank), q in [0, 100].

        Raises ValueError when there are no values: a percentile of nothing is not 0.
        """
        return self.percentiles((q,))[0]

    def percentiles(self, qs: Iterable[float]) -> list[int]:
        """`percentile` of each of `qs`, in one pass over the buckets."""
        if not self.count:
            raise ValueError("no values, so no percentile")
        wanted = list(qs)
        if any(not 0 <= q <= 100 for q in wanted):
            raise ValueError(f"percentiles lie between 0 and 100: {wanted}")
        answers = [0] * len(wanted)
        buckets = iter(sorted(self._counts.items()))
        below, middle = 0, 0
        for place in sorted(range(len(wanted)), key=wanted.__getitem__):
            # q times count first: 99.9 / 100 * 1000 is 999.0000000000001, which would be one rank too far.
            rank = max(1, math.ceil(round(wanted[place] * self.count / 100, 9)))
            while below < rank:
                index, n = next(buckets)
                below += n
                low, high = self._bounds(index)
                middle = (low + high) // 2
            answers[place] = min(self.max, max(self.min, middle))
        return answers

    @property
    def mean(self) -> float:
        """Exact. Raises ValueError when there are no values."""
        if not self.count:
            raise ValueError("no values, so no mean")
        return self.sum / self.count

    def buckets(self) -> Iterator[tuple[int, int, int]]:
        """`(lowest, highest, count)` of each bucket that holds values, ascending; both ends belong to it."""
        for index, n in sorted(self._counts.items()):
            yield (*self._bounds(index), n)

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers; `from_json` gives back an equal histogram."""
        return {
            "relative_error": self.relative_error,
            "count": self.count,
            "sum": self.sum,
            "min": self.min,
            "max": self.max,
            "buckets": [[index, n] for index, n in sorted(self._counts.items())],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> LogHistogram:
        """Read what `to_json` made. Raises ValueError when the counts do not add up."""
        made = cls(data["relative_error"])
        made._counts = {int(index): int(n) for index, n in data["buckets"]}
        made.count, made.sum, made.min, made.max = data["count"], data["sum"], data["min"], data["max"]
        if sum(made._counts.values()) != made.count:
            raise ValueError("the buckets do not add up to the count")
        return made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LogHistogram) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment] # it changes

    def __repr__(self) -> str:
        return f"LogHistogram(count={self.count}, min={self.min}, max={self.max})"

    def _bounds(self, index: int) -> tuple[int, int]:
        shift = (index >> self._bits) - 1
        if shift <= 0:
            return index, index
        low = (index - (shift << self._bits)) << shift
        return low, low + (1 << shift) - 1
