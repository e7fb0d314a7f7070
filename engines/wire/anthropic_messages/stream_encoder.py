"""A message for Anthropic's clients: named events, or one document.

Blocks come one after another, as the kinds of content do; the reason and the usage come at the end, together. Where the
arguments of several calls come interleaved, the later calls wait until the block of the first one closes.

What another maker's model wants back unchanged stands where Anthropic's own would, with whose it is
(`engines.wire.keepsakes`); a call has no such place, so what goes back with it is a redacted block before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from typing import Any, Final

import msgspec

from engines.model import Usage
from engines.wire import events
from engines.wire.anthropic_messages.dialect import DIALECT, END
from engines.wire.anthropic_messages.request_decoder import NAME
from engines.wire.bounds import Unsayable, admitted, check_kept
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
from engines.wire.keepsakes import sealed

_encode = msgspec.json.Encoder().encode
_PING: Final = b'event: ping\ndata: {"type":"ping"}\n\n'
_DELTA: Final = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":'
_TEXT: Final = b'"text_delta","text":'
_THINKING: Final = b'"thinking_delta","thinking":'
_TAIL: Final = b"}}\n\n"
_STOP: Final = b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n'

NO_BLOCK: Final = ""
NO_CALL: Final = -1


class WaitingCall:
    """A call that began while the block of another was open."""

    __slots__ = ("arguments", "id", "start")

    def __init__(self, start: ToolStart, id: str) -> None:
        self.start = start
        self.id = id
        self.arguments = StringIO()


class MessagesStreamEncoder(StreamEncoder):
    """One stream of named events."""

    __slots__ = (
        "_answer_id",
        "_arguments",
        "_before",
        "_begun",
        "_call",
        "_finish",
        "_id",
        "_index",
        "_kept",
        "_model",
        "_open",
        "_waiting",
    )

    def __init__(self, model: str, created: int, answer_id: str) -> None:
        """`created` is no part of the format."""
        self._answer_id = answer_id
        self._id = f"msg_{answer_id}"
        self._model = model
        self._begun = False
        self._open = NO_BLOCK
        """The kind of the block that is open."""
        self._index = -1
        """Of that block, or of the last one."""
        self._before = b""
        """What begins a delta of the block that is open, if it is of text."""
        self._call = NO_CALL
        """Number of the last call that got a block."""
        self._arguments = StringIO()
        """Of that call: once they are whole the next call needs not wait."""
        self._waiting: dict[int, WaitingCall] = {}
        """By their numbers."""
        self._kept = 0
        """Characters of calls."""
        self._finish: Finish | None = None

    def write(self, event: Event) -> bytes:
        if isinstance(event, Text):
            if self._open == "text":
                return self._before + _encode(event.text) + _TAIL
            return self._said("text", event.text)
        if isinstance(event, ToolArgs):
            return self._more_arguments(event)
        if isinstance(event, Reasoning):
            return self._thought(event)
        if isinstance(event, ToolStart):
            if self._open == "tool" and (self._waiting or not _is_object(self._arguments.getvalue())):
                self._keep(event.id + event.name + event.signature)
                self._waiting[event.index] = WaitingCall(event, admitted(event, self._answer_id))
                return b""
            return self._begin_call(event, admitted(event, self._answer_id))
        if isinstance(event, Refused):
            return self._said("refusal", event.text)
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
        delta = stop_of(self._finish, self._call != NO_CALL)
        told = _encode({"type": "message_delta", "delta": delta, "usage": usage_of(usage)})
        return b"", opening + self._stop() + b"event: message_delta\ndata: " + told + b"\n\n" + END

    def error_event(self, error: ApiError) -> bytes:
        return DIALECT.reader().error_event(error)

    def _said(self, kind: str, text: str) -> bytes:
        """Of what the model says in place of an answer there is no block of its own: it is a text apart."""
        opening = b""
        if self._open != kind:
            opening = self._start(kind, {"type": "text", "text": ""})
            self._before = _DELTA % self._index + _TEXT
        return opening + self._before + _encode(text) + _TAIL

    def _thought(self, event: Reasoning) -> bytes:
        if event.redacted:
            return self._start("redacted", redacted_of(event)) + self._stop()
        told = b""
        if self._open != "thinking":
            told = self._start("thinking", {"type": "thinking", "thinking": "", "signature": ""})
        delta = _DELTA % self._index
        if event.text:
            told += delta + _THINKING + _encode(event.text) + _TAIL
        if event.signature:
            told += delta + b'"signature_delta","signature":' + _encode(signature_of(event)) + _TAIL + self._stop()
        return told

    def _begin_call(self, start: ToolStart, id: str) -> bytes:
        told = b"" if not start.signature else self._start("redacted", kept_of(start)) + self._stop()
        call = {"type": "tool_use", "id": id, "name": start.name, "input": {}}
        self._call = start.index
        self._arguments = StringIO()
        return told + self._start("tool", call)

    def _more_arguments(self, event: ToolArgs) -> bytes:
        self._keep(event.text)
        waiting = self._waiting.get(event.index)
        if waiting is not None:
            waiting.arguments.write(event.text)
            return b""
        if event.index != self._call or self._open != "tool":
            raise Unsayable("the engine sent more arguments of a call that was followed by something else")
        self._arguments.write(event.text)
        return self._input(event.text)

    def _keep(self, text: str) -> None:
        self._kept += len(text)
        check_kept(self._kept)

    def _input(self, text: str) -> bytes:
        return _DELTA % self._index + b'"input_json_delta","partial_json":' + _encode(text) + _TAIL

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
        told = [_STOP % self._index]
        waiting, self._waiting = self._waiting, {}
        for call in waiting.values():
            told.append(self._begin_call(call.start, call.id))
            arguments = call.arguments.getvalue()
            if arguments:
                told.append(self._input(arguments))
            self._open = NO_BLOCK
            told.append(_STOP % self._index)
        return b"".join(told)

    def _begin(self) -> bytes:
        self._begun = True
        message = {**head_of(self._id, self._model), "content": [], **stop_of(None, False), "usage": usage_of(None)}
        return b"event: message_start\ndata: " + _encode({"type": "message_start", "message": message}) + b"\n\n"


def signature_of(event: Reasoning) -> str:
    """What signs a block of thought, with whose it is where it is not Anthropic's."""
    if not event.signature or event.origin in ("", NAME):
        return event.signature
    return sealed(event.origin, "signature", event.signature)


def redacted_of(event: Reasoning) -> dict[str, Any]:
    own = event.origin in ("", NAME)
    return {
        "type": "redacted_thinking",
        "data": event.redacted if own else sealed(event.origin, "redacted", event.redacted),
    }


def kept_of(start: ToolStart) -> dict[str, Any]:
    """What goes back with a call: only Gemini has such a thing."""
    return {"type": "redacted_thinking", "data": sealed("gemini", "call", start.signature)}


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
    inputs: dict[int, list[str]] = {}
    calls: dict[int, dict[str, Any]] = {}
    refused = False
    """Whether the last text is a refusal."""
    for event in said:
        last = blocks[-1] if blocks else {}
        if isinstance(event, (Text, Refused)):
            is_more, refused = refused == isinstance(event, Refused), isinstance(event, Refused)
            if last.get("type") == "text" and is_more:
                last["text"].append(event.text)
            else:
                blocks.append({"type": "text", "text": [event.text]})
        elif isinstance(event, Reasoning):
            if event.redacted:
                blocks.append(redacted_of(event))
            elif last.get("type") == "thinking" and not last["signature"]:
                last["thinking"].append(event.text)
                last["signature"] = signature_of(event)
            else:
                blocks.append({"type": "thinking", "thinking": [event.text], "signature": signature_of(event)})
        elif isinstance(event, ToolStart):
            if event.signature:
                blocks.append(kept_of(event))
            id_of_call = admitted(event, answer_id)
            calls[event.index] = {"type": "tool_use", "id": id_of_call, "name": event.name, "input": {}}
            blocks.append(calls[event.index])
        elif isinstance(event, ToolArgs):
            inputs.setdefault(event.index, []).append(event.text)
        elif isinstance(event, Start):
            id, model = event.id or id, event.model or model
        elif isinstance(event, Counted):
            usage = event.usage
        elif isinstance(event, Finish):
            finish = event
    for index, arguments in inputs.items():
        calls[index]["input"] = _object("".join(arguments))
    for block in blocks:  # pieces are joined once: an answer may be of very many
        for member in ("text", "thinking"):
            if member in block:
                block[member] = "".join(block[member])
    stop = stop_of(finish, bool(calls))
    return _encode({**head_of(id, model), "content": blocks, **stop, "usage": usage_of(usage)})


def _is_object(arguments: str) -> bool:
    try:
        msgspec.json.decode(arguments, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return False
    return True


def _object(arguments: str) -> Any:
    """A model may write what is no JSON, which the format has no place for: it is told as the text that it is."""
    if not arguments.strip():
        return {}
    try:
        return msgspec.json.decode(arguments, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return {"invalid_json": arguments}
