"""`cohere`: client.chat, version 2."""

from __future__ import annotations

from typing import Any

import cohere

from engines.wire.request import AudioPart, ChatRequest, FilePart, ImagePart
from tests.providers.calls.speakers import chat_speaker
from tests.providers.calls.speakers.words import lose, lose_failure, lose_marks

BUDGETS = {"low": 2048, "medium": 8192, "high": 24576}
"""Its documentation has budgets of tokens alone; docs/providers.md names these."""


def say(client: cohere.ClientV2, call: ChatRequest, lost: set[str]) -> Any:
    lose(call, lost, "user")
    lose_marks(call, lost)
    lose_failure(call, lost)
    for turn in call.turns:
        for part in turn.parts:
            if isinstance(part, AudioPart) or (isinstance(part, FilePart) and not part.text):
                lost.add("files")
                return None
            if getattr(part, "parts", None) and any(isinstance(one, ImagePart) for one in part.parts):  # type: ignore[union-attr]
                lost.add("tool_result_media")
                return None
    said = [{name: value for name, value in one.items() if value is not None} for one in messages(call, lost)]
    more: dict[str, Any] = {"model": call.model, "messages": said}
    names = {"temperature": "temperature", "top_p": "p", "top_k": "k", "seed": "seed", "max_tokens": "max_tokens"}
    names |= {"presence_penalty": "presence_penalty", "frequency_penalty": "frequency_penalty"}
    for name, its in names.items():
        if getattr(call, name) is not None:
            more[its] = getattr(call, name)
    if call.stop:
        more["stop_sequences"] = call.stop
    if call.tools:
        more["tools"] = chat_speaker.tools(call)
        if any(tool["function"].pop("strict", None) for tool in more["tools"]):
            more["strict_tools"] = True
    if call.parallel_tool_calls is False:
        lost.add("parallel_tool_calls")
    if call.tool_choice is not None:
        if call.tool_choice.mode == "named":  # it has no word for that: the one tool, which must be called
            more["tools"] = [tool for tool in more["tools"] if tool["function"]["name"] == call.tool_choice.name]
            more["tool_choice"] = "REQUIRED"
        elif call.tool_choice.mode != "auto":
            more["tool_choice"] = call.tool_choice.mode.upper()
    if call.output is not None:
        schema = {"json_schema": call.output.schema} if call.output.schema is not None else {}
        more["response_format"] = {"type": "json_object", **schema}
    wish = call.reasoning
    if wish is not None:
        budget = wish.budget_tokens or BUDGETS.get(wish.effort)
        more["thinking"] = (
            {"type": "disabled"} if wish.effort == "none" else {"type": "enabled", "token_budget": budget}
        )
    once: Any = {"max_retries": 0}
    if call.stream:
        return list(client.chat_stream(**more, request_options=once))
    return client.chat(**more, request_options=once)


def messages(call: ChatRequest, lost: set[str]) -> list[dict[str, Any]]:
    return chat_speaker.messages(call, lost)
