"""What is parsed of a message: of each object the members we act on."""

from __future__ import annotations

import msgspec

from engines.wire.dialect import Count
from engines.wire.refusals import NULL
from engines.wire.said import Said


class OutputDetails(msgspec.Struct):
    thinking_tokens: Count | None = None


class Written(msgspec.Struct):
    ephemeral_1h_input_tokens: Count | None = None


class ServerTools(msgspec.Struct):
    web_search_requests: Count | None = None


class WireUsage(msgspec.Struct):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_creation_input_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    output_tokens_details: OutputDetails | None = None
    cache_creation: Written | None = None
    service_tier: str | None = None
    speed: str | None = None
    server_tool_use: ServerTools | None = None


class Message(Said):
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
decode_usage = msgspec.json.Decoder(WireUsage | None).decode
