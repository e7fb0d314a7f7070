"""What is parsed of an answer of Cohere's.

Their defaults are not all literals, so this module is not compiled.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from engines.wire.odd_counts import MOST
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


Count = Annotated[float, msgspec.Meta(ge=0, le=MOST)]
"""Tokens, which it tells as floats."""


class Tokens(msgspec.Struct):
    input_tokens: Count | None = None
    output_tokens: Count | None = None


class WireUsage(msgspec.Struct):
    billed_units: Tokens | None = None
    tokens: Tokens | None = None
    cached_tokens: Count | None = None


class Delta(msgspec.Struct):
    message: Message | None = None
    finish_reason: str | None = None
    usage: msgspec.Raw = NULL
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
    usage: msgspec.Raw = NULL
    error: msgspec.Raw = NULL


decode_event = msgspec.json.Decoder(Streamed).decode
decode_usage = msgspec.json.Decoder(WireUsage | None).decode
decode_answer = msgspec.json.Decoder(Answer).decode
