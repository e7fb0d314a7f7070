"""`anthropic`: messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from anthropic import Anthropic

from tests.clients.cases import PROMPT, WEATHER

MESSAGES: Any = [{"role": "user", "content": PROMPT}]


class Messages:
    name = "anthropic"

    def __init__(self, url: str, key: str, timeout_s: float) -> None:
        self._client = Anthropic(base_url=url, api_key=key, timeout=timeout_s, max_retries=0)

    def chat(self, model: str) -> str:
        answer: Any = self._client.messages.create(model=model, max_tokens=99, messages=MESSAGES)
        text: str = answer.content[0].text
        return text

    def stream(self, model: str) -> Iterator[str]:
        with self._client.messages.stream(model=model, max_tokens=99, messages=MESSAGES) as events:
            yield from events.text_stream

    def tool(self, model: str) -> dict[str, Any]:
        tool: Any = {"name": "weather", "input_schema": WEATHER}
        answer: Any = self._client.messages.create(model=model, max_tokens=99, messages=MESSAGES, tools=[tool])
        found: dict[str, Any]
        (found,) = [block.input for block in answer.content if block.type == "tool_use"]
        return found

    def structured(self, model: str) -> dict[str, Any]:
        wanted: Any = {"format": {"type": "json_schema", "schema": WEATHER}}
        answer: Any = self._client.messages.create(model=model, max_tokens=99, messages=MESSAGES, output_config=wanted)
        found: dict[str, Any] = json.loads(answer.content[0].text)
        return found

    def embed(self, model: str) -> list[float]:
        raise NotImplementedError

    def models(self) -> list[str]:
        return [model.id for model in self._client.models.list()]
