"""What is parsed of a message to translate it: its content too, which `shapes` passes over.

Their defaults are not all literals, so this module is not compiled.
"""

from __future__ import annotations

from typing import Any

import msgspec

from engines.wire.refusals import NULL


class Details(msgspec.Struct):
    category: str | None = None
    explanation: str | None = None


class Block(msgspec.Struct):
    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Any] | None = None


class Delta(msgspec.Struct):
    type: str = ""
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None
    signature: str | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: Details | None = None


class Message(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    content: list[Block] | None = None
    stop_reason: str | None = None
    stop_sequence: str | None = None
    stop_details: Details | None = None
    usage: msgspec.Raw = NULL
    type: str = ""
    error: msgspec.Raw = NULL


class Streamed(msgspec.Struct):
    type: str = ""
    index: int = 0
    message: Message | None = None
    content_block: Block | None = None
    delta: Delta | None = None
    usage: msgspec.Raw = NULL
    error: msgspec.Raw = NULL


decode_event = msgspec.json.Decoder(Streamed).decode
decode_message = msgspec.json.Decoder(Message).decode
