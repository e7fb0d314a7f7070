"""What is parsed of a response: of each object the members we act on."""

from __future__ import annotations

import msgspec

from engines.model import Usage
from engines.wire.dialect import Count
from engines.wire.odd_counts import counts_of
from engines.wire.openai_chat.shapes import NULL


class Details(msgspec.Struct):
    cached_tokens: Count | None = None
    cache_write_tokens: Count | None = None
    reasoning_tokens: Count | None = None


class WireUsage(msgspec.Struct):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    input_tokens_details: Details | None = None
    output_tokens_details: Details | None = None

    def normalised(self) -> Usage:
        before, after = self.input_tokens_details, self.output_tokens_details
        return Usage(
            input_tokens=self.input_tokens or 0,
            output_tokens=self.output_tokens or 0,
            cached_tokens=(before.cached_tokens or 0) if before else 0,
            cache_write_tokens=(before.cache_write_tokens or 0) if before else 0,
            reasoning_tokens=(after.reasoning_tokens or 0) if after else 0,
        )


class Incomplete(msgspec.Struct):
    reason: str | None = None


class Response(msgspec.Struct):
    status: str | None = None
    usage: msgspec.Raw = NULL
    incomplete_details: Incomplete | None = None
    error: msgspec.Raw = NULL


class Event(msgspec.Struct):
    type: str = ""
    response: Response | None = None
    error: msgspec.Raw = NULL


decode_event = msgspec.json.Decoder(Event).decode
decode_response = msgspec.json.Decoder(Response).decode
_decode_usage = msgspec.json.Decoder(WireUsage | None).decode


def usage_of(raw: msgspec.Raw) -> Usage | None:
    """What a `usage` member says, as far as it can be understood; None when it is none."""
    if raw is NULL:
        return None
    try:
        usage = _decode_usage(raw)
    except msgspec.ValidationError:
        counts = counts_of(raw, "input_tokens_details", "output_tokens_details")
        usage = None if counts is None else msgspec.convert(counts, WireUsage)
    return None if usage is None else usage.normalised()
