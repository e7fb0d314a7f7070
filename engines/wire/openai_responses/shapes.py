"""What is parsed of a response: of each object the members we act on."""

from __future__ import annotations

import msgspec

from engines.wire.dialect import Count
from engines.wire.openai_chat.shapes import Details
from engines.wire.refusals import NULL
from engines.wire.said import Said


class WireUsage(msgspec.Struct):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    input_tokens_details: Details | None = None
    output_tokens_details: Details | None = None


class Incomplete(msgspec.Struct):
    reason: str | None = None


class Response(Said):
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
decode_usage = msgspec.json.Decoder(WireUsage | None).decode
