"""`ai21`: client.chat.completions.create."""

from __future__ import annotations

from typing import Any

from ai21 import AI21Client
from ai21.models.chat import AssistantMessage, SystemMessage, ToolCall, ToolFunction, ToolMessage, UserMessage
from ai21.models.chat.response_format import ResponseFormat

from engines.wire.request import CallPart, ChatRequest, FilePart, TextPart, Turn
from tests.providers.calls.speakers import chat_speaker
from tests.providers.calls.speakers.words import alone, lose, lose_failure, lose_marks, rest, results, text_of


def say(client: AI21Client, call: ChatRequest, lost: set[str]) -> Any:
    lose(call, lost, "user", "top_k", "seed", "presence_penalty", "frequency_penalty", "reasoning")
    lose_marks(call, lost)
    lose_failure(call, lost)
    if call.tool_choice is not None and call.tool_choice.mode not in ("auto", "none"):
        lost.add(f"tool_choice.{call.tool_choice.mode}")
    if call.parallel_tool_calls is False:
        lost.add("parallel_tool_calls")
    messages = [message for turn in call.turns for message in said(turn, lost)]
    more: dict[str, Any] = {"model": call.model, "messages": messages}
    for name in ("temperature", "top_p", "max_tokens"):
        if getattr(call, name) is not None:
            more[name] = getattr(call, name)
    if call.stop:
        more["stop"] = call.stop
    if call.tools and not (call.tool_choice is not None and call.tool_choice.mode == "none"):
        more["tools"] = chat_speaker.tools(call)
        for tool in more["tools"]:
            tool["function"].pop("strict", None)  # no member of FunctionToolDefinition
    if call.output is not None:
        if call.output.kind == "json_schema":
            lost.add("json_schema")
            return None
        more["response_format"] = ResponseFormat(type=call.output.kind)
    if call.stream:
        more["stream"] = True
    return client.chat.completions.create(**more)


def said(turn: Turn, lost: set[str]) -> list[Any]:
    if turn.role == "assistant":
        texts = [part for part in turn.parts if isinstance(part, TextPart)]
        calls = [
            ToolCall(id=part.id, type="function", function=ToolFunction(name=part.name, arguments=part.arguments))
            for part in turn.parts
            if isinstance(part, CallPart)
        ]
        return [AssistantMessage(content=text_of(texts) if texts else None, tool_calls=calls or None)]
    messages: list[Any] = [
        ToolMessage(tool_call_id=result.id, content=content(result.parts, lost)) for result in results(turn)
    ]
    parts = rest(turn)
    if parts:
        kind = SystemMessage if turn.role == "system" else UserMessage
        messages.append(kind(content=content(parts, lost)))
    return messages


def content(parts: list[Any], lost: set[str]) -> str:
    parts = [TextPart(part.text) if isinstance(part, FilePart) and part.text else part for part in parts]
    if not alone(parts):
        if any(not isinstance(part, TextPart) for part in parts):
            lost.add("images")
            return ""
        return "".join(part.text for part in parts)  # a string is all that its messages take
    return text_of(parts)
