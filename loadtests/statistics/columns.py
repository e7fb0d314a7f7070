"""The records of a run as numpy columns: what every statistic is computed from.

A ten-minute run at 1,000 requests/s is 600,000 records. Each field is walked once, into an array; everything after that
is array arithmetic. The derived durations live here, once, so that summary, SLO, honesty, comparison and report cannot
disagree on what TTFT is. They are seconds as float64; NaN means that it never happened or is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtests.client.record import Record

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

UNKNOWN = -1
"""In a token column: the server did not say. Never zero, never guessed."""


@dataclass(frozen=True)
class Coded:
    """A text column as small integers: `names[codes[i]]` is the text of row i. Names are sorted and each occurs."""

    names: tuple[str, ...]
    codes: Ints

    def take(self, rows: Bools | Ints) -> Coded:
        return Coded(self.names, self.codes[rows])

    def equals(self, name: str) -> Bools:
        """Rows whose text is `name`."""
        if name not in self.names:
            return np.zeros(len(self.codes), dtype=np.bool_)
        return np.asarray(self.codes == self.names.index(name))

    def counts(self) -> dict[str, int]:
        """How many rows hold each text that occurs, most frequent first, then by name."""
        number = np.bincount(self.codes, minlength=len(self.names)).tolist()
        pairs = [(name, count) for name, count in zip(self.names, number, strict=True) if count]
        return dict(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))


@dataclass(frozen=True)
class Columns:
    """Rows in the order given. Stamps are monotonic nanoseconds, 0 = never; tokens are `UNKNOWN` when unsaid."""

    index: Ints
    ti: Ints
    ts: Ints
    c1: Ints
    ck: Ints
    te: Ints
    first_content: Ints
    max_gap_ns: Ints
    chunks: Ints
    tokens: Ints
    prompt_tokens: Ints
    cached_tokens: Ints
    asked_tokens: Ints
    """`max_tokens` of the request."""
    attempts: Ints
    status: Ints
    """HTTP status; 0 when no answer came."""
    stream: Bools
    error: Coded
    finish_reason: Coded
    engine: Coded
    replica: Coded
    arm: Coded

    def __len__(self) -> int:
        return len(self.index)

    def take(self, rows: Bools | Ints) -> Columns:
        """The rows of a mask, or of positions in their order."""
        if rows.dtype == np.bool_:
            rows = np.flatnonzero(rows)  # once: 19 columns follow
        taken: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            taken[field.name] = value.take(rows) if isinstance(value, Coded) else value[rows]
        return Columns(**taken)

    @cached_property
    def sent(self) -> Bools:
        """Handed to a socket. A request that the client dropped never was."""
        return np.asarray(self.ts > 0)

    @cached_property
    def ok(self) -> Bools:
        """Answered to the end without an error."""
        return self.error.equals("")

    @cached_property
    def send_lag_s(self) -> Floats:
        """`ts - ti`: how late the client itself was."""
        return _span(self.ti, self.ts, self.sent)

    @cached_property
    def ttft_response_s(self) -> Floats:
        """`c1 - ti`: first content, from the intended send. The headline: what a user who arrived then has waited."""
        return _span(self.ti, self.c1, self.c1 > 0)

    @cached_property
    def ttft_service_s(self) -> Floats:
        """`c1 - ts`: first content, from the actual send."""
        return _span(self.ts, self.c1, (self.c1 > 0) & self.sent)

    @cached_property
    def ttfo_response_s(self) -> Floats:
        """First content that is not reasoning, from the intended send."""
        return _span(self.ti, self.first_content, self.first_content > 0)

    @cached_property
    def e2e_response_s(self) -> Floats:
        """`te - ti`: end of the body, from the intended send."""
        return _span(self.ti, self.te, self.te > 0)

    @cached_property
    def e2e_service_s(self) -> Floats:
        """`te - ts`: end of the body, from the actual send."""
        return _span(self.ts, self.te, (self.te > 0) & self.sent)

    @cached_property
    def tpot_s(self) -> Floats:
        """`(cK - c1) / (N - 1)`, N the server's token count; undefined for N < 2, an unknown N, or no stream."""
        defined = self.stream & (self.tokens >= 2) & (self.c1 > 0) & (self.ck > 0)
        return _span(self.c1, self.ck, defined) / np.where(defined, self.tokens - 1, 1)

    @cached_property
    def stall_s(self) -> Floats:
        """The longest gap between two chunks of one answer; undefined below two chunks."""
        return _span(np.zeros_like(self.max_gap_ns), self.max_gap_ns, self.chunks >= 2)


def _span(start: Ints, end: Ints, happened: Bools) -> Floats:
    return np.where(happened, (end - start) / 1e9, np.nan)


def columns(records: Sequence[Record]) -> Columns:
    """Turn records into columns, about 1 us each."""
    count = len(records)
    made: dict[str, Any] = {name: _ints(map(attrgetter(name), records), count) for name in _STAMPS}
    made |= {name: _known(list(map(attrgetter(name), records))) for name in _TOKENS}
    made |= {name: _coded(list(map(attrgetter(name), records))) for name in _TEXTS}
    return Columns(
        stream=np.fromiter(map(attrgetter("stream"), records), np.bool_, count),
        error=_coded(list(map(_failure, records))),
        **made,
    )


_STAMPS = ("index", "ti", "ts", "c1", "ck", "te", "first_content", "max_gap_ns", "chunks", "attempts", "status")
_TOKENS = ("tokens", "prompt_tokens", "cached_tokens", "asked_tokens")
_TEXTS = ("finish_reason", "engine", "replica", "arm")


def _ints(values: Iterable[int], count: int) -> Ints:
    return np.fromiter(values, np.int64, count)


def _known(values: list[int | None]) -> Ints:
    # numpy reads None as NaN at a quarter of the price of asking each value; counts are far below 2**53.
    counted = np.array(values, dtype=np.float64)
    return np.where(np.isnan(counted), UNKNOWN, counted).astype(np.int64)


def _coded(texts: list[str]) -> Coded:
    names = sorted(set(texts))
    code = {name: number for number, name in enumerate(names)}
    return Coded(tuple(names), _ints(map(code.__getitem__, texts), len(texts)))


def _failure(record: Record) -> str:
    """Its error; a record that claims none but never ended is a failure too."""
    return record.error or ("" if record.te else "unfinished")
