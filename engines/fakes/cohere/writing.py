"""From an answer to a chat response, plain or streamed. Source: `v2/types/v2chat_stream_response.py` of the SDK."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from engines.fakes.asked import Asked
from engines.fakes.frames import Frame, Place, named_event
from engines.fakes.problems import Problem
from engines.fakes.story import Call, End, Reasoning, Story, fragments, tokens

FINISH_REASONS: Final = {
    End.STOP: "COMPLETE",
    End.STOP_SEQUENCE: "STOP_SEQUENCE",
    End.LENGTH: "MAX_TOKENS",
    End.TOOLS: "TOOL_CALL",
    End.REFUSAL: "COMPLETE",
    End.FILTERED: "ERROR",
    End.BROKEN_CALL: "ERROR",
    End.BLOCKED: "ERROR",
    End.UNKNOWN: "MOON_PHASE",
}
PLAN: Final = "I will use the tools."


class CohereFormat:
    """Implements `engines.fakes.frames.Format`."""

    stream_type = b"text/event-stream"

    def plain(self, asked: Asked, story: Story, number: int) -> Any:
        message: dict[str, Any] = {"role": "assistant"}
        content = [
            {"type": "thinking", "thinking": part.text}
            if isinstance(part, Reasoning)
            else {"type": "text", "text": part.text}
            for part in story.parts
            if not isinstance(part, Call)
        ]
        if content:
            message["content"] = content
        if story.calls:
            message |= {"tool_plan": PLAN, "tool_calls": [_call(call) for call in story.calls]}
        finish = FINISH_REASONS[story.end]
        return {"id": _id(number), "finish_reason": finish, "message": message, "usage": _usage(story)}

    def frames(self, asked: Asked, story: Story, number: int) -> Iterator[Frame]:
        message = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
        yield _frame("message-start", {"id": _id(number), "delta": {"message": message}}, Place.OPENING)
        planned = False
        for index, part in enumerate(story.parts):
            if isinstance(part, Call):
                if not planned:
                    planned = True
                    for token in tokens(PLAN):
                        yield _frame("tool-plan-delta", {"delta": {"message": {"tool_plan": token}}})
                yield from _called(part)
            else:
                yield from _said(index, part)
        ending = {"finish_reason": FINISH_REASONS[story.end], "usage": _usage(story)}
        yield _frame("message-end", {"delta": ending}, Place.CLOSING)
        yield Frame(b"data: [DONE]\n\n", Place.CLOSING)

    def broken(self, problem: Problem) -> bytes:
        delta = {"finish_reason": "ERROR", "error": str(problem)}
        return named_event("message-end", {"type": "message-end", "delta": delta})

    def ping(self) -> bytes:
        return b": ping\n\n"

    def unknown(self) -> bytes:
        return named_event("weather-report", {"type": "weather-report", "sky": "clear"})


def _frame(kind: str, members: dict[str, Any], place: Place = Place.CONTENT) -> Frame:
    return Frame(named_event(kind, {"type": kind, **members}), place)


def _said(index: int, part: Any) -> Iterator[Frame]:
    kind = "thinking" if isinstance(part, Reasoning) else "text"
    opened = {"type": kind, kind: ""}
    yield _frame("content-start", {"index": index, "delta": {"message": {"content": opened}}}, Place.OPENING)
    for token in tokens(part.text):
        yield _frame("content-delta", {"index": index, "delta": {"message": {"content": {kind: token}}}})
    yield _frame("content-end", {"index": index})


def _called(call: Call) -> Iterator[Frame]:
    opened = {"id": f"{call.name}_{call.id}", "type": "function", "function": {"name": call.name, "arguments": ""}}
    at = {"index": call.number}
    yield _frame("tool-call-start", {**at, "delta": {"message": {"tool_calls": opened}}})
    for fragment in fragments(call.json):
        delta = {"message": {"tool_calls": {"function": {"arguments": fragment}}}}
        yield _frame("tool-call-delta", {**at, "delta": delta})
    yield _frame("tool-call-end", at)


def _call(call: Call) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.json}
    return {"id": f"{call.name}_{call.id}", "type": "function", "function": function}


def _id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def _usage(story: Story) -> dict[str, Any]:
    """What is billed leaves out what Cohere adds to a prompt; all counts are floats."""
    counts = story.counts
    return {
        "billed_units": {"input_tokens": float(max(counts.prompt - 2, 0)), "output_tokens": float(counts.output)},
        "tokens": {"input_tokens": float(counts.prompt), "output_tokens": float(counts.output)},
        "cached_tokens": float(counts.cached),
    }
