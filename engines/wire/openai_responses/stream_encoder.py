"""A response for OpenAI's clients: named events, or one document.

Each kind of content is an item of the output, one after another, numbered as they come. Calls stay open to the end:
their arguments may come interleaved. What must come back unchanged
is the `encrypted_content` of reasoning items (`engines.wire.keepsakes`). Nothing is stored, so a response says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from typing import Any, Final

import msgspec

from engines.model import Usage
from engines.wire import events
from engines.wire.bounds import MAX_ITEMS, Unsayable, admitted, check_kept
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
from engines.wire.openai_responses.dialect import error_event

_encode = msgspec.json.Encoder().encode
_PING: Final = b": ping\n\n"


class Item:
    """One item of the output, as far as it has come."""

    __slots__ = ("before", "begun", "call_id", "id", "index", "kept", "kind", "name", "said", "told_whole")

    def __init__(self, kind: str, index: int, id: str, call_id: str = "", name: str = "") -> None:
        """`kind`: text, refusal, reasoning or call."""
        self.kind = kind
        self.index = index
        self.id = id
        self.call_id = call_id
        self.name = name
        self.said = StringIO()
        """All of its text: one buffer, since an object for each of a million pieces would take 60 MB."""
        self.begun = False
        """Whether anything of it has come."""
        self.kept = ""
        """What must come back with it."""
        self.before = b""
        """A delta of it begins so, up to the sequence number."""
        self.told_whole = False

    def told(self, status: str) -> dict[str, Any]:
        """The item with all that has come."""
        text = self.said.getvalue()
        if self.kind == "call":
            call = {"type": "function_call", "id": self.id, "call_id": self.call_id, "name": self.name}
            return {**call, "arguments": text, "status": status}
        if self.kind == "reasoning":
            summary = [{"type": "summary_text", "text": text}] if text else []
            thought: dict[str, Any] = {"type": "reasoning", "id": self.id, "summary": summary}
            return {**thought, "encrypted_content": self.kept} if self.kept else thought
        content = [self.part(text)] if self.begun else []
        return {"type": "message", "id": self.id, "role": "assistant", "status": status, "content": content}

    def part(self, text: str) -> dict[str, Any]:
        if self.kind == "refusal":
            return {"type": "refusal", "refusal": text}
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


_EVENTS: Final = {
    "text": ("response.content_part", "response.output_text", "text"),
    "refusal": ("response.content_part", "response.refusal", "refusal"),
    "reasoning": ("response.reasoning_summary_part", "response.reasoning_summary_text", "text"),
    "call": ("", "response.function_call_arguments", "arguments"),
}
"""Kind of an item -> how the events about its part and its text begin, and what `.done` calls the text."""
_PREFIX: Final = {"text": "msg", "refusal": "msg", "reasoning": "rs", "call": "fc"}


class ResponsesStreamEncoder(StreamEncoder):
    """One stream of named events."""

    __slots__ = (
        "_answer_id",
        "_begun",
        "_calls",
        "_created",
        "_echo",
        "_finish",
        "_id",
        "_items",
        "_kept",
        "_model",
        "_number",
        "_open",
    )

    def __init__(self, model: str, created: int, answer_id: str, echo: dict[str, msgspec.Raw] | None = None) -> None:
        """`echo`: what it says of its request, by member."""
        self._echo: dict[str, msgspec.Raw] = echo or {}
        self._answer_id = answer_id
        self._id = f"resp_{answer_id}"
        self._model = model
        self._created = created
        self._begun = False
        self._number = 0
        self._items: list[Item] = []
        self._kept = 0
        """Characters of all items."""
        self._open: Item | None = None
        """The last item, unless it is a call or closed."""
        self._calls: dict[int, Item] = {}
        self._finish: Finish | None = None

    def write(self, event: Event) -> bytes:
        if isinstance(event, Text):
            item = self._open
            if item is not None and item.kind == "text":
                return self._delta(item, event.text)
            return self._start("text") + self._delta(self._items[-1], event.text)
        if isinstance(event, ToolArgs):
            return self._delta(self._calls[event.index], event.text)
        if isinstance(event, Reasoning):
            return self._thought(event)
        if isinstance(event, ToolStart):
            return self._call(event)
        if isinstance(event, Refused):
            opening = b"" if self._open is not None and self._open.kind == "refusal" else self._start("refusal")
            return opening + self._delta(self._items[-1], event.text)
        if isinstance(event, Finish):
            self._finish = event
        elif isinstance(event, Start):
            self._model = event.model or self._model
        elif isinstance(event, Ping):
            return _PING if self._begun else b""
        return b""

    def closing(self, usage: Usage | None) -> tuple[bytes, bytes]:
        opening = (b"" if self._begun else self._begin()) + b"".join([self._whole(item) for item in self._items])
        status = status_of(self._finish)
        response = self._response(status, usage)
        return b"", opening + self._event(f"response.{status}", {"response": response})

    def whole(self, usage: Usage | None) -> dict[str, Any]:
        """The response as it stands at the end."""
        self._open = None
        return self._response(status_of(self._finish), usage)

    def error_event(self, error: ApiError) -> bytes:
        number = self._number
        self._number += 1
        return error_event(error, number)

    def _thought(self, event: Reasoning) -> bytes:
        item = self._open
        told = b"" if item is not None and item.kind == "reasoning" and not event.redacted else self._start("reasoning")
        item = self._items[-1]
        if event.text:
            told += self._delta(item, event.text)
        if event.redacted:
            item.kept = sealed(event.origin, "redacted", event.redacted)
        elif event.signature:
            item.kept = sealed(event.origin, "signature", event.signature)
        if not item.kept:
            return told
        self._keep(item.kept)
        return told + self._stop()

    def _call(self, event: ToolStart) -> bytes:
        told = b""
        if event.signature:
            told = self._start("reasoning")
            self._items[-1].kept = sealed("gemini", "call", event.signature)
        self._keep(event.id + event.name + event.signature)
        told += self._start("call", admitted(event, self._answer_id), event.name)
        self._open = None
        self._calls[event.index] = self._items[-1]
        return told

    def _start(self, kind: str, call_id: str = "", name: str = "") -> bytes:
        told = self._stop() if self._begun else self._begin()
        index = len(self._items)
        if index >= MAX_ITEMS:
            raise Unsayable(f"the engine sent an answer of over {MAX_ITEMS} items")
        item = Item(kind, index, f"{_PREFIX[kind]}_{self._answer_id}_{index}", call_id, name)
        self._items.append(item)
        self._open = item
        part, text, _ = _EVENTS[kind]
        told += self._event("response.output_item.added", {"output_index": index, "item": item.told("in_progress")})
        if kind in ("text", "refusal"):
            told += self._event(f"{part}.added", {**place_of(item), "part": item.part("")})
        self._prepare(item, text)
        return told

    def _keep(self, text: str) -> None:
        self._kept += len(text)
        check_kept(self._kept)

    def _prepare(self, item: Item, text: str) -> None:
        kind = f"{text}.delta"
        place = _encode(place_of(item))[1:-1]
        item.before = b'event: %b\ndata: {"type":"%b",%b,' % (kind.encode(), kind.encode(), place)
        item.before += b'"logprobs":[],"sequence_number":' if item.kind == "text" else b'"sequence_number":'

    def _delta(self, item: Item, text: str) -> bytes:
        told = b""
        if item.kind == "reasoning" and not item.begun:
            part = {"type": "summary_text", "text": ""}
            told = self._event("response.reasoning_summary_part.added", {**place_of(item), "part": part})
        item.begun = True
        item.said.write(text)
        self._keep(text)
        number = self._number
        self._number = number + 1
        return told + item.before + b'%d,"delta":%b}\n\n' % (number, _encode(text))

    def _stop(self) -> bytes:
        item = self._open
        if item is None:
            return b""
        self._open = None
        return self._whole(item)

    def _whole(self, item: Item) -> bytes:
        """What says that this is all of an item, once."""
        if item.told_whole:
            return b""
        item.told_whole = True
        part, kind, member = _EVENTS[item.kind]
        place, text = place_of(item), item.said.getvalue()
        told = b""
        if item.begun or item.kind == "call":
            done: dict[str, Any] = {**place, member: text}
            if item.kind == "text":
                done["logprobs"] = []
            elif item.kind == "call":
                done["name"] = item.name
            told = self._event(f"{kind}.done", done)
            if item.kind == "reasoning":
                told += self._event(f"{part}.done", {**place, "part": {"type": "summary_text", "text": text}})
            elif part:
                told += self._event(f"{part}.done", {**place, "part": item.part(text)})
        whole = {"output_index": item.index, "item": item.told("completed")}
        return told + self._event("response.output_item.done", whole)

    def _begin(self) -> bytes:
        self._begun = True
        response = {"response": self._response("in_progress", None)}
        return self._event("response.created", response) + self._event("response.in_progress", response)

    def _event(self, kind: str, members: dict[str, Any]) -> bytes:
        number = self._number
        self._number += 1
        told = _encode({"type": kind, "sequence_number": number, **members})
        return b"event: " + kind.encode() + b"\ndata: " + told + b"\n\n"

    def _response(self, status: str, usage: Usage | None) -> dict[str, Any]:
        head = response_of(self._id, self._model, self._created, status, self._finish)
        last = "incomplete" if status == "incomplete" else "completed"
        output = [item.told(last) for item in self._items]
        return {**head, **self._echo, "output": output, "usage": None if usage is None else usage_of(usage)}


def place_of(item: Item) -> dict[str, Any]:
    place: dict[str, Any] = {"item_id": item.id, "output_index": item.index}
    if item.kind == "reasoning":
        place["summary_index"] = 0
    elif item.kind != "call":
        place["content_index"] = 0
    return place


def status_of(finish: Finish | None) -> str:
    return "incomplete" if finish is not None and finish.reason in INCOMPLETE else "completed"


INCOMPLETE: Final = {events.LENGTH: "max_output_tokens", events.CONTENT_FILTER: "content_filter"}


def response_of(id: str, model: str, created: int, status: str, finish: Finish | None) -> dict[str, Any]:
    """A response but for its output and usage."""
    reason = INCOMPLETE.get(finish.reason) if finish is not None else None
    return {
        "id": id,
        "object": "response",
        "created_at": created,
        "status": status,
        "model": model,
        "background": False,
        "error": None,
        "incomplete_details": {"reason": reason} if status == "incomplete" else None,
        "instructions": None,
        "max_output_tokens": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": False,
        "temperature": None,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "truncation": "disabled",
    }


def usage_of(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def encode_answer(
    said: Sequence[Event], model: str, created: int, answer_id: str, echo: dict[str, msgspec.Raw] | None = None
) -> bytes:
    """One document that says all of it: what a stream's last event holds."""
    encoder = ResponsesStreamEncoder(model, created, answer_id, echo)
    usage: Usage | None = None
    for event in said:
        if isinstance(event, Counted):
            usage = event.usage
        encoder.write(event)
    return _encode(encoder.whole(usage))
