"""What is parsed of a message: of each object the members we act on."""

from __future__ import annotations

import msgspec

from engines.model import Usage
from engines.wire.dialect import Count
from engines.wire.odd_counts import counts_of
from engines.wire.openai_chat.shapes import NULL


class OutputDetails(msgspec.Struct):
    thinking_tokens: Count | None = None


class WireUsage(msgspec.Struct):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    output_tokens_details: OutputDetails | None = None

    def normalised(self) -> Usage:
        read, written = self.cache_read_input_tokens or 0, self.cache_creation_input_tokens or 0
        details = self.output_tokens_details
        return Usage(
            input_tokens=(self.input_tokens or 0) + read + written,
            output_tokens=self.output_tokens or 0,
            cached_tokens=read,
            cache_write_tokens=written,
            reasoning_tokens=(details.thinking_tokens or 0) if details else 0,
        )


class Message(msgspec.Struct):
    usage: msgspec.Raw = NULL
    stop_reason: str | None = None
    error: msgspec.Raw = NULL


class Event(msgspec.Struct):
    type: str = ""
    message: Message | None = None
    delta: Message | None = None
    usage: msgspec.Raw = NULL
    error: msgspec.Raw = NULL


decode_event = msgspec.json.Decoder(Event).decode
decode_message = msgspec.json.Decoder(Message).decode
_decode_usage = msgspec.json.Decoder(WireUsage | None).decode


def usage_of(raw: msgspec.Raw) -> Usage | None:
    """What a `usage` member says, as far as it can be understood; None when it is none."""
    if raw is NULL:
        return None
    try:
        usage = _decode_usage(raw)
    except msgspec.ValidationError:
        counts = counts_of(raw, "output_tokens_details")
        usage = None if counts is None else msgspec.convert(counts, WireUsage)
    return None if usage is None else usage.normalised()
