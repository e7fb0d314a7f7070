"""The one record every settled request leaves behind; access line, span and store are views of it."""

from __future__ import annotations

import msgspec


class RequestRecord(msgspec.Struct, omit_defaults=True, gc=False):
    """One request, settled. Times are of one clock; token counts follow `engines.model.Usage`.

    Field order is the order of the access line. No field ever holds content, a key or a header value
    other than the request id.
    """

    time: str
    """Arrival, RFC 3339, UTC, milliseconds."""
    request_id: str
    """Empty when the server refused the request before it was read."""
    record_id: str
    """Ours, and of no other record: 32 hex digits, which begin with the time of arrival (`gateway.record_ids`)."""
    operation: str
    """The path called, as `engines.model.Operation` spells it, or `other` when the server refused it at any other."""
    model: str
    """The public model name asked for, or `other` when it is not configured."""
    status: int
    """What the client was told; 499 when it left before an answer."""
    duration_ms: float
    stream: bool = False
    engine: str = ""
    replica: str = ""
    arm: str = ""
    upstream_model: str = ""
    attempts: int = 0
    error: str = ""
    """The kind of failure, from `gateway.errors`; empty on success."""
    finish_reason: str = ""
    ttft_ms: float | None = None
    """From the dispatch of the answering attempt to its first body byte."""
    tpot_ms: float | None = None
    overhead_ms: float | None = None
    """From the request's last byte to the first upstream dispatch."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    usage_source: str = ""
    """`reported`, `estimated`, or empty when nothing is known."""
    cost_usd: float | None = None
    key_id: str = ""
    tenant: str = ""
    traceparent: str = ""
    queue_ms: float | None = None
    """How long it waited until a replica had room, if it did; no part of `overhead_ms`."""
