"""From an answer to a chat completion, plain or streamed. Source: `types/chat/chat_completion_chunk.py` of the SDK."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from engines.fakes.asked import Asked
from engines.fakes.frames import Frame, Place, data_event
from engines.fakes.openai.errors import error_body
from engines.fakes.problems import Problem
from engines.fakes.story import Call, End, Reasoning, Story, Text, fragments, tokens

CREATED = 1_790_000_000


class ChatFormat:
    """Implements `engines.fakes.frames.Format`; providers with the same format and other habits build on it."""

    stream_type = b"text/event-stream; charset=utf-8"
    finish_reasons: ClassVar[Mapping[End, str]] = {
        End.STOP: "stop",
        End.STOP_SEQUENCE: "stop",
        End.LENGTH: "length",
        End.TOOLS: "tool_calls",
        End.REFUSAL: "stop",
        End.FILTERED: "content_filter",
        End.BROKEN_CALL: "stop",
        End.UNKNOWN: "moon_phase",
    }

    def plain(self, asked: Asked, story: Story, number: int) -> Any:
        message: dict[str, Any] = {"role": "assistant", **self.said(story)}
        if story.calls:
            message["tool_calls"] = [self.call(call) for call in story.calls]
        finish = self.finish_reasons[story.end]
        choices = [
            {"index": at, "message": message, "logprobs": None, "finish_reason": finish} for at in range(asked.choices)
        ]
        head = self.head(asked, number, "chat.completion")
        return {**head, "choices": choices, "usage": self.usage(story, asked.choices)}

    def frames(self, asked: Asked, story: Story, number: int) -> Iterator[Frame]:
        for at in range(asked.choices):
            yield self.chunk(asked, number, at, {"role": "assistant", "content": ""}, place=Place.OPENING)
            for delta in self.deltas(story):
                yield self.chunk(asked, number, at, delta)
        finish = self.finish_reasons[story.end]
        for at in range(asked.choices):
            yield self.chunk(asked, number, at, {}, finish, Place.CLOSING)
        if asked.include_usage:
            head = self.head(asked, number, "chat.completion.chunk")
            usage = {**head, "choices": [], "usage": self.usage(story, asked.choices)}
            yield Frame(data_event(usage), Place.CLOSING)
        yield Frame(b"data: [DONE]\n\n", Place.CLOSING)

    def chunk(
        self, asked: Asked, number: int, index: int, delta: Any, finish: str | None = None, place: Place = Place.CONTENT
    ) -> Frame:
        """One chunk of one choice."""
        value = {
            **self.head(asked, number, "chat.completion.chunk"),
            "choices": [self.choice(index, delta, finish)],
        }
        if asked.include_usage:
            value["usage"] = None
        return Frame(data_event(value), place)

    def choice(self, index: int, delta: Any, finish: str | None) -> dict[str, Any]:
        return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}

    def head(self, asked: Asked, number: int, kind: str) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-fake{number:06d}",
            "object": kind,
            "created": CREATED,
            "model": asked.model,
            "service_tier": "default",
            "system_fingerprint": "fp_fake",
        }

    def said(self, story: Story) -> dict[str, Any]:
        """The words of a message."""
        if story.end is End.REFUSAL:
            return {"content": None, "refusal": story.text}
        return {"content": story.text or None, "refusal": None}

    def deltas(self, story: Story) -> Iterator[dict[str, Any]]:
        """The content of a stream. OpenAI keeps its reasoning to itself."""
        member = "refusal" if story.end is End.REFUSAL else "content"
        for part in story.parts:
            if isinstance(part, Text):
                for token in tokens(part.text):
                    yield {member: token}
            elif isinstance(part, Reasoning):
                yield from self.reasoned(part)
            elif isinstance(part, Call):
                yield from self.called(part)

    def reasoned(self, part: Reasoning) -> Iterator[dict[str, Any]]:
        return iter(())

    def called(self, call: Call) -> Iterator[dict[str, Any]]:
        opened = self.call(call) | {"index": call.number}
        opened["function"] = {"name": call.name, "arguments": ""}
        yield {"tool_calls": [opened]}
        for fragment in fragments(call.json):
            yield {"tool_calls": [{"index": call.number, "function": {"arguments": fragment}}]}

    def call(self, call: Call) -> dict[str, Any]:
        return {"id": f"call_{call.id}", "type": "function", "function": {"name": call.name, "arguments": call.json}}

    def usage(self, story: Story, choices: int) -> dict[str, Any]:
        counts = story.counts
        output = counts.output * choices
        return {
            "prompt_tokens": counts.prompt,
            "completion_tokens": output,
            "total_tokens": counts.prompt + output,
            "prompt_tokens_details": {"cached_tokens": counts.cached, "audio_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": counts.reasoning * choices,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        }

    def broken(self, problem: Problem) -> bytes:
        return data_event(error_body(problem))

    def ping(self) -> bytes:
        return b": keep-alive\n\n"

    def unknown(self) -> bytes:
        return b"event: weather_report\n" + data_event({"object": "weather.report", "sky": "clear"})
