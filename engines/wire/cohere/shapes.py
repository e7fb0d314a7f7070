"""What is parsed of an answer of Cohere's.

Their defaults are not all literals, so this module is not compiled.
"""

from __future__ import annotations

import msgspec

from engines.wire.refusals import NULL


class Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class Call(msgspec.Struct):
    id: str | None = None
    function: Function | None = None


class Block(msgspec.Struct):
    type: str | None = None
    text: str | None = None
    thinking: str | None = None


class Message(msgspec.Struct):
    content: Block | list[Block] | str | None = None
    tool_plan: str | None = None
    tool_calls: Call | list[Call] | None = None


class Tokens(msgspec.Struct):
    input_tokens: float | None = None
    output_tokens: float | None = None


class WireUsage(msgspec.Struct):
    billed_units: Tokens | None = None
    tokens: Tokens | None = None
    cached_tokens: float | None = None


class Delta(msgspec.Struct):
    message: Message | None = None
    finish_reason: str | None = None
    usage: WireUsage | None = None
    error: str | None = None


class Streamed(msgspec.Struct):
    type: str = ""
    id: str | None = None
    index: int = 0
    delta: Delta | None = None
    error: msgspec.Raw = NULL
    message: msgspec.Raw = NULL


class Answer(msgspec.Struct):
    id: str | None = None
    message: Message | None = None
    finish_reason: str | None = None
    usage: WireUsage | None = None
    error: msgspec.Raw = NULL


decode_event = msgspec.json.Decoder(Streamed).decode
decode_answer = msgspec.json.Decoder(Answer).decode
