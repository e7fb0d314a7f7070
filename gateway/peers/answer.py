"""What `GET /internal/v1/load` answers, as it is written and as it is read.

What "has come" or "has ended" is ever since the gateway started: whoever asks takes differences, and so misses nothing
between two looks. Unknown fields are passed over, so that gateways of two versions understand each other.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

PATH: Final = "/internal/v1/load"

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
"""What no gateway exceeds, and every sum of which can still be reckoned with: one that tells more is not believed."""
Measure = Annotated[float, msgspec.Meta(ge=0.0, le=1e12)]


class ModelLoad(msgspec.Struct, kw_only=True):
    """One model."""

    model: str
    engines: list[str]
    """Those that it asks before any other."""
    queue_requests: Count
    queue_tokens: Count
    """Of requests that wait for room: prompts, and outputs that are expected."""
    in_flight_requests: Count
    in_flight_tokens: Count
    """Not made yet, of prompts and of outputs that are expected."""
    arrived_requests: Count
    ended_requests: Count
    ended_prompt_tokens: Count
    """Those that were not cached."""
    ended_output_tokens: Count
    ttft_ms: Measure | None
    """The time to a first token that a request of this moment is predicted to meet; null where nothing is ready."""
    slo_ttft_ms: Measure | None
    """The one that it should have; null where the configuration has none."""
    kv_usage_ratio: Measure | None
    """Of the engines' KV caches together; null where none has told lately."""


class EngineLoad(msgspec.Struct, kw_only=True):
    """One engine."""

    engine: str
    ready_replicas: Count
    in_flight_requests: Count
    in_flight_tokens: Count = 0
    prefill_tokens: Count = 0
    """Of prompts that were sent and are not computed yet, as far as anybody knows."""
    queue_requests: Count = 0
    queue_prompt_tokens: Count = 0
    """Of requests in the lines of models that ask this engine first."""
    ended_requests: Count = 0
    ended_prompt_tokens: Count = 0
    ended_output_tokens: Count = 0
    prefill_ms_per_token: Measure = 0.0
    """How fast its replicas were found to be; 0: not known."""
    ttft_base_ms: Measure = 0.0
    decode_ms_per_token: Measure = 0.0
    kv_usage_ratio: Measure | None = None
    wakes: Count = 0
    """How often requests have come for it while it had no replica, ever; those that were refused at once among them."""
    replicas: list[tuple[str, Count, bool]] = []
    """Of an engine whose replicas follow the traffic: requests in flight, and whether it drains, of each of which
    either is so."""


class LoadAnswer(msgspec.Struct, kw_only=True):
    """The whole answer: sums over all workers of one gateway."""

    object: str = "load"
    gateway: str
    """Drawn at each start, so that one who meets himself knows it."""
    engines: list[EngineLoad]
    models: list[ModelLoad] = []
