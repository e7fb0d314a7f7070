"""From an answer to a response, plain or streamed. Source: `types/responses/response_stream_event.py` of the SDK."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from engines.fakes.asked import Asked
from engines.fakes.frames import Frame, Place, named_event
from engines.fakes.openai.chat import CREATED
from engines.fakes.openai.errors import ERRORS
from engines.fakes.problems import Problem
from engines.fakes.story import Call, End, Part, Reasoning, Story, fragments, tokens


class ResponsesFormat:
    """Implements `engines.fakes.frames.Format`."""

    stream_type = b"text/event-stream; charset=utf-8"

    def plain(self, asked: Asked, story: Story, number: int) -> Any:
        return _response(asked, story, number, over=True)

    def frames(self, asked: Asked, story: Story, number: int) -> Iterator[Frame]:
        writer = _Numbered()
        yield writer.frame("response.created", {"response": _response(asked, story, number, over=False)}, Place.OPENING)
        yield writer.frame(
            "response.in_progress", {"response": _response(asked, story, number, over=False)}, Place.OPENING
        )
        for index, part in enumerate(story.parts):
            item = _item(part, number, index, story)
            opened = _opened(item)
            yield writer.frame("response.output_item.added", {"output_index": index, "item": opened}, Place.OPENING)
            at = {"item_id": item["id"], "output_index": index}
            yield from _delivered(writer, part, item, at)
            yield writer.frame("response.output_item.done", {"output_index": index, "item": item})
        closing = _response(asked, story, number, over=True)
        yield writer.frame(f"response.{closing['status']}", {"response": closing}, Place.CLOSING)

    def broken(self, problem: Problem) -> bytes:
        _, kind, code = ERRORS[problem.kind]
        error = {"type": "error", "code": code or kind, "message": str(problem), "param": None, "sequence_number": 99}
        return named_event("error", error)

    def ping(self) -> bytes:
        return named_event("keepalive", {"type": "keepalive", "sequence_number": 0})

    def unknown(self) -> bytes:
        return named_event("response.weather", {"type": "response.weather", "sky": "clear"})


class _Numbered:
    """Every event has the next number."""

    def __init__(self) -> None:
        self._next = 0

    def frame(self, kind: str, members: dict[str, Any], place: Place = Place.CONTENT) -> Frame:
        event = {"type": kind, "sequence_number": self._next, **members}
        self._next += 1
        return Frame(named_event(kind, event), place)


def _delivered(writer: _Numbered, part: Part, item: dict[str, Any], at: dict[str, Any]) -> Iterator[Frame]:
    if isinstance(part, Call):
        for fragment in fragments(part.json):
            yield writer.frame("response.function_call_arguments.delta", {**at, "delta": fragment})
        done = {**at, "name": part.name, "arguments": part.json}
        yield writer.frame("response.function_call_arguments.done", done)
        return
    reasoning = isinstance(part, Reasoning)
    refusal = not reasoning and item["content"][0]["type"] == "refusal"
    kind = "reasoning_summary_text" if reasoning else "refusal" if refusal else "output_text"
    at = {**at, ("summary_index" if reasoning else "content_index"): 0}
    around = "response.reasoning_summary_part" if reasoning else "response.content_part"
    whole = (item["summary"] if reasoning else item["content"])[0]
    member = "refusal" if refusal else "text"
    yield writer.frame(f"{around}.added", {**at, "part": {**whole, member: ""}}, Place.OPENING)
    more: dict[str, Any] = {"logprobs": []} if kind == "output_text" else {}
    for token in tokens(part.text):
        yield writer.frame(f"response.{kind}.delta", {**at, "delta": token, **more})
    yield writer.frame(f"response.{kind}.done", {**at, member: part.text, **more})
    yield writer.frame(f"{around}.done", {**at, "part": whole})


def _item(part: Part, number: int, index: int, story: Story) -> dict[str, Any]:
    name = f"fake{number:06d}_{index}"
    if isinstance(part, Call):
        return {
            "id": f"fc_{name}",
            "type": "function_call",
            "status": "completed",
            "arguments": part.json,
            "call_id": f"call_{part.id}",
            "name": part.name,
        }
    if isinstance(part, Reasoning):
        kept = base64.b64encode(part.text.encode()).decode()
        summary = [{"type": "summary_text", "text": part.text}]
        return {"id": f"rs_{name}", "type": "reasoning", "summary": summary, "encrypted_content": kept}
    content: dict[str, Any] = {"type": "output_text", "annotations": [], "logprobs": [], "text": part.text}
    if story.end is End.REFUSAL:
        content = {"type": "refusal", "refusal": part.text}
    status = "incomplete" if story.end in (End.LENGTH, End.FILTERED) and part is story.parts[-1] else "completed"
    return {"id": f"msg_{name}", "type": "message", "status": status, "role": "assistant", "content": [content]}


def _opened(item: dict[str, Any]) -> dict[str, Any]:
    """As it is announced, before anything of it is there."""
    opened = {**item, **({"status": "in_progress"} if "status" in item else {})}
    for member, empty in (("content", []), ("summary", []), ("arguments", ""), ("encrypted_content", "")):
        if member in opened:
            opened[member] = empty
    return opened


def _response(asked: Asked, story: Story, number: int, *, over: bool) -> dict[str, Any]:
    status, incomplete, error = "in_progress", None, None
    if over:
        status = "incomplete" if story.end in (End.LENGTH, End.FILTERED, End.UNKNOWN) else "completed"
        reasons = {End.LENGTH: "max_output_tokens", End.FILTERED: "content_filter", End.UNKNOWN: "moon_phase"}
        incomplete = {"reason": reasons[story.end]} if status == "incomplete" else None
        if story.end is End.BROKEN_CALL:
            status, error = "failed", {"code": "server_error", "message": "The model wrote a call that is none."}
    return {
        "id": f"resp_fake{number:06d}",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "background": False,
        "error": error,
        "incomplete_details": incomplete,
        "instructions": None,
        "max_output_tokens": asked.max_tokens,
        "model": asked.model,
        "output": [_item(part, number, at, story) for at, part in enumerate(story.parts)] if over else [],
        "parallel_tool_calls": asked.parallel,
        "previous_response_id": None,
        "reasoning": {"effort": "medium" if asked.reasoning else None, "summary": None},
        "service_tier": "default",
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": asked.tool_choice,
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": _usage(story) if over else None,
        "metadata": {},
    }


def _usage(story: Story) -> dict[str, Any]:
    counts = story.counts
    return {
        "input_tokens": counts.prompt,
        "input_tokens_details": {"cached_tokens": counts.cached, "cache_write_tokens": 0},
        "output_tokens": counts.output,
        "output_tokens_details": {"reasoning_tokens": counts.reasoning},
        "total_tokens": counts.prompt + counts.output,
    }
