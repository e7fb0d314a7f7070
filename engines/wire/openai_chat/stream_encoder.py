"""A chat answer for OpenAI's clients: chunks, or one document.

What the model thought is `reasoning_content`, as vLLM and DeepSeek tell it. What must come back unchanged is beside it:
`thinking_blocks` with their signatures, and Gemini's signature of a call in its `extra_content`. A stream tells a block
whole, once it is signed, and numbers it: openai-python joins the members of a list by their `index`
(`lib/streaming/_deltas.py`), and raises where there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from typing import Any, Final

import msgspec

from engines.model import Usage
from engines.wire.bounds import admitted, check_kept
from engines.wire.codec import StreamEncoder
from engines.wire.dialect import ApiError
from engines.wire.events import (
    Counted,
    Event,
    Finish,
    Ping,
    Reasoning,
    Refused,
    Start,
    Text,
    ToolArgs,
    ToolStart,
)
from engines.wire.openai_chat.dialect import DONE, error_body

_encode = msgspec.json.Encoder().encode
_PING: Final = b": ping\n\n"
_TAIL: Final = b'},"finish_reason":null}]}\n\n'


class ChatStreamEncoder(StreamEncoder):
    """One stream of chunks."""

    __slots__ = (
        "_answer_id",
        "_args",
        "_begun",
        "_blocks",
        "_content",
        "_created",
        "_head",
        "_id",
        "_kept",
        "_model",
        "_reasoning",
        "_thought_text",
    )

    def __init__(self, model: str, created: int, answer_id: str) -> None:
        self._answer_id = answer_id
        self._id = f"chatcmpl-{answer_id}"
        self._model = model
        self._created = created
        self._begun = False
        self._head = b""
        self._content = b""
        self._reasoning = b""
        self._args = b""
        self._blocks = 0
        """How many blocks of thought were told."""
        self._thought_text = StringIO()
        """Of the block that is open, if whoever made it may sign it."""
        self._kept = 0
        """Its characters."""

    def write(self, event: Event) -> bytes:
        if isinstance(event, Text):
            if not self._begun:
                return self._begin() + self._content + _encode(event.text) + _TAIL
            return self._content + _encode(event.text) + _TAIL
        if isinstance(event, ToolArgs):
            function = b'%d,"function":{"arguments":%b}}]' % (event.index, _encode(event.text))
            return self._opening() + self._args + function + _TAIL
        if isinstance(event, Reasoning):
            return self._thought(event)
        if isinstance(event, ToolStart):
            call = call_of(event, admitted(event, self._answer_id), "", event.index)
            return self._opening() + self._delta({"tool_calls": [call]})
        if isinstance(event, Refused):
            return self._opening() + self._delta({"refusal": event.text})
        if isinstance(event, Finish):
            reason = b'%b"choices":[{"index":0,"delta":{},"finish_reason":%b}]}\n\n'
            return self._opening() + reason % (self._head, _encode(event.reason))
        if isinstance(event, Start):
            self._id = event.id or self._id
            self._model = event.model or self._model
        elif isinstance(event, Ping):
            return _PING if self._begun else b""
        return b""

    def closing(self, usage: Usage | None) -> tuple[bytes, bytes]:
        if usage is None:
            return b"", DONE
        return self._opening() + self._head + b'"choices":[],"usage":%b}\n\n' % _encode(usage_of(usage)), DONE

    def error_event(self, error: ApiError) -> bytes:
        return b"data: " + error_body(error) + b"\n\n"

    def _opening(self) -> bytes:
        return b"" if self._begun else self._begin()

    def _begin(self) -> bytes:
        self._begun = True
        what = {"id": self._id, "object": "chat.completion.chunk", "created": self._created, "model": self._model}
        self._head = head = b"data: " + _encode(what)[:-1] + b","
        delta = head + b'"choices":[{"index":0,"delta":{'
        self._content = delta + b'"content":'
        self._reasoning = delta + b'"reasoning_content":'
        self._args = delta + b'"tool_calls":[{"index":'
        return delta + b'"role":"assistant","content":""' + _TAIL

    def _thought(self, event: Reasoning) -> bytes:
        opening = self._opening()
        if event.text and event.origin:
            self._kept += len(event.text)
            check_kept(self._kept)
            self._thought_text.write(event.text)
        if not event.signature and not event.redacted:
            return opening + self._reasoning + _encode(event.text) + _TAIL
        delta: dict[str, Any] = {"reasoning_content": event.text} if event.text else {}
        block = block_of(self._thought_text.getvalue() if event.origin else event.text, event)
        delta["thinking_blocks"] = [{"index": self._blocks, **block}]
        self._blocks += 1
        if not event.redacted:
            self._kept = 0
            self._thought_text = StringIO()
        return opening + self._delta(delta)

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return self._head + b'"choices":[{"index":0,"delta":%b,"finish_reason":null}]}\n\n' % _encode(delta)


def block_of(thought: str, event: Reasoning) -> dict[str, Any]:
    """A block of thought as Anthropic has it, with whose it is where it is not Anthropic's."""
    if event.redacted:
        block = {"type": "redacted_thinking", "data": event.redacted}
    else:
        block = {"type": "thinking", "thinking": thought, "signature": event.signature}
    return block if event.origin in ("", "anthropic_messages") else {**block, "origin": event.origin}


def call_of(event: ToolStart, id: str, arguments: str, index: int | None) -> dict[str, Any]:
    call: dict[str, Any] = {} if index is None else {"index": index}
    call |= {"id": id, "type": "function", "function": {"name": event.name, "arguments": arguments}}
    if event.signature:
        call["extra_content"] = {"google": {"thought_signature": event.signature}}
    return call


def usage_of(usage: Usage) -> dict[str, Any]:
    before: dict[str, int] = {"cached_tokens": usage.cached_tokens}
    if usage.cache_write_tokens:
        before["cache_write_tokens"] = usage.cache_write_tokens
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": before,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def encode_answer(said: Sequence[Event], model: str, created: int, answer_id: str) -> bytes:
    """One document that says all of it."""
    told: dict[str, Any] = {
        "id": f"chatcmpl-{answer_id}",
        "object": "chat.completion",
        "created": created,
        "model": model,
    }
    texts: list[str] = []
    refusals: list[str] = []
    thoughts: list[str] = []
    block: list[str] = []
    blocks: list[dict[str, Any]] = []
    starts: list[ToolStart] = []
    arguments: dict[int, list[str]] = {}
    reason, usage = "", None
    for event in said:
        if isinstance(event, Start):
            told["id"] = event.id or told["id"]
            told["model"] = event.model or model
        elif isinstance(event, Text):
            texts.append(event.text)
        elif isinstance(event, Refused):
            refusals.append(event.text)
        elif isinstance(event, Reasoning):
            thoughts.append(event.text)
            block.append(event.text)
            if event.signature or event.redacted:
                blocks.append(block_of("".join(block), event))
                block = []
        elif isinstance(event, ToolStart):
            starts.append(event)
        elif isinstance(event, ToolArgs):
            arguments.setdefault(event.index, []).append(event.text)
        elif isinstance(event, Counted):
            usage = event.usage
        elif isinstance(event, Finish):
            reason = event.reason
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) if texts or not starts else None}
    message["refusal"] = "".join(refusals) or None
    if thoughts:
        message["reasoning_content"] = "".join(thoughts)
    if blocks:
        message["thinking_blocks"] = blocks
    if starts:
        message["tool_calls"] = [
            call_of(start, admitted(start, answer_id), "".join(arguments.get(start.index, ())), None)
            for start in starts
        ]
    told["choices"] = [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}]
    if usage is not None:
        told["usage"] = usage_of(usage)
    return _encode(told)
