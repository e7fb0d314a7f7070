"""From an answer to a message, plain or streamed. Source: `types/raw_message_stream_event.py` of the SDK."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from engines.fakes.anthropic.reading import signature
from engines.fakes.asked import Asked
from engines.fakes.frames import Frame, Place, named_event
from engines.fakes.problems import Kind, Problem
from engines.fakes.story import Call, End, Reasoning, Story, fragments, tokens

STOP_REASONS: Final = {
    End.STOP: "end_turn",
    End.STOP_SEQUENCE: "stop_sequence",
    End.LENGTH: "max_tokens",
    End.TOOLS: "tool_use",
    End.REFUSAL: "refusal",
    End.FILTERED: "refusal",
    End.BROKEN_CALL: "pause_turn",  # it has no word for a broken call, and this one ends no turn either
    End.UNKNOWN: "moon_phase",
}
ERRORS: Final = {
    Kind.INVALID: (400, "invalid_request_error"),
    Kind.TOO_LONG: (400, "invalid_request_error"),
    Kind.BLOCKED: (400, "invalid_request_error"),
    Kind.UNAUTHENTICATED: (401, "authentication_error"),
    Kind.NO_MONEY: (402, "billing_error"),
    Kind.FORBIDDEN: (403, "permission_error"),
    Kind.NOT_FOUND: (404, "not_found_error"),
    Kind.TOO_LARGE: (413, "request_too_large"),
    Kind.RATE_LIMITED: (429, "rate_limit_error"),
    Kind.FAILED: (500, "api_error"),
    Kind.TIMED_OUT: (504, "timeout_error"),
    Kind.OVERLOADED: (529, "overloaded_error"),
}


def error_body(problem: Problem, number: int) -> dict[str, Any]:
    """The document, which a stream carries too."""
    error = {"type": ERRORS[problem.kind][1], "message": str(problem)}
    return {"type": "error", "error": error, "request_id": f"req_fake{number:06d}"}


class MessagesFormat:
    """Implements `engines.fakes.frames.Format`."""

    stream_type = b"text/event-stream; charset=utf-8"

    def plain(self, asked: Asked, story: Story, number: int) -> Any:
        content: list[dict[str, Any]] = []
        for part in story.parts:
            block = _opened(part)
            if isinstance(part, Call):
                block["input"] = part.arguments
            elif isinstance(part, Reasoning):
                block |= {"thinking": part.text, "signature": signature(part.text)}
            else:
                block["text"] = part.text
            content.append(block)
        message = _message(asked, story, number)
        return message | {"content": content, **_ending(story), "usage": _usage(story, story.counts.output)}

    def frames(self, asked: Asked, story: Story, number: int) -> Iterator[Frame]:
        opening = _message(asked, story, number) | {"usage": _usage(story, 1)}
        yield _frame("message_start", {"message": opening}, Place.OPENING)
        yield Frame(self.ping(), Place.OPENING)
        for index, part in enumerate(story.parts):
            yield _frame("content_block_start", {"index": index, "content_block": _opened(part)}, Place.OPENING)
            for delta in _deltas(part):
                yield _frame("content_block_delta", {"index": index, "delta": delta})
            yield _frame("content_block_stop", {"index": index}, Place.CONTENT)
        usage = {"output_tokens": story.counts.output}
        if story.counts.reasoning:
            usage |= {"output_tokens_details": {"thinking_tokens": story.counts.reasoning}}  # type: ignore[dict-item]
        yield _frame("message_delta", {"delta": _ending(story), "usage": usage}, Place.CLOSING)
        yield _frame("message_stop", {}, Place.CLOSING)

    def broken(self, problem: Problem) -> bytes:
        return named_event("error", error_body(problem, 0))

    def ping(self) -> bytes:
        return named_event("ping", {"type": "ping"})

    def unknown(self) -> bytes:
        return named_event("weather_report", {"type": "weather_report", "sky": "clear"})


def _frame(kind: str, members: dict[str, Any], place: Place = Place.CONTENT) -> Frame:
    return Frame(named_event(kind, {"type": kind, **members}), place)


def _message(asked: Asked, story: Story, number: int) -> dict[str, Any]:
    return {
        "id": f"msg_fake{number:06d}",
        "type": "message",
        "role": "assistant",
        "model": asked.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _opened(part: object) -> dict[str, Any]:
    if isinstance(part, Call):
        return {"type": "tool_use", "id": f"toolu_{part.id}", "name": part.name, "input": {}}
    if isinstance(part, Reasoning):
        return {"type": "thinking", "thinking": "", "signature": ""}
    return {"type": "text", "text": ""}


def _deltas(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, Call):
        for fragment in ["", *fragments(part.json)]:
            yield {"type": "input_json_delta", "partial_json": fragment}
        return
    kind = ("thinking_delta", "thinking") if isinstance(part, Reasoning) else ("text_delta", "text")
    for token in tokens(part.text):
        yield {"type": kind[0], kind[1]: token}
    if isinstance(part, Reasoning):
        yield {"type": "signature_delta", "signature": signature(part.text)}


def _ending(story: Story) -> dict[str, Any]:
    ending: dict[str, Any] = {"stop_reason": STOP_REASONS[story.end], "stop_sequence": story.stop_sequence}
    if story.end is End.REFUSAL:
        ending["stop_details"] = {"type": "refusal", "category": "general_harms", "explanation": "It is refused."}
    return ending


def _usage(story: Story, output: int) -> dict[str, Any]:
    counts = story.counts
    usage: dict[str, Any] = {
        "input_tokens": counts.prompt - counts.cached - counts.cache_written,
        "cache_creation_input_tokens": counts.cache_written,
        "cache_read_input_tokens": counts.cached,
        "cache_creation": {"ephemeral_5m_input_tokens": counts.cache_written, "ephemeral_1h_input_tokens": 0},
        "output_tokens": output,
        "service_tier": "standard",
    }
    if counts.reasoning and output == counts.output:
        usage["output_tokens_details"] = {"thinking_tokens": counts.reasoning}
    return usage
