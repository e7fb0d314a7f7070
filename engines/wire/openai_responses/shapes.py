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
    total_tokens: Count | None = None
    input_tokens_details: Details | None = None
    output_tokens_details: Details | None = None


class Incomplete(msgspec.Struct):
    reason: str | None = None


class Action(msgspec.Struct):
    type: str | None = None


class Item(msgspec.Struct):
    type: str | None = None
    action: Action | None = None


class Response(Said):
    status: str | None = None
    usage: msgspec.Raw = NULL
    incomplete_details: Incomplete | None = None
    error: msgspec.Raw = NULL


class Event(msgspec.Struct):
    type: str = ""
    response: Response | None = None
    error: msgspec.Raw = NULL


class Searching(msgspec.Struct):
    """Of a response with calls of its own tools, the items."""

    output: list[Item] | None = None


class SearchingEvent(msgspec.Struct):
    response: Searching | None = None


decode_searching = msgspec.json.Decoder(Searching).decode
decode_searching_event = msgspec.json.Decoder(SearchingEvent).decode
decode_event = msgspec.json.Decoder(Event).decode
decode_response = msgspec.json.Decoder(Response).decode
decode_usage = msgspec.json.Decoder(WireUsage | None).decode
