"""What the events of a conversation say, or its plain answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from engines import eventstream
from engines.model import Parts, Usage
from engines.wire import events, refusals
from engines.wire.bedrock_converse.shapes import (
    Answer,
    Block,
    Streamed,
    Thought,
    WireUsage,
    decode_event,
    decode_usage,
    decode_whole,
)
from engines.wire.codec import StreamDecoder
from engines.wire.events import Counted, Event, Failed, Finish, Reasoning, Start, Text, ToolArgs, ToolStart
from engines.wire.lone_surrogates import reading
from engines.wire.odd_counts import both_counts, usage_of

NAME: Final = "bedrock_converse"
NOTHING: Final[Sequence[Event]] = ()
DAMAGED_STATUS: Final = 502

FINISH: Final = {
    "end_turn": events.STOP,
    "stop_sequence": events.STOP,
    "max_tokens": events.LENGTH,
    "model_context_window_exceeded": events.LENGTH,
    "tool_use": events.TOOL_CALLS,
    "guardrail_intervened": events.CONTENT_FILTER,
    "content_filtered": events.CONTENT_FILTER,
    "malformed_model_output": "",
    "malformed_tool_use": "",
}
"""All that there are (service-2.json, StopReason); an empty one is an error."""
STATUSES: Final = {
    "validationException": 400,
    "serviceQuotaExceededException": 400,
    "accessDeniedException": 403,
    "resourceNotFoundException": 404,
    "modelTimeoutException": 408,
    "modelErrorException": 424,
    "modelStreamErrorException": 424,
    "throttlingException": 429,
    "modelNotReadyException": 429,
    "internalServerException": 500,
    "serviceUnavailableException": 503,
}
"""Name of an exception -> the HTTP status that it has outside a stream."""


class ConverseStreamDecoder(StreamDecoder):
    """One stream of events."""

    __slots__ = ("_calls", "_finished")

    def __init__(self) -> None:
        self._calls: dict[int, int] = {}
        """Index of a block -> number of the call that it is."""
        self._finished = False

    @property
    def finished(self) -> bool:
        return self._finished

    def read(self, event: bytes) -> Sequence[Event]:
        try:
            message = eventstream.decode(event)[0]
        except eventstream.Damaged as error:
            return [Failed(f"the engine's stream is damaged: {error}", DAMAGED_STATUS)]
        name = message.name
        if message.kind != "event":
            return [failure(message)]
        try:
            streamed = reading(decode_event, message.payload)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return [events.unknown_event(name)]
        if name == "contentBlockDelta":
            delta = streamed.delta
            return NOTHING if delta is None else self._delta(streamed.content_block_index, delta)
        if name == "contentBlockStart":
            return self._start(streamed)
        if name == "messageStart":
            return [Start("", "")]
        if name == "contentBlockStop":
            return NOTHING
        if name == "messageStop":
            ended = ending(streamed.stop_reason)
            self._finished = isinstance(ended, Finish)
            return [ended]
        if name == "metadata":
            return counted(streamed.usage)
        return [events.unknown_event(name)]

    def _start(self, streamed: Streamed) -> Sequence[Event]:
        call = streamed.start.tool_use if streamed.start is not None else None
        if call is None:
            return NOTHING
        number = self._calls[streamed.content_block_index] = len(self._calls)
        return [ToolStart(number, call.tool_use_id, call.name)]

    def _delta(self, index: int, delta: Block) -> Sequence[Event]:
        if delta.text is not None:
            return [Text(delta.text)] if delta.text else NOTHING
        if delta.tool_use is not None:
            number = self._calls.get(index)
            if number is None:
                return [events.unknown_event("input of no call")]
            text = delta.tool_use.input
            return [ToolArgs(number, text)] if isinstance(text, str) and text else NOTHING
        if delta.reasoning_content is not None:
            return thought(delta.reasoning_content)
        return NOTHING if delta.citation is not None else [events.unknown_event("a delta of no known kind")]


def failure(message: eventstream.Message) -> Event:
    """An exception, which has a payload, or an error, which has headers alone (`:error-code`, `:error-message`)."""
    name = message.name
    try:
        said: str | None = reading(decode_event, message.payload).message
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        said = None  # its headers say enough
    told = said or message.headers.get(":error-message") or name or refusals.UNSAID
    return Failed(told, STATUSES.get(name[:1].lower() + name[1:], 500))


def thought(said: Thought) -> Sequence[Event]:
    """A delta of a thought, or a whole one."""
    if said.redacted_content:
        return [Reasoning("", "", said.redacted_content, NAME)]
    whole = said.reasoning_text
    text, signature = (said.text, said.signature) if whole is None else (whole.text, whole.signature)
    return [Reasoning(text, signature, "", NAME)] if text or signature else NOTHING


def ending(reason: str | None) -> Event:
    finish = FINISH.get(reason or "")
    if finish is None:
        return events.unknown_finish(reason)
    if not finish:
        return Failed(f"the model could not finish its answer: {reason}", 502)
    return Finish(finish)


def counted(usage: msgspec.Raw) -> Sequence[Event]:
    """What the cache had, or took, is no part of its input tokens."""
    counts = usage_of(usage, decode_usage, WireUsage)
    if counts is None or (counts.input_tokens is None and counts.output_tokens is None):
        return NOTHING
    read, written = counts.cache_read_input_tokens or 0, counts.cache_write_input_tokens or 0
    hour = sum(one.input_tokens or 0 for one in counts.cache_details or () if one.ttl == "1h")
    input_tokens, output_tokens, unsaid = both_counts(counts.input_tokens, counts.output_tokens)
    told = Usage(
        input_tokens + read + written,
        output_tokens,
        read,
        written,
        parts=Parts(cache_write_1h_tokens=min(hour, written)) if hour else None,
        unsaid=unsaid,
    )
    return [Counted(told)]


def decode_answer(body: bytes) -> Sequence[Event]:
    """What a plain answer says."""
    try:
        answer: Answer = reading(decode_whole, body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return [events.unknown_event("what is no answer of Converse's")]
    message = answer.output.message if answer.output is not None else None
    if message is None:
        return [Failed(answer.message) if answer.message else events.unknown_event("an answer without a message")]
    said: list[Event] = [Start("", "")]
    calls = 0
    for block in message.content or ():
        if block.text is not None:
            said.append(Text(block.text))
        elif block.tool_use is not None:
            call = block.tool_use
            said.append(ToolStart(calls, call.tool_use_id, call.name))
            said.append(ToolArgs(calls, msgspec.json.encode(call.input or {}).decode()))
            calls += 1
        elif block.reasoning_content is not None:
            said += thought(block.reasoning_content)
        else:
            said.append(events.unknown_event("a block of no known kind"))
    said += counted(answer.usage)
    if answer.stop_reason:
        said.append(ending(answer.stop_reason))
    return said
