"""Records with figures that a test can foresee."""

from __future__ import annotations

from typing import Any

from loadtests.client.record import Record

MS = 1_000_000
S = 1_000_000_000
STARTED_NS = 10 * S
"""When the runs of these records begin: a stamp of 0 would mean that it never happened."""


def answered(
    index: int, at_ms: float = 0.0, lag_ms: float = 0.0, ttft_ms: float = 10.0, tokens: int | None = 11, **other: Any
) -> Record:
    """A streamed answer: first token `ttft_ms` after the send, then 1 ms a token, end 1 ms after the last."""
    ti = STARTED_NS + round(at_ms * MS)
    ts = ti + round(lag_ms * MS)
    c1 = ts + round(ttft_ms * MS)
    ck = c1 + (10 if tokens is None else max(0, tokens - 1)) * MS
    fields: dict[str, Any] = {
        "status": 200,
        "finish_reason": "stop",
        "chunks": 11,
        "max_gap_ns": MS,
        "first_content": c1,
    }
    return Record(index=index, ti=ti, ts=ts, c1=c1, ck=ck, te=ck + MS, tokens=tokens, **(fields | other))


def failed(index: int, error: str = "http_500", at_ms: float = 0.0, **other: Any) -> Record:
    """A request that was sent and refused; dropped, it was never sent."""
    ti = STARTED_NS + round(at_ms * MS)
    ts = 0 if error == "dropped" else ti
    return Record(index=index, ti=ti, ts=ts, error=error, **other)
