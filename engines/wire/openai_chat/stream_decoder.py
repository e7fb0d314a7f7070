"""What the chunks of a chat say. Only of the first choice: a request that is translated asks for one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from engines.sse import payload
from engines.wire import events, refusals
from engines.wire.codec import StreamDecoder
from engines.wire.events import (
    Counted,
    End,
    Event,
    Failed,
    Finish,
    Reasoning,
    Refused,
    Start,
    Text,
    ToolArgs,
    ToolStart,
)
from engines.wire.lone_surrogates import reading
from engines.wire.odd_counts import usage_of
from engines.wire.openai_chat.content import Answer, Call, Choice, Delta, decode_whole
from engines.wire.openai_chat.dialect import normalised
from engines.wire.openai_chat.shapes import WireUsage, decode_usage
from engines.wire.refusals import NULL, is_truthy

ANTHROPIC: Final = "anthropic_messages"
NOTHING: Final[Sequence[Event]] = ()
LEGACY_INDEX: Final = -1
"""Stands for the index of the one call that `function_call` makes: no engine has it."""

FINISH: Final = {
    "stop": events.STOP,
    "length": events.LENGTH,
    "tool_calls": events.TOOL_CALLS,
    "content_filter": events.CONTENT_FILTER,
    "function_call": events.TOOL_CALLS,
}
"""All that there are (openai-python types/chat/chat_completion.py)."""
MISTRALS_FINISH: Final = {**FINISH, "model_length": events.LENGTH, "error": ""}
"""Mistral's (its client's models/chatcompletionchoice.py); an empty one is an error."""


class ChatStreamDecoder(StreamDecoder):
    """One stream of chunks."""

    __slots__ = ("_begun", "_by_id", "_by_index", "_finish", "_finished", "_ids")

    def __init__(self, finish: dict[str, str] | None = None) -> None:
        """`finish`: the table of reasons, where it is not OpenAI's."""
        self._finish = FINISH if finish is None else finish
        self._begun = False
        self._finished = False
        self._by_index: dict[int, int] = {}
        """The engine's index of a call -> ours."""
        self._by_id: dict[str, int] = {}
        self._ids: list[str] = []
        """The engine's id of each call, in our order."""

    @property
    def finished(self) -> bool:
        return self._finished

    def read(self, event: bytes) -> Sequence[Event]:
        data = payload(event)
        if not data:
            return NOTHING
        if data.startswith(b"[DONE]"):
            return [End()]
        try:
            chunk = reading(decode_whole, data)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return [failure(data)]
        if is_truthy(chunk.error):
            return [failure(data)]
        said: list[Event] = []
        if chunk.choices is None and chunk.usage is NULL:
            return [failure(data)]
        if not self._begun and chunk.choices:
            self._begun = True
            said.append(Start(chunk.id or "", chunk.model or ""))
        for choice in chunk.choices or ():
            if not choice.index:
                delta = choice.delta
                if delta is not None:
                    self._say(delta, said)
                if choice.finish_reason:
                    self._end(choice, said)
        if chunk.usage is not NULL:
            _count(chunk, said)
        return said

    def _say(self, delta: Delta, said: list[Event]) -> None:
        say(delta, said)
        for call in delta.tool_calls or ():
            self._call(call, said)
        if delta.function_call is not None:
            self._call(Call(index=LEGACY_INDEX, function=delta.function_call), said)

    def _call(self, call: Call, said: list[Event]) -> None:
        function = call.function
        name = (function.name if function is not None else None) or ""
        ours = self._known(call.index, call.id or "", name)
        if ours is None:
            ours = len(self._ids)
            self._ids.append(call.id or "")
            if call.id:
                self._by_id[call.id] = ours
            if call.index is not None:
                self._by_index[call.index] = ours
            said.append(ToolStart(ours, call.id or "", name, signature_of(call)))
        if function is not None and function.arguments:
            said.append(ToolArgs(ours, arguments_of(function.arguments)))

    def _known(self, index: int | None, id: str, name: str) -> int | None:
        """Our number of the call that this is more of; None for a new one."""
        if index is None:  # Mistral may leave it out
            if id:
                return self._by_id.get(id)
            return len(self._ids) - 1 if self._ids else None
        ours = self._by_index.get(index)
        if ours is None or not id or not name or not self._ids[ours] or id == self._ids[ours]:
            return ours
        # Gemini's door gives every call the index 0. Older vLLM makes up an id for each piece, but names a call once.
        return self._by_id.get(id)

    def _end(self, choice: Choice, said: list[Event]) -> None:
        if not self._finished:
            ended = finish(choice, self._finish)
            self._finished = isinstance(ended, Finish)
            said.append(ended)


def _count(answer: Answer, said: list[Event]) -> None:
    usage = usage_of(answer.usage, decode_usage, WireUsage, "prompt_tokens_details", "completion_tokens_details")
    counted = normalised(usage, answer.service_tier) if usage is not None else None
    if counted is not None:
        said.append(Counted(counted))


def finish(choice: Choice, table: dict[str, str]) -> Event:
    reason = table.get(choice.finish_reason or "")
    if reason is None:
        return events.unknown_finish(choice.finish_reason)
    if not reason:
        return Failed("the engine failed in the middle of its answer")
    stopped_by = choice.stop_reason
    return Finish(reason, stopped_by if isinstance(stopped_by, str) else "")


def say(delta: Delta, said: list[Event]) -> None:
    """The content of a delta, or of a message, but for its calls."""
    thought = delta.reasoning_content or delta.reasoning or ""
    for block in delta.thinking_blocks or ():
        origin = block.origin or ANTHROPIC
        text = (block.thinking or "") if block.index is None else thought
        if block.data:
            said.append(Reasoning("", "", block.data, origin))
        elif text or block.signature:
            said.append(Reasoning(text, block.signature or "", "", origin))
    if thought and not delta.thinking_blocks:
        said.append(Reasoning(thought))
    content = delta.content
    if isinstance(content, str):
        if content:
            said.append(Text(content))
    elif content:
        for part in content:
            _say_part(part, said)
    if delta.refusal:
        said.append(Refused(delta.refusal))


def _say_part(part: dict[str, object], said: list[Event]) -> None:
    """Mistral's content may be a list, of texts and of thoughts, which are lists of texts."""
    kind, text = part.get("type"), part.get("text")
    if kind == "text" and isinstance(text, str):
        said.append(Text(text))
    elif kind == "thinking":
        thoughts = part.get("thinking")
        for each in thoughts if isinstance(thoughts, list) else ():
            thought = each.get("text") if isinstance(each, dict) else None
            if isinstance(thought, str) and thought:
                said.append(Reasoning(thought))
    elif kind not in ("reference", "tool_reference"):
        said.append(events.unknown_event(kind))


def arguments_of(arguments: str | dict[str, object]) -> str:
    """As JSON text: some engines send the object itself."""
    return arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()


def signature_of(call: Call) -> str:
    """Gemini's, which its OpenAI-compatible door tells so."""
    extra = call.extra_content
    google = extra.get("google") if extra is not None else None
    signature = google.get("thought_signature") if isinstance(google, dict) else None
    return signature if isinstance(signature, str) else ""


def failure(data: bytes) -> Event:
    """What an event that is an error, or is none of the format, says."""
    finding = refusals.stray_error(data)
    if finding is None:
        return events.unknown_event("what is no chunk of a chat")
    return Failed(finding.error, finding.error_status)


def decode_answer(body: bytes, table: dict[str, str] | None = None) -> Sequence[Event]:
    """What a plain answer says."""
    try:
        answer: Answer = reading(decode_whole, body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return [failure(body)]
    if is_truthy(answer.error) or not answer.choices:
        return [failure(body)]
    said: list[Event] = [Start(answer.id or "", answer.model or "")]
    choice = answer.choices[0]
    message = choice.message
    if message is not None:
        say(message, said)
        calls = list(message.tool_calls or ())
        if message.function_call is not None:
            calls.append(Call(function=message.function_call))
        for at, call in enumerate(calls):
            function = call.function
            name = function.name if function is not None else None
            said.append(ToolStart(at, call.id or "", name or "", signature_of(call)))
            if function is not None and function.arguments:
                said.append(ToolArgs(at, arguments_of(function.arguments)))
    _count(answer, said)
    if choice.finish_reason:
        said.append(finish(choice, FINISH if table is None else table))
    return said
