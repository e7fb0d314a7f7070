"""The clients before each provider, and what only they are asked: pictures, second turns and thoughts."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from langchain_core.messages import HumanMessage, ToolMessage

from tests.clients.cases import PIXEL, PROMPT, TOLD, WEATHER
from tests.clients.python import anthropic_sdk, frameworks, openai_sdk

URL = f"data:image/png;base64,{PIXEL}"


class Chat(openai_sdk.Chat):
    """OpenAI's chat completions."""

    def look(self, model: str) -> str:
        seen = [{"type": "text", "text": "Look."}, {"type": "image_url", "image_url": {"url": URL}}]
        messages: Any = [{"role": "user", "content": seen}]
        answer = self._client.chat.completions.create(model=model, messages=messages)
        return answer.choices[0].message.content or ""

    def streamed_tool(self, model: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._called(model).tool_calls[0].function.arguments)
        return found

    def second_turn(self, model: str, **more: Any) -> str:
        called = self._called(model, **more)
        told = [{"role": "tool", "tool_call_id": call.id, "content": TOLD} for call in called.tool_calls]
        messages: Any = [*openai_sdk.MESSAGES, _unread(called), *told]
        wish: Any = {"tools": [openai_sdk.TOOL], **more}
        answer = self._client.chat.completions.create(model=model, messages=messages, **wish)
        return answer.choices[0].message.content or ""

    def thoughts(self, model: str) -> str:
        return self.second_turn(model, reasoning_effort="high")

    def _called(self, model: str, **more: Any) -> Any:
        """The message of a stream that calls a tool."""
        wish: Any = {"tools": [openai_sdk.TOOL], **more}
        with self._client.chat.completions.stream(model=model, messages=openai_sdk.MESSAGES, **wish) as events:
            return events.get_final_completion().choices[0].message


def _unread(message: Any) -> Any:
    """Without what the SDK adds when it joins a stream, which OpenAI does not take back."""
    said = message.to_dict(exclude_none=True)
    said.pop("parsed", None)
    for call in said["tool_calls"]:
        call.pop("index", None)
        call["function"].pop("parsed_arguments", None)
    return said


class Messages(anthropic_sdk.Messages):
    """Anthropic's messages."""

    def look(self, model: str) -> str:
        picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
        messages: Any = [{"role": "user", "content": [{"type": "text", "text": "Look."}, picture]}]
        answer: Any = self._client.messages.create(model=model, max_tokens=99, messages=messages)
        return str(answer.content[0].text)

    def streamed_tool(self, model: str) -> dict[str, Any]:
        found: dict[str, Any] = self._called(model)[-1].input
        return found

    def second_turn(self, model: str, **more: Any) -> str:
        called = self._called(model, **more)
        calls = [block.id for block in called if block.type == "tool_use"]
        told = [{"type": "tool_result", "tool_use_id": call, "content": TOLD} for call in calls]
        messages: Any = [
            *anthropic_sdk.MESSAGES,
            {"role": "assistant", "content": called},
            {"role": "user", "content": told},
        ]
        answer: Any = self._client.messages.create(model=model, messages=messages, **self._wish(**more))
        return str(answer.content[-1].text)

    def thoughts(self, model: str) -> str:
        return self.second_turn(model, max_tokens=3000, thinking={"type": "enabled", "budget_tokens": 2000})

    def _called(self, model: str, **more: Any) -> Any:
        with self._client.messages.stream(model=model, messages=anthropic_sdk.MESSAGES, **self._wish(**more)) as events:
            return events.get_final_message().content

    def _wish(self, **more: Any) -> Any:
        return {"max_tokens": 99, "tools": [{"name": "weather", "input_schema": WEATHER}], **more}


class LangChainOpenAI(frameworks.LangChainOpenAI):
    """ChatOpenAI."""

    thinking: ClassVar[dict[str, Any]] = {"reasoning_effort": "high"}

    def look(self, model: str) -> str:
        picture: Any = {"type": "image", "base64": PIXEL, "mime_type": "image/png"}
        return str(self._chat(model).invoke([HumanMessage([{"type": "text", "text": "Look."}, picture])]).text)

    def streamed_tool(self, model: str) -> dict[str, Any]:
        found: dict[str, Any] = self._called(model).tool_calls[0]["args"]
        return found

    def second_turn(self, model: str, **more: Any) -> str:
        called = self._called(model, **more)
        told = [ToolMessage(TOLD, tool_call_id=call["id"]) for call in called.tool_calls]
        chat = self._chat(model, **more).bind_tools([frameworks.Weather])
        return str(chat.invoke([HumanMessage(PROMPT), called, *told]).text)

    def thoughts(self, model: str) -> str:
        return self.second_turn(model, **self.thinking)

    def _called(self, model: str, **more: Any) -> Any:
        """A streamed message that calls a tool, joined as LangChain joins it."""
        whole: Any = None
        for chunk in self._chat(model, **more).bind_tools([frameworks.Weather]).stream(PROMPT):
            whole = chunk if whole is None else whole + chunk
        return whole


class LangChainAnthropic(LangChainOpenAI):
    """ChatAnthropic."""

    name = "langchain-anthropic"
    thinking: ClassVar[dict[str, Any]] = {"max_tokens": 3000, "thinking": {"type": "enabled", "budget_tokens": 2000}}
    _chat = frameworks.LangChainAnthropic._chat


MAKERS: tuple[Any, ...] = (Chat, Messages, LangChainOpenAI, LangChainAnthropic)
