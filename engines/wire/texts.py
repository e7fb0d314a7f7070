"""What an answer says, as text: of every format, of streams and of plain answers, for those who keep content.

Events and answers of all formats are read by one shape each: their members do not contradict each other. What a model
says and refuses is text, and so is what it calls: a line with the tool's name and its arguments. What it thought is
none, nor are sounds and images.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from engines.sse import payload

Place = tuple[int, int, int]
"""Of a piece of text in its answer: the choice or item, its part, and the number of a tool call, or -1."""

_TEXTS: Final = frozenset({"text", "output_text", "refusal"})


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(msgspec.Struct):
    index: int = 0
    function: _Function | None = None


class _Part(msgspec.Struct):
    type: str = ""
    text: str | None = None
    refusal: str | None = None
    name: str | None = None
    input: msgspec.Raw = msgspec.Raw(b"")
    arguments: str | None = None
    content: str | list[_Part] | None = None
    """Of an item of a response: its parts."""


class _Message(msgspec.Struct):
    content: str | list[_Part] | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None
    # Of Anthropic's deltas.
    text: str | None = None
    partial_json: str | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _Message | None = None
    message: _Message | None = None
    text: str | None = None


class _Event(msgspec.Struct):
    type: str = ""
    choices: list[_Choice] = msgspec.field(default_factory=list)
    index: int = 0
    output_index: int = 0
    content_index: int = 0
    delta: str | _Message | None = None
    content_block: _Part | None = None
    item: _Part | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice] = msgspec.field(default_factory=list)
    content: list[_Part] | None = None
    output: list[_Part] | None = None


_SPOKEN: Final = frozenset(
    {
        *("choices", "message", "tool_calls", "function"),
        *("output", "summary"),
        *("content", "text", "refusal", "arguments"),
        *("reasoning", "reasoning_content", "thinking"),
    }
)
"""Members of answers that are, or hold, what a model has made."""
_decode_any = msgspec.json.Decoder(dict[str, Any]).decode
_decode_event = msgspec.json.Decoder(_Event).decode
_decode_answer = msgspec.json.Decoder(_Answer).decode
_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def said_in(event: bytes) -> list[tuple[Place, str]]:
    """The pieces of text in one event of a stream; none in what cannot be read."""
    data = payload(event)
    if not data.startswith(b"{"):
        return []
    try:
        read = _decode_event(data)
    except _UNREADABLE:
        return []
    choices = read.choices
    if choices:
        delta = choices[0].delta if len(choices) == 1 else None
        if delta is not None and type(delta.content) is str and delta.refusal is None and delta.tool_calls is None:
            # Nearly every event is this, at a third of what follows.
            return [((choices[0].index, 0, -1), delta.content)] if delta.content else []
        return [piece for choice in read.choices for piece in _of_choice(choice)]
    return list(_of_delta(read))


def answer_text(body: bytes) -> str:
    """The text of a plain answer; empty where there is none, or it cannot be read."""
    try:
        read = _decode_answer(body)
    except _UNREADABLE:
        return ""
    pieces = [piece for choice in read.choices for piece in _of_choice(choice)]
    for at, part in enumerate([*(read.content or ()), *(read.output or ())]):
        pieces += _of_part(part, at)
    return whole(pieces)


def spoken_bytes(body: bytes) -> int:
    """How many bytes of a plain answer its model has made: its text, its calls, and what it thought."""
    try:
        read = _decode_any(body)
    except _UNREADABLE:
        return 0
    found, left = 0, [value for key, value in read.items() if key in _SPOKEN]
    while left:
        value = left.pop()
        if isinstance(value, str):
            found += len(value.encode("utf-8", "replace"))
        elif isinstance(value, list):
            left += value
        elif isinstance(value, dict):
            left += [inner for key, inner in value.items() if key in _SPOKEN]
            if "input" in value:  # a call's arguments, with whatever names
                found += len(msgspec.json.encode(value["input"]))
    return found


def whole(pieces: list[tuple[Place, str]]) -> str:
    """The text of an answer from its pieces: each place a paragraph, in their order."""
    places: dict[Place, list[str]] = {}
    for place, text in pieces:
        places.setdefault(place, []).append(text)
    return "\n".join(["".join(places[place]) for place in sorted(places)])


def _of_choice(choice: _Choice) -> Iterator[tuple[Place, str]]:
    at = choice.index
    if choice.text:
        yield (at, 0, -1), choice.text
    for message in (choice.delta, choice.message):
        if message is None:
            continue
        if isinstance(message.content, str):
            if message.content:
                yield (at, 0, -1), message.content
        else:
            for part in message.content or ():
                if part.type in _TEXTS and (part.text or part.refusal):
                    yield (at, 0, -1), part.text or part.refusal or ""
        if message.refusal:
            yield (at, 1, -1), message.refusal
        for position, call in enumerate(message.tool_calls or ()):
            place = at, 2, call.index if choice.message is None else position
            yield from _call(place, call.function)


def _call(place: Place, function: _Function | None) -> Iterator[tuple[Place, str]]:
    if function is not None:
        if function.name:
            yield place, f"{function.name} "
        if function.arguments:
            yield place, function.arguments


def _of_delta(event: _Event) -> Iterator[tuple[Place, str]]:
    """Of Anthropic's events and those of responses, which say by their type what they are."""
    delta = event.delta
    match event.type:
        case "content_block_start":
            block = event.content_block
            if block is not None and block.type == "text" and block.text:
                yield (event.index, 0, -1), block.text
            elif block is not None and block.type.endswith("tool_use") and block.name:
                yield (event.index, 0, -1), f"{block.name} "
        case "content_block_delta":
            if isinstance(delta, _Message) and (delta.text or delta.partial_json):
                yield (event.index, 0, -1), delta.text or delta.partial_json or ""
        case "response.output_item.added":
            if event.item is not None and event.item.type == "function_call" and event.item.name:
                yield (event.output_index, 0, -1), f"{event.item.name} "
        case "response.output_text.delta" | "response.refusal.delta" | "response.function_call_arguments.delta":
            if isinstance(delta, str) and delta:
                yield (event.output_index, event.content_index, -1), delta


def _of_part(part: _Part, at: int) -> Iterator[tuple[Place, str]]:
    """Of a block of a message, or of an item of a response."""
    if part.type in _TEXTS and (part.text or part.refusal):
        yield (at, 0, -1), part.text or part.refusal or ""
    elif part.type.endswith("tool_use") and part.name:
        yield (at, 0, -1), f"{part.name} {bytes(part.input).decode('utf-8', 'replace')}"
    elif part.type == "function_call" and part.name:
        yield (at, 0, -1), f"{part.name} {part.arguments or ''}"
    elif isinstance(part.content, list):
        for position, inner in enumerate(part.content):
            if inner.type in _TEXTS and (inner.text or inner.refusal):
                yield (at, position, -1), inner.text or inner.refusal or ""
