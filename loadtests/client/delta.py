"""What the events of one streamed answer mean: which of them bear content, and what the server says at its end.

Content-bearing is a non-empty content, reasoning or tool-call delta. A role, a usage, a finish reason, a comment or
`[DONE]` is not, whatever comes first: else "time to first token" is the time to the headers.

Not every event is parsed, and yet no answer is guessed. After an event that has nothing to say but one piece of plain
text, the bytes before and behind that text are kept, once it is proven (by parsing them around another text) that they
mean the same whatever text stands between. An event of the same two ends with printable ASCII, no quote and no
backslash in the middle is JSON of the same shape by construction; all others are parsed. Saves 1 us of 1.4 per event.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

NOTHING, CONTENT, REASONING = 0, 1, 2
"""What an event bears; the last two add up when it bears both. A tool call is content."""

LEARN_LIMIT = 4
"""Ends learnt per answer. A server that changes something in each event is parsed, not learnt anew each time."""


class BadEvent(Exception):
    """The data of an event is not JSON, or not of the shape that the field names promise."""


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(msgspec.Struct):
    function: _Function | None = None


class _Delta(msgspec.Struct):
    content: str | list[Any] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_ToolCall] | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None


class Usage(msgspec.Struct):
    """Tokens as the server counts them; None where it does not say a whole number."""

    completion_tokens: int | None = None
    prompt_tokens: int | None = None
    cached_tokens: int | None = None


def usage_of(said: Any) -> Usage | None:
    """The counts in a `usage` of any shape. What is not understood is unknown: the answer is no worse for it."""
    if not isinstance(said, dict):
        return None
    details = said.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else said.get("prompt_cache_hit_tokens")
    return Usage(_count(said.get("completion_tokens")), _count(said.get("prompt_tokens")), _count(cached))


def _count(said: Any) -> int | None:
    if isinstance(said, float) and said.is_integer():
        said = int(said)
    return said if isinstance(said, int) and not isinstance(said, bool) and said >= 0 else None


class _Event(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None
    object: str | None = None


_decode = msgspec.json.Decoder(_Event).decode
_is_plain = re.compile(rb"[ !#-\[\]-~]+").fullmatch
_PROBE = "~another text~"


class DeltaReader:
    """Reads the events of one answer, in order. What the server said stands in its attributes."""

    __slots__ = ("_head", "_head_bears", "_learnt", "_tail", "done", "failed", "finish_reason", "texts", "usage")

    def __init__(self, keep_text: bool = False) -> None:
        """`keep_text`: collect the content (not the reasoning) in `texts`."""
        self.usage: Usage | None = None
        """The last one said; some servers say one in each event."""
        self.finish_reason = ""
        self.failed = False
        """An error was sent in place of an event."""
        self.done = False
        self.texts: list[str] | None = [] if keep_text else None
        self._head = self._tail = b""
        self._head_bears = NOTHING
        self._learnt = 0

    def read(self, name: bytes, data: bytes) -> int:
        """What one event bears. Raises BadEvent."""
        head, tail = self._head, self._tail
        if (
            head
            and not name
            and data.startswith(head)
            and data.endswith(tail)
            and _is_plain(data, len(head), len(data) - len(tail))
        ):
            if self.texts is not None and self._head_bears == CONTENT:
                self.texts.append(data[len(head) : len(data) - len(tail)].decode())
            return self._head_bears
        return self._parse(name, data)

    def _parse(self, name: bytes, data: bytes) -> int:
        if name == b"error":
            self.failed = True
            return NOTHING
        data = data.strip()
        if not data:
            return NOTHING
        if data == b"[DONE]":
            self.done = True
            return NOTHING
        try:
            event = _decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise BadEvent from None
        if event.error or event.object == "error":
            self.failed = True
            return NOTHING
        if event.usage is not None:
            self.usage = usage_of(event.usage) or self.usage
        bears = NOTHING
        for choice in event.choices or ():
            bears |= self._choice(choice)
        if bears and self._learnt < LEARN_LIMIT:
            self._learn(event, data, bears)
        return bears

    def _choice(self, choice: _Choice) -> int:
        bears = NOTHING
        if choice.finish_reason:
            self.finish_reason = choice.finish_reason
        delta = choice.delta
        content = choice.text if delta is None else delta.content
        if content:
            bears = CONTENT
            if self.texts is not None and isinstance(content, str):
                self.texts.append(content)
        if delta is not None:
            if delta.reasoning_content or delta.reasoning:
                bears |= REASONING
            for call in delta.tool_calls or ():
                if call.function is not None and (call.function.name or call.function.arguments):
                    bears |= CONTENT
        return bears

    def _learn(self, event: _Event, data: bytes, bears: int) -> None:
        """Keep the two ends of an event that is one piece of text and nothing else, if they prove to be that."""
        found = _only_text(event)
        if found is None:
            return
        holder, field, text = found
        raw = text.encode()
        quoted = b'"' + raw + b'"'
        if not _is_plain(raw) or data.count(quoted) != 1:
            return
        self._learnt += 1
        at = data.index(quoted) + 1
        head, tail = data[:at], data[at + len(raw) :]
        # The proof: another text between the same ends must be read as that text, and as no other difference.
        setattr(holder, field, _PROBE)
        try:
            proven = _decode(head + _PROBE.encode() + tail) == event
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            proven = False
        setattr(holder, field, text)
        if proven:
            self._head, self._tail, self._head_bears = head, tail, bears


def _only_text(event: _Event) -> tuple[_Choice | _Delta, str, str] | None:
    """Where the text of an event stands, when it says nothing else: holder, field, text."""
    if event.usage is not None or event.choices is None or len(event.choices) != 1:
        return None
    choice = event.choices[0]
    if choice.finish_reason:
        return None
    delta = choice.delta
    if delta is None:
        return (choice, "text", choice.text) if choice.text else None
    if choice.text or delta.tool_calls:
        return None
    fields = [field for field in ("content", "reasoning_content", "reasoning") if getattr(delta, field)]
    if len(fields) != 1 or not isinstance(text := getattr(delta, fields[0]), str):
        return None
    return delta, fields[0], text


class PlainAnswer(msgspec.Struct):
    """The part of an unstreamed answer that a record keeps."""

    usage: Usage | None = None
    finish_reason: str = ""
    text: str = ""


class _Message(msgspec.Struct):
    content: str | list[Any] | None = None


class _PlainChoice(msgspec.Struct):
    message: _Message | None = None
    text: str | None = None
    finish_reason: str | None = None


class _Plain(msgspec.Struct):
    choices: list[_PlainChoice] | None = None
    usage: Any = None
    error: Any = None


_decode_plain = msgspec.json.Decoder(_Plain).decode


def read_plain(body: bytes) -> PlainAnswer:
    """Read a whole JSON answer: a chat or text completion, or embeddings. Raises BadEvent for anything else."""
    try:
        plain = _decode_plain(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise BadEvent from None
    if plain.error:
        raise BadEvent
    answer = PlainAnswer(usage=usage_of(plain.usage))
    for choice in plain.choices or ():
        answer.finish_reason = choice.finish_reason or answer.finish_reason
        content = choice.text if choice.message is None else choice.message.content
        answer.text += content if isinstance(content, str) else ""
    return answer
