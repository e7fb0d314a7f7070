"""What is parsed of a chat answer to translate it: its content too, which `shapes` passes over.

Their defaults are not all literals, so this module is not compiled.
"""

from __future__ import annotations

from typing import Any

import msgspec

from engines.wire.refusals import NULL


class Function(msgspec.Struct):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None  # Mistral's may be the object itself


class Call(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    type: str | None = None
    function: Function | None = None
    extra_content: dict[str, Any] | None = None


class Block(msgspec.Struct):
    """One of Anthropic's, which other gateways pass on beside the text of the thought."""

    index: int | None = None
    """Of a block that is told whole, after its text was told in pieces (`stream_encoder`)."""
    type: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    origin: str | None = None


class Delta(msgspec.Struct):
    """A delta, or a whole message."""

    content: str | list[dict[str, Any]] | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    refusal: str | None = None
    tool_calls: list[Call] | None = None
    thinking_blocks: list[Block] | None = None
    function_call: Function | None = None  # what OpenAI's first models called by


class Choice(msgspec.Struct):
    index: int | None = None
    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | None = None
    stop_reason: str | int | None = None


class Answer(msgspec.Struct):
    """A chunk, or a whole answer."""

    id: str | None = None
    model: str | None = None
    service_tier: str | None = None
    choices: list[Choice] | None = None
    usage: msgspec.Raw = NULL
    error: msgspec.Raw = NULL


decode_whole = msgspec.json.Decoder(Answer).decode
