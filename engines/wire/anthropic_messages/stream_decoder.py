"""What the events of a message say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from engines.sse import payload
from engines.wire import events, refusals
from engines.wire.anthropic_messages.content import Block, Delta, Details, Streamed, decode_event, decode_message
from engines.wire.anthropic_messages.dialect import normalised
from engines.wire.codec import StreamDecoder
from engines.wire.events import (
    Counted,
    End,
    Event,
    Failed,
    Finish,
    Ping,
    Reasoning,
    Refused,
    Start,
    Text,
    ToolArgs,
    ToolStart,
)
from engines.wire.lone_surrogates import reading
from engines.wire.refusals import is_truthy

NAME: Final = "anthropic_messages"
NOTHING: Final[Sequence[Event]] = ()

FINISH: Final = {
    "end_turn": events.STOP,
    "stop_sequence": events.STOP,
    "max_tokens": events.LENGTH,
    "model_context_window_exceeded": events.LENGTH,
    "tool_use": events.TOOL_CALLS,
    "refusal": events.CONTENT_FILTER,
    "pause_turn": "",
}
"""All that there are (anthropic types/stop_reason.py); an empty one ends nothing, and only its own format goes on."""


class MessagesStreamDecoder(StreamDecoder):
    """One stream of named events."""

    __slots__ = ("_calls", "_finished", "_inputs")

    def __init__(self) -> None:
        self._finished = False
        self._calls: dict[int, int] = {}
        """Index of a block -> number of the call that it is."""
        self._inputs: dict[int, str] = {}
        """Index of a call's block -> its whole input, as its start told it: some servers send no more of it."""

    @property
    def finished(self) -> bool:
        return self._finished

    def read(self, event: bytes) -> Sequence[Event]:
        data = payload(event)
        if not data:
            return NOTHING
        try:
            streamed = reading(decode_event, data)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return [_failure(data)]
        kind = streamed.type
        if kind == "content_block_delta":
            delta = streamed.delta
            return NOTHING if delta is None else self._delta(streamed.index, delta)
        if kind == "content_block_start":
            block = streamed.content_block
            return NOTHING if block is None else self._block(streamed.index, block)
        if kind == "content_block_stop":
            return self._stop(streamed.index) if self._inputs else NOTHING
        if kind == "ping":
            return [Ping()]
        if kind == "error" or is_truthy(streamed.error):
            return [_failure(data)]
        if kind == "message_start":
            return _start(streamed)
        if kind == "message_delta":
            return self._message_delta(streamed)
        if kind == "message_stop":
            return [End()]
        return [events.unknown_event(kind)]

    def _delta(self, index: int, delta: Delta) -> Sequence[Event]:
        kind = delta.type
        if kind == "text_delta":
            return [Text(delta.text)] if delta.text else NOTHING
        if kind == "input_json_delta":
            call = self._calls.get(index)
            if call is None:
                return [events.unknown_event("input of no call")]
            if not delta.partial_json:
                return NOTHING
            self._inputs.pop(index, None)
            return [ToolArgs(call, delta.partial_json)]
        if kind == "thinking_delta":
            return [Reasoning(delta.thinking, "", "", NAME)] if delta.thinking else NOTHING
        if kind == "signature_delta":
            return [Reasoning("", delta.signature, "", NAME)] if delta.signature else NOTHING
        if kind == "citations_delta":
            return NOTHING
        return [events.unknown_event(kind)]

    def _block(self, index: int, block: Block) -> Sequence[Event]:
        said = said_by(block, len(self._calls))
        if said and isinstance(said[0], ToolStart):
            self._calls[index] = said[0].index
            if block.input:
                self._inputs[index] = msgspec.json.encode(block.input).decode()
        return said

    def _stop(self, index: int) -> Sequence[Event]:
        told = self._inputs.pop(index, None)
        return NOTHING if told is None else [ToolArgs(self._calls[index], told)]

    def _message_delta(self, streamed: Streamed) -> Sequence[Event]:
        said: list[Event] = []
        usage = normalised(streamed.usage)
        if usage is not None:
            said.append(Counted(usage))
        delta = streamed.delta
        if delta is not None and delta.stop_reason:
            said += ending(delta.stop_reason, delta.stop_sequence, delta.stop_details)
            self._finished = isinstance(said[-1], Finish)
        return said


def _start(streamed: Streamed) -> Sequence[Event]:
    message = streamed.message
    if message is None:
        return NOTHING
    said: list[Event] = [Start(message.id or "", message.model or "")]
    usage = normalised(message.usage, begins=True)
    if usage is not None:
        said.append(Counted(usage))
    return said


def said_by(block: Block, calls: int) -> list[Event]:
    """What a block says, begun or whole; `calls` were begun before it. A call's arguments are not here: of one that has
    just begun they are an empty object, as a rule."""
    kind = block.type
    if kind == "text":
        return [Text(block.text)] if block.text else []
    if kind == "tool_use":
        return [ToolStart(calls, block.id or "", block.name or "")]
    if kind == "thinking":
        thought, signature = block.thinking or "", block.signature or ""
        return [Reasoning(thought, signature, "", NAME)] if thought or signature else []
    if kind == "redacted_thinking":
        return [Reasoning("", "", block.data or "", NAME)]
    return [events.unknown_event(kind)]


def ending(reason: str, stop_sequence: str | None, details: Details | None) -> list[Event]:
    """A refusal says why before it ends."""
    finish = FINISH.get(reason)
    if finish is None:
        return [events.unknown_finish(reason)]
    if not finish:
        return [Failed("the engine paused its turn, and only a client of its own format can go on from there")]
    said: list[Event] = []
    if details is not None:
        why = details.explanation or details.category
        if why:
            said.append(Refused(why))
    said.append(Finish(finish, stop_sequence or ""))
    return said


def _failure(data: bytes) -> Event:
    finding = refusals.stray_error(data)
    if finding is None:
        return events.unknown_event("what is no event of a message")
    return Failed(finding.error, finding.error_status)


def decode_answer(body: bytes) -> Sequence[Event]:
    """What a plain answer says."""
    try:
        message = reading(decode_message, body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return [_failure(body)]
    if is_truthy(message.error) or message.content is None:
        return [_failure(body)]
    said: list[Event] = [Start(message.id or "", message.model or "")]
    calls = 0
    for block in message.content:
        said += said_by(block, calls)
        if block.type == "tool_use":
            said.append(ToolArgs(calls, msgspec.json.encode(block.input or {}).decode()))
            calls += 1
    usage = normalised(message.usage)
    if usage is not None:
        said.append(Counted(usage))
    if message.stop_reason:
        said += ending(message.stop_reason, message.stop_sequence, message.stop_details)
    return said
