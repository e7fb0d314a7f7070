"""What the events of a chat of Cohere's say, or its plain answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from engines.model import Usage
from engines.sse import payload
from engines.wire import events, refusals
from engines.wire.codec import StreamDecoder
from engines.wire.cohere.shapes import Answer, Block, Call, Delta, Message, WireUsage, decode_event, decode_usage
from engines.wire.cohere.shapes import decode_answer as decode_whole
from engines.wire.events import Counted, End, Event, Failed, Finish, Reasoning, Start, Text, ToolArgs, ToolStart
from engines.wire.lone_surrogates import reading
from engines.wire.odd_counts import both_counts, usage_of
from engines.wire.refusals import is_truthy

NOTHING: Final[Sequence[Event]] = ()

FINISH: Final = {
    "COMPLETE": events.STOP,
    "STOP_SEQUENCE": events.STOP,
    "MAX_TOKENS": events.LENGTH,
    "TOOL_CALL": events.TOOL_CALLS,
    "ERROR": "",
    "TIMEOUT": "",
}
"""All that there are (cohere types/chat_finish_reason.py); an empty one is an error."""
_STATUS: Final = {"ERROR": 500, "TIMEOUT": 504}
_SILENT: Final = frozenset({"content-end", "tool-call-end", "citation-start", "citation-end", "debug"})


class CohereStreamDecoder(StreamDecoder):
    """One stream of named events."""

    __slots__ = ("_calls", "_finished")

    def __init__(self) -> None:
        self._calls: dict[int, int] = {}
        """The engine's index of a call -> ours."""
        self._finished = False

    @property
    def finished(self) -> bool:
        return self._finished

    def read(self, event: bytes) -> Sequence[Event]:
        data = payload(event)
        if not data or data.startswith(b"[DONE]"):
            return NOTHING
        try:
            streamed = reading(decode_event, data)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return [_failure(data)]
        kind, delta = streamed.type, streamed.delta
        if kind in _SILENT:
            return NOTHING
        if kind == "message-start":
            return [Start(streamed.id or "", "")]
        if delta is None:
            return [_failure(data)]
        message = delta.message
        if kind == "message-end":
            return self._ending(delta)
        if message is None:
            return NOTHING
        if kind in ("content-start", "content-delta", "tool-plan-delta"):
            return content_of(message)
        if kind == "tool-call-start" or kind == "tool-call-delta":
            return self._call(streamed.index, message)
        return [events.unknown_event(kind)]

    def _call(self, index: int, message: Message) -> Sequence[Event]:
        said: list[Event] = []
        for call in calls_of(message):
            ours = self._calls.get(index)
            function = call.function
            if ours is None:
                ours = self._calls[index] = len(self._calls)
                name = function.name if function is not None else None
                said.append(ToolStart(ours, call.id or "", name or ""))
            if function is not None and function.arguments:
                said.append(ToolArgs(ours, function.arguments))
        return said

    def _ending(self, delta: Delta) -> Sequence[Event]:
        said: list[Event] = []
        usage = normalised(delta.usage)
        if usage is not None:
            said.append(Counted(usage))
        ended = ending(delta.finish_reason or "", delta.error)
        said.append(ended)
        if isinstance(ended, Finish):
            self._finished = True
            said.append(End())
        return said


def ending(reason: str, message: str | None) -> Event:
    finish = FINISH.get(reason)
    if finish is None:
        return events.unknown_finish(reason)
    if not finish:
        return Failed(message or f"the engine could not finish its answer: {reason}", _STATUS[reason])
    return Finish(finish)


def content_of(message: Message) -> list[Event]:
    said: list[Event] = []
    if message.tool_plan:
        said.append(Reasoning(message.tool_plan))
    content = message.content
    if isinstance(content, str):
        return [*said, Text(content)] if content else said
    for block in content if isinstance(content, list) else [content]:
        if isinstance(block, Block):
            if block.thinking:
                said.append(Reasoning(block.thinking))
            elif block.text:
                said.append(Text(block.text))
            elif block.type not in (None, "text", "thinking"):
                said.append(events.unknown_event(block.type))
    return said


def calls_of(message: Message) -> list[Call]:
    calls = message.tool_calls
    if calls is None:
        return []
    return calls if isinstance(calls, list) else [calls]


def normalised(raw: msgspec.Raw) -> Usage | None:
    """What is billed, where it is said: prices are of that. None where no count is told."""
    usage = usage_of(raw, decode_usage, WireUsage, "billed_units", "tokens")
    if usage is None:
        return None
    counts = usage.billed_units or usage.tokens
    if counts is None or (counts.input_tokens is None and counts.output_tokens is None):
        return None
    before, after = counts.input_tokens, counts.output_tokens
    if usage.tokens is not None:
        before = usage.tokens.input_tokens if before is None else before
        after = usage.tokens.output_tokens if after is None else after
    input_tokens, output_tokens, unsaid = both_counts(_whole(before), _whole(after))
    return Usage(input_tokens, output_tokens, int(usage.cached_tokens or 0), unsaid=unsaid)


def _whole(count: float | None) -> int | None:
    return int(count) if count is not None and count.is_integer() else None


def _failure(data: bytes) -> Event:
    """Its errors are `{"message": ...}` and no more."""
    finding = refusals.stray_error(data)
    if finding is not None:
        return Failed(finding.error, finding.error_status)
    said = refusals.read_error(0, data).message
    return Failed(said) if said else events.unknown_event("what is no event of a chat")


def decode_answer(body: bytes) -> Sequence[Event]:
    """What a plain answer says."""
    try:
        answer: Answer = reading(decode_whole, body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return [_failure(body)]
    message = answer.message
    if is_truthy(answer.error) or message is None:
        return [_failure(body)]
    said: list[Event] = [Start(answer.id or "", ""), *content_of(message)]
    for at, call in enumerate(calls_of(message)):
        function = call.function
        said.append(ToolStart(at, call.id or "", (function.name if function is not None else None) or ""))
        if function is not None and function.arguments:
            said.append(ToolArgs(at, function.arguments))
    usage = normalised(answer.usage)
    if usage is not None:
        said.append(Counted(usage))
    if answer.finish_reason:
        said.append(ending(answer.finish_reason, None))
    return said
