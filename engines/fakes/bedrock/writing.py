"""From an answer to a Converse response, or to the messages of an event stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from engines.eventstream import encode
from engines.fakes.asked import Asked
from engines.fakes.bedrock.reading import signature
from engines.fakes.frames import Frame, Place
from engines.fakes.problems import Kind, Problem
from engines.fakes.story import Call, End, Reasoning, Story, fragments, tokens

STOP_REASONS: Final = {
    End.STOP: "end_turn",
    End.STOP_SEQUENCE: "stop_sequence",
    End.LENGTH: "max_tokens",
    End.TOOLS: "tool_use",
    End.REFUSAL: "end_turn",
    End.FILTERED: "content_filtered",
    End.BROKEN_CALL: "malformed_tool_use",
    End.BLOCKED: "guardrail_intervened",
    End.UNKNOWN: "moon_phase",
}
ERRORS: Final = {
    Kind.INVALID: (400, "ValidationException"),
    Kind.TOO_LONG: (400, "ValidationException"),
    Kind.BLOCKED: (400, "ValidationException"),
    Kind.NO_MONEY: (400, "ServiceQuotaExceededException"),
    Kind.UNAUTHENTICATED: (403, "UnrecognizedClientException"),
    Kind.FORBIDDEN: (403, "AccessDeniedException"),
    Kind.NOT_FOUND: (404, "ResourceNotFoundException"),
    Kind.TIMED_OUT: (408, "ModelTimeoutException"),
    Kind.TOO_LARGE: (413, "RequestEntityTooLargeException"),
    Kind.RATE_LIMITED: (429, "ThrottlingException"),
    Kind.FAILED: (500, "InternalServerException"),
    Kind.OVERLOADED: (503, "ServiceUnavailableException"),
}
IN_STREAM: Final = {Kind.FAILED: "modelStreamErrorException", Kind.OVERLOADED: "serviceUnavailableException"}


class ConverseFormat:
    """Implements `engines.fakes.frames.Format`."""

    stream_type = b"application/vnd.amazon.eventstream"

    def plain(self, asked: Asked, story: Story, number: int) -> Any:
        content: list[dict[str, Any]] = []
        for part in story.parts:
            if isinstance(part, Call):
                content.append({"toolUse": {"toolUseId": _id(part), "name": part.name, "input": part.arguments}})
            elif isinstance(part, Reasoning):
                text = {"text": part.text, "signature": signature(part.text)}
                content.append({"reasoningContent": {"reasoningText": text}})
            else:
                content.append({"text": part.text})
        return {
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": STOP_REASONS[story.end],
            "usage": _usage(story),
            "metrics": {"latencyMs": 1},
        }

    def frames(self, asked: Asked, story: Story, number: int) -> Iterator[Frame]:
        yield Frame(_event("messageStart", {"role": "assistant"}), Place.OPENING)
        for index, part in enumerate(story.parts):
            at = {"contentBlockIndex": index}
            if isinstance(part, Call):
                start = {"toolUse": {"toolUseId": _id(part), "name": part.name}}
                yield Frame(_event("contentBlockStart", {"start": start, **at}), Place.OPENING)
            for delta in _deltas(part):
                yield Frame(_event("contentBlockDelta", {"delta": delta, **at}))
            yield Frame(_event("contentBlockStop", at))
        yield Frame(_event("messageStop", {"stopReason": STOP_REASONS[story.end]}), Place.CLOSING)
        metadata = {"usage": _usage(story), "metrics": {"latencyMs": 1}}
        yield Frame(_event("metadata", metadata), Place.CLOSING)

    def broken(self, problem: Problem) -> bytes:
        headers = {
            ":exception-type": IN_STREAM[problem.kind],
            ":content-type": "application/json",
            ":message-type": "exception",
        }
        return encode(headers, msgspec.json.encode({"message": str(problem)}))

    def ping(self) -> bytes:
        return b""

    def unknown(self) -> bytes:
        return _event("weatherReport", {"sky": "clear"})


def _event(name: str, value: Any) -> bytes:
    headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return encode(headers, msgspec.json.encode({**value, "p": "abcdefgh"}))  # padding, as Bedrock's own


def _deltas(part: Any) -> Iterator[dict[str, Any]]:
    if isinstance(part, Call):
        for fragment in fragments(part.json):
            yield {"toolUse": {"input": fragment}}
    elif isinstance(part, Reasoning):
        for token in tokens(part.text):
            yield {"reasoningContent": {"text": token}}
        yield {"reasoningContent": {"signature": signature(part.text)}}
    else:
        for token in tokens(part.text):
            yield {"text": token}


def _id(call: Call) -> str:
    return f"tooluse_{call.id}"


def _usage(story: Story) -> dict[str, Any]:
    counts = story.counts
    return {
        "inputTokens": counts.prompt - counts.cached - counts.cache_written,
        "outputTokens": counts.output,
        "totalTokens": counts.prompt + counts.output,
        "cacheReadInputTokens": counts.cached,
        "cacheWriteInputTokens": counts.cache_written,
    }
