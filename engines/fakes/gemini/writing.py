"""From an answer to GenerateContentResponses: one, or one per event of a stream that has no end mark."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from engines.fakes.asked import Asked
from engines.fakes.frames import Frame, Place, data_event
from engines.fakes.gemini.reading import signature
from engines.fakes.problems import Kind, Problem
from engines.fakes.story import Call, End, Reasoning, Story, tokens

FINISH_REASONS: Final = {
    End.STOP: "STOP",
    End.STOP_SEQUENCE: "STOP",
    End.LENGTH: "MAX_TOKENS",
    End.TOOLS: "STOP",
    End.REFUSAL: "STOP",
    End.FILTERED: "SAFETY",
    End.BROKEN_CALL: "MALFORMED_FUNCTION_CALL",
    End.BLOCKED: "SAFETY",  # of no candidate: it is never written
    End.UNKNOWN: "MOON_PHASE",
}
ERRORS: Final = {
    Kind.INVALID: (400, "INVALID_ARGUMENT"),
    Kind.TOO_LONG: (400, "INVALID_ARGUMENT"),
    Kind.BLOCKED: (400, "FAILED_PRECONDITION"),
    Kind.UNAUTHENTICATED: (401, "UNAUTHENTICATED"),
    Kind.FORBIDDEN: (403, "PERMISSION_DENIED"),
    Kind.NOT_FOUND: (404, "NOT_FOUND"),
    Kind.TOO_LARGE: (413, "INVALID_ARGUMENT"),
    Kind.RATE_LIMITED: (429, "RESOURCE_EXHAUSTED"),
    Kind.NO_MONEY: (429, "RESOURCE_EXHAUSTED"),
    Kind.FAILED: (500, "INTERNAL"),
    Kind.OVERLOADED: (503, "UNAVAILABLE"),
    Kind.TIMED_OUT: (504, "DEADLINE_EXCEEDED"),
}


def error_body(problem: Problem) -> dict[str, Any]:
    """The document, which a stream carries too."""
    code, status = ERRORS[problem.kind]
    error: dict[str, Any] = {"code": code, "message": str(problem), "status": status}
    if problem.retry_after_s is not None and problem.kind is Kind.RATE_LIMITED:
        retry = {
            "@type": "type.googleapis.com/google.rpc.RetryInfo",
            "retryDelay": f"{round(problem.retry_after_s, 3):g}s",
        }
        error["details"] = [retry]
    return {"error": error}


class GeminiFormat:
    """Implements `engines.fakes.frames.Format`."""

    stream_type = b"text/event-stream"

    def plain(self, asked: Asked, story: Story, number: int) -> Any:
        parts = [_whole(part, first) for part, first in _with_first(story)]
        candidates = [_candidate(at, parts, story) for at in range(asked.choices)]
        return _response(asked, number, candidates, _usage(story, asked.choices), story)

    def frames(self, asked: Asked, story: Story, number: int) -> Iterator[Frame]:
        if story.end is End.BLOCKED:
            yield Frame(data_event(_response(asked, number, [], _usage(story, 1), story)), Place.CLOSING)
            return
        growing: dict[str, Any] = {"promptTokenCount": story.counts.prompt, "totalTokenCount": story.counts.prompt}
        for at in range(asked.choices):
            for part, first in _with_first(story):
                for piece in [_whole(part, first)] if isinstance(part, Call) else _pieces(part):
                    yield Frame(data_event(_response(asked, number, [_candidate(at, [piece])], growing)))
        last = [_candidate(at, [{"text": ""}], story) for at in range(asked.choices)]
        yield Frame(data_event(_response(asked, number, last, _usage(story, asked.choices))), Place.CLOSING)

    def broken(self, problem: Problem) -> bytes:
        return data_event(error_body(problem))

    def ping(self) -> bytes:
        return b""

    def unknown(self) -> bytes:
        return data_event({"weatherReport": {"sky": "clear"}})


def _with_first(story: Story) -> Iterator[tuple[Any, bool]]:
    """Each part, and whether it is the first call: that one is signed."""
    calls = story.calls
    return ((part, bool(calls) and part is calls[0]) for part in story.parts)


def _whole(part: Any, first: bool) -> dict[str, Any]:
    if isinstance(part, Call):
        call = {"functionCall": {"id": part.id, "name": part.name, "args": part.arguments}}
        return call | ({"thoughtSignature": signature(part.name)} if first else {})
    return {"text": part.text, **({"thought": True} if isinstance(part, Reasoning) else {})}


def _pieces(part: Any) -> Iterator[dict[str, Any]]:
    thought = {"thought": True} if isinstance(part, Reasoning) else {}
    return ({"text": token, **thought} for token in tokens(part.text))


def _candidate(index: int, parts: list[dict[str, Any]], story: Story | None = None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"index": index}
    if story is None or parts:
        candidate["content"] = {"parts": parts, "role": "model"}
    if story is not None:
        candidate["finishReason"] = FINISH_REASONS[story.end]
    return candidate


def _response(
    asked: Asked, number: int, candidates: list[Any], usage: dict[str, Any], story: Story | None = None
) -> dict[str, Any]:
    response: dict[str, Any] = {"candidates": candidates}
    if story is not None and story.end is End.BLOCKED:
        response = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}
    return {
        **response,
        "usageMetadata": usage,
        "modelVersion": asked.model,
        "responseId": f"fake{number:06d}",
    }


def _usage(story: Story, choices: int) -> dict[str, Any]:
    counts = story.counts
    said, thought = (counts.output - counts.reasoning) * choices, counts.reasoning * choices
    usage: dict[str, Any] = {
        "promptTokenCount": counts.prompt,
        "totalTokenCount": counts.prompt + said + thought,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": counts.prompt}],
    }
    if said:
        usage["candidatesTokenCount"] = said
    if counts.cached:
        usage["cachedContentTokenCount"] = counts.cached
    if thought:
        usage["thoughtsTokenCount"] = thought
    return usage
