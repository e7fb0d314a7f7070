"""A message for Anthropic's clients: named events, or one document.

Blocks come one after another, as the kinds of content do; the reason and the usage come at the end, together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from engines.model import Usage
from engines.wire import events
from engines.wire.anthropic_messages.dialect import DIALECT, END
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

_encode = msgspec.json.Encoder().encode
_PING: Final = b'event: ping\ndata: {"type":"ping"}\n\n'
_DELTA: Final = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":'
_TEXT: Final = b'"text_delta","text":'
_THINKING: Final = b'"thinking_delta","thinking":'
_TAIL: Final = b"}}\n\n"
_STOP: Final = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'

NO_BLOCK: Final = ""


class MessagesStreamEncoder(StreamEncoder):
    """One stream of named events."""

    __slots__ = ("_before", "_begun", "_block", "_calls", "_finish", "_id", "_index", "_model", "_open")

    def __init__(self, model: str, created: int, answer_id: str) -> None:
        """`created` is no part of the format."""
        self._id = f"msg_{answer_id}"
        self._model = model
        self._begun = False
        self._open = NO_BLOCK
        """The kind of the block that is open."""
        self._index = -1
        """Of that block, or of the last one."""
        self._before = b""
        """What begins a delta of the block that is open, if it is of text."""
        self._calls: dict[int, int] = {}
        """Number of a call -> index of its block."""
        self._finish: Finish | None = None

    def write(self, event: Event) -> bytes:
        if isinstance(event, (Text, Refused)):
            if self._open == "text":
                return self._before + _encode(event.text) + _TAIL
            opening = self._start("text", {"type": "text", "text": ""})
            self._before = _DELTA % self._index + _TEXT
            return opening + self._before + _encode(event.text) + _TAIL
        if isinstance(event, ToolArgs):
            index = self._calls.get(event.index, self._index)
            return _DELTA % index + b'"input_json_delta","partial_json":' + _encode(event.text) + _TAIL
        if isinstance(event, Reasoning):
            return self._thought(event)
        if isinstance(event, ToolStart):
            opening = self._start("tool", {"type": "tool_use", "id": event.id, "name": event.name, "input": {}})
            self._calls[event.index] = self._index
            return opening
        if isinstance(event, Finish):
            self._finish = event
        elif isinstance(event, Start):
            self._id = event.id or self._id
            self._model = event.model or self._model
        elif isinstance(event, Ping):
            return _PING if self._begun else b""
        return b""

    def closing(self, usage: Usage | None) -> tuple[bytes, bytes]:
        opening = b"" if self._begun else self._begin()
        delta = stop_of(self._finish, bool(self._calls))
        told = _encode({"type": "message_delta", "delta": delta, "usage": usage_of(usage)})
        return b"", opening + self._stop() + b"event: message_delta\ndata: " + told + b"\n\n" + END

    def error_event(self, error: ApiError) -> bytes:
        return DIALECT.reader().error_event(error)

    def _thought(self, event: Reasoning) -> bytes:
        if event.redacted:
            block = {"type": "redacted_thinking", "data": event.redacted}
            return self._start("redacted", block) + self._stop()
        told = b""
        if self._open != "thinking":
            told = self._start("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        delta = _DELTA % self._index
        if event.text:
            told += delta + _THINKING + _encode(event.text) + _TAIL
        if event.signature:
            told += delta + b'"signature_delta","signature":' + _encode(event.signature) + _TAIL + self._stop()
        return told

    def _start(self, kind: str, block: dict[str, Any]) -> bytes:
        told = self._stop() if self._begun else self._begin()
        self._index += 1
        self._open = kind
        begun = _encode({"type": "content_block_start", "index": self._index, "content_block": block})
        return told + b"event: content_block_start\ndata: " + begun + b"\n\n"

    def _stop(self) -> bytes:
        if not self._open:
            return b""
        self._open = NO_BLOCK
        return _STOP % self._index

    def _begin(self) -> bytes:
        self._begun = True
        message = {**head_of(self._id, self._model), "content": [], **stop_of(None, False), "usage": usage_of(None)}
        return b"event: message_start\ndata: " + _encode({"type": "message_start", "message": message}) + b"\n\n"


def head_of(id: str, model: str) -> dict[str, Any]:
    return {"id": id, "type": "message", "role": "assistant", "model": model}


def stop_of(finish: Finish | None, called: bool) -> dict[str, Any]:
    """OpenAI's engines say `stop` of a call that the request named."""
    if finish is None:
        return {"stop_reason": None, "stop_sequence": None}
    reason = STOP_REASON[finish.reason]
    if finish.reason == events.STOP and called:
        reason = "tool_use"
    elif finish.reason == events.STOP and finish.stop_sequence:
        reason = "stop_sequence"
    return {"stop_reason": reason, "stop_sequence": finish.stop_sequence or None}


STOP_REASON: Final = {
    events.STOP: "end_turn",
    events.LENGTH: "max_tokens",
    events.TOOL_CALLS: "tool_use",
    events.CONTENT_FILTER: "refusal",
}


def usage_of(usage: Usage | None) -> dict[str, Any]:
    """What the cache had, or took, is no part of Anthropic's input tokens."""
    if usage is None:
        return {"input_tokens": 0, "output_tokens": 0}
    told: dict[str, Any] = {
        "input_tokens": max(0, usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
    }
    if usage.reasoning_tokens:
        told["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return told


def encode_answer(said: Sequence[Event], model: str, created: int, answer_id: str) -> bytes:
    """One document that says all of it."""
    id, finish, usage = f"msg_{answer_id}", None, None
    blocks: list[dict[str, Any]] = []
    inputs: dict[int, str] = {}
    calls: dict[int, dict[str, Any]] = {}
    for event in said:
        last = blocks[-1] if blocks else {}
        if isinstance(event, (Text, Refused)):
            if last.get("type") == "text":
                last["text"] += event.text
            else:
                blocks.append({"type": "text", "text": event.text})
        elif isinstance(event, Reasoning):
            if event.redacted:
                blocks.append({"type": "redacted_thinking", "data": event.redacted})
            elif last.get("type") == "thinking" and not last["signature"]:
                last["thinking"] += event.text
                last["signature"] = event.signature
            else:
                blocks.append({"type": "thinking", "thinking": event.text, "signature": event.signature})
        elif isinstance(event, ToolStart):
            calls[event.index] = {"type": "tool_use", "id": event.id, "name": event.name, "input": {}}
            blocks.append(calls[event.index])
        elif isinstance(event, ToolArgs):
            inputs[event.index] = inputs.get(event.index, "") + event.text
        elif isinstance(event, Start):
            id, model = event.id or id, event.model or model
        elif isinstance(event, Counted):
            usage = event.usage
        elif isinstance(event, Finish):
            finish = event
    for index, arguments in inputs.items():
        calls[index]["input"] = _object(arguments)
    stop = stop_of(finish, bool(calls))
    return _encode({**head_of(id, model), "content": blocks, **stop, "usage": usage_of(usage)})


def _object(arguments: str) -> Any:
    """A model may write what is no JSON, which the format has no place for: it is told as the text that it is."""
    if not arguments.strip():
        return {}
    try:
        return msgspec.json.decode(arguments, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return {"invalid_json": arguments}
