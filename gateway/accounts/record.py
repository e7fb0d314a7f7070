"""The one record every settled request leaves behind; access line, span and store are views of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from engines.model import UNITS

if TYPE_CHECKING:
    from engines.model import Usage

MOST_SAID: Final = 128
"""Characters of what an engine calls itself, its model or its answer."""
SHADOW: Final = "~shadow"
"""The arm of a copy (`gateway.shadow`), and of what serves copies; none of a configuration can be called so."""


class AttemptRecord(msgspec.Struct, omit_defaults=True, gc=False):
    """One engine call of a request: of several the one that answered, and those that did not and may cost all the same.

    Times are milliseconds of the request's clock, from its arrival.
    """

    engine: str
    replica: str
    upstream_model: str
    start_ms: float
    duration_ms: float
    outcome: str
    """`answered` of the one whose answer was used, `abandoned` where another was faster or the client left, or how it
    failed, as `routing.failing.outcome` spells it."""
    status: int = 0
    """What the engine answered; 0 where it did not."""
    ttft_ms: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    usage_source: str = ""
    cost_usd: float | None = None
    """None where nothing is known of it, which of a call that was cut off does not mean nothing."""
    unpriced: bool = False
    """Whether a part of that cost at least is unknown: it is the rest of it."""
    address: str = ""
    """The replica's `host:port`, where spans are made."""
    span_id: str = ""
    response_id: str = ""
    """The engine's own id of its answer, or of what there was of it."""
    response_model: str = ""
    """The model as the engine names it, where that is not `upstream_model`."""


class RequestRecord(msgspec.Struct, omit_defaults=True, gc=False):
    """One request, settled. Times are of one clock; token counts follow `engines.model.Usage`.

    Field order is the order of the access line. No field ever holds content, a key or a header value
    other than the request id; but `reason` is in the engine's words, which may repeat a little of what it complains of.
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
    """The public model name asked for, or `other` when it is not configured. A wildcard itself where no engine has
    answered (2xx) to what its star stood for; `upstream_model` is the target's then."""
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
    """The kind of failure, from `gateway.errors`; empty on success. `reason` has the words."""
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
    """Of all attempts together, as far as prices are known; None where none is."""
    key_id: str = ""
    tenant: str = ""
    trace_id: str = ""
    """32 hex digits; empty where the client named no trace and no spans are made."""
    queue_ms: float | None = None
    """How long it waited until a replica had room, if it did; no part of `overhead_ms`."""
    price_source: str = ""
    """Where the price of what answered is from: `configured`, `genai-prices` with its version, `gpu`, or a price with
    `+gpu`; empty where it is unknown."""
    service_tier: str = ""
    """The tier that was used, as the engine names it."""
    response_id: str = ""
    """The engine's own id of the answer."""
    response_model: str = ""
    """The model as the engine names it, where that is not `upstream_model`."""
    system_fingerprint: str = ""
    bundle: str = ""
    """The version of the model's configuration as it was served (`gateway.fleet.bundles`); empty where no engine was
    asked."""
    input_audio_tokens: int = 0
    input_image_tokens: int = 0
    output_audio_tokens: int = 0
    output_image_tokens: int = 0
    cache_write_1h_tokens: int = 0
    """Those of `cache_write_tokens` that are kept for an hour, which costs more."""
    tries: list[AttemptRecord] | None = None
    """Each attempt in its order, where there was more than one, or spans are made."""
    span_id: str = ""
    """Of our span of the request, 16 hex digits."""
    parent_span_id: str = ""
    """The client's."""
    sampled: bool = False
    """Whether spans of it are sent."""
    parameters: dict[str, int | float] | None = None
    """What it asked of the model's sampling, where spans are made."""
    experiment: str = ""
    """The identity of the experiment that it counts in (`gateway.experiments.plan`); empty where it counts in none."""
    unit: str = ""
    """Whom its arm was given to there: a hash (`routing.experiments.assignment`), 16 hex digits."""
    shares: tuple[float, ...] | msgspec.Raw | None = None
    """Of the arms at that moment, the control's first; what a request leaves has them as JSON
    (`gateway.accounts.shares`)."""
    reason: str = ""
    """Why it failed, in the engine's words or ours, in short (`gateway.accounts.reasons`); empty on success."""
    shadow_of: str = ""
    """The id of the record of the request that this is a copy of (`gateway.shadow`); empty where it is no copy."""
    unpriced: bool = False
    """Whether an engine answered, or charges all the same, and what that costs is not known, of a part at least."""
    units: dict[str, float] | None = None
    """What was used that has no field of its own: of `engines.model.UNITS`, and tokens of video."""
    asked_model: str = ""
    """The name that was asked for, where `model` is `other`: in short, and as Python writes what cannot be printed. The
    access line has it, the store and metrics do not."""


def note_more(record: RequestRecord, usage: Usage) -> None:
    """What few answers have."""
    parts, units = usage.parts, usage.units
    if parts is not None:
        record.input_audio_tokens, record.output_audio_tokens = parts.input_audio_tokens, parts.output_audio_tokens
        record.input_image_tokens, record.output_image_tokens = parts.input_image_tokens, parts.output_image_tokens
        record.cache_write_1h_tokens = parts.cache_write_1h_tokens
    used: dict[str, float] = {}
    if units is not None:
        used = {name: count for name, count in zip(UNITS, units.counts(), strict=True) if count}
    if parts is not None and parts.input_video_tokens:
        used["input_video_tokens"] = parts.input_video_tokens
    if parts is not None and parts.output_video_tokens:
        used["output_video_tokens"] = parts.output_video_tokens
    record.units = used or None


def shortened(said: str) -> str:
    """What an engine could make long."""
    return said[:MOST_SAID]
