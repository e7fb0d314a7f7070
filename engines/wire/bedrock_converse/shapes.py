"""What is parsed of a Converse response, and of the events of its stream.

Their defaults are not all literals, so this module is not compiled.
"""

from __future__ import annotations

from typing import Any

import msgspec

from engines.wire.dialect import Count
from engines.wire.refusals import NULL


class ReasoningText(msgspec.Struct, rename="camel"):
    text: str = ""
    signature: str = ""


class Thought(msgspec.Struct, rename="camel"):
    """A delta of a thought, or a whole one."""

    text: str = ""
    signature: str = ""
    redacted_content: str = ""
    reasoning_text: ReasoningText | None = None


class ToolUse(msgspec.Struct, rename="camel"):
    """A call; its input is text in a delta, and an object in a whole one."""

    tool_use_id: str = ""
    name: str = ""
    input: str | dict[str, Any] | None = None


class Block(msgspec.Struct, rename="camel"):
    """A block of content, its start, or a delta of it: one of these."""

    text: str | None = None
    reasoning_content: Thought | None = None
    tool_use: ToolUse | None = None
    citation: dict[str, Any] | None = None


class CacheDetail(msgspec.Struct, rename="camel"):
    """What was written to a cache for so long (CacheDetail, service-2.json)."""

    ttl: str | None = None
    input_tokens: Count | None = None


class WireUsage(msgspec.Struct, rename="camel"):
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cache_read_input_tokens: Count | None = None
    cache_write_input_tokens: Count | None = None
    cache_details: list[CacheDetail] | None = None


class Message(msgspec.Struct, rename="camel"):
    content: list[Block] | None = None


class Output(msgspec.Struct, rename="camel"):
    message: Message | None = None


class Streamed(msgspec.Struct, rename="camel"):
    content_block_index: int = 0
    start: Block | None = None
    delta: Block | None = None
    stop_reason: str | None = None
    usage: msgspec.Raw = NULL
    message: str | None = None


class Answer(msgspec.Struct, rename="camel"):
    output: Output | None = None
    stop_reason: str | None = None
    usage: msgspec.Raw = NULL
    message: str | None = None


decode_event = msgspec.json.Decoder(Streamed).decode
decode_whole = msgspec.json.Decoder(Answer).decode
decode_usage = msgspec.json.Decoder(WireUsage | None).decode
