"""From an answer to a text completion, plain or streamed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engines.fakes.asked import Asked
from engines.fakes.frames import Frame, Place, data_event
from engines.fakes.openai.chat import CREATED, ChatFormat
from engines.fakes.story import Story, tokens


class CompletionsFormat(ChatFormat):
    """Implements `engines.fakes.frames.Format`."""

    def plain(self, asked: Asked, story: Story, number: int) -> Any:
        finish = self.finish_reasons[story.end]
        choices = [self.choice(at, story.text, finish) for at in range(asked.choices)]
        return {**self.head(asked, number, ""), "choices": choices, "usage": self.usage(story, asked.choices)}

    def frames(self, asked: Asked, story: Story, number: int) -> Iterator[Frame]:
        head = self.head(asked, number, "")
        for at in range(asked.choices):
            for token in tokens(story.text):
                yield Frame(data_event({**head, "choices": [self.choice(at, token, None)]}))
            closing = {**head, "choices": [self.choice(at, "", self.finish_reasons[story.end])]}
            yield Frame(data_event(closing), Place.CLOSING)
        if asked.include_usage:
            yield Frame(data_event({**head, "choices": [], "usage": self.usage(story, asked.choices)}), Place.CLOSING)
        yield Frame(b"data: [DONE]\n\n", Place.CLOSING)

    def choice(self, index: int, text: str, finish: str | None) -> dict[str, Any]:
        return {"index": index, "text": text, "logprobs": None, "finish_reason": finish}

    def head(self, asked: Asked, number: int, kind: str) -> dict[str, Any]:
        return {"id": f"cmpl-fake{number:06d}", "object": "text_completion", "created": CREATED, "model": asked.model}
