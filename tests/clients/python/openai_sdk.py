"""`openai`: chat completions, and the same through Responses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from openai import OpenAI

from tests.clients.cases import PROMPT, WEATHER

MESSAGES: Any = [{"role": "user", "content": PROMPT}]
TOOL: Any = {"type": "function", "function": {"name": "weather", "parameters": WEATHER}}


class Chat:
    name = "openai"

    def __init__(self, url: str, key: str, timeout_s: float) -> None:
        self._client = OpenAI(base_url=f"{url}/v1", api_key=key, timeout=timeout_s, max_retries=0)

    def chat(self, model: str) -> str:
        return self._client.chat.completions.create(model=model, messages=MESSAGES).choices[0].message.content or ""

    def stream(self, model: str) -> Iterator[str]:
        with self._client.chat.completions.create(model=model, messages=MESSAGES, stream=True) as events:
            for event in events:
                if event.choices:  # Azure's first one has none
                    yield event.choices[0].delta.content or ""

    def tool(self, model: str) -> dict[str, Any]:
        answer: Any = self._client.chat.completions.create(model=model, messages=MESSAGES, tools=[TOOL])
        found: dict[str, Any] = json.loads(answer.choices[0].message.tool_calls[0].function.arguments)
        return found

    def structured(self, model: str) -> dict[str, Any]:
        wanted: Any = {"type": "json_schema", "json_schema": {"name": "weather", "schema": WEATHER, "strict": True}}
        answer = self._client.chat.completions.create(model=model, messages=MESSAGES, response_format=wanted)
        found: dict[str, Any] = json.loads(answer.choices[0].message.content or "")
        return found

    def embed(self, model: str) -> list[float]:
        return self._client.embeddings.create(model=model, input="water").data[0].embedding

    def models(self) -> list[str]:
        return [model.id for model in self._client.models.list()]


class Responses(Chat):
    name = "openai responses"

    def chat(self, model: str) -> str:
        return self._client.responses.create(model=model, input=PROMPT).output_text

    def stream(self, model: str) -> Iterator[str]:
        with self._client.responses.create(model=model, input=PROMPT, stream=True) as events:
            for event in events:
                if event.type == "response.output_text.delta":
                    yield event.delta

    def tool(self, model: str) -> dict[str, Any]:
        tool: Any = {"type": "function", "name": "weather", "parameters": WEATHER}
        answer: Any = self._client.responses.create(model=model, input=PROMPT, tools=[tool])
        found: dict[str, Any] = json.loads(answer.output[0].arguments)
        return found

    def structured(self, model: str) -> dict[str, Any]:
        wanted: Any = {"format": {"type": "json_schema", "name": "weather", "schema": WEATHER, "strict": True}}
        answer = self._client.responses.create(model=model, input=PROMPT, text=wanted)
        found: dict[str, Any] = json.loads(answer.output_text)
        return found
