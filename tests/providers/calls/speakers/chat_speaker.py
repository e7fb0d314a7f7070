"""`openai`: client.chat.completions.create."""

from __future__ import annotations

from typing import Any

import openai

from engines.wire.request import (
    AudioPart,
    CallPart,
    ChatRequest,
    FilePart,
    ImagePart,
    Part,
    TextPart,
    ThoughtPart,
    Turn,
)
from tests.providers.calls.speakers.words import alone, data_url, lose_failure, lose_marks, rest, results, text_of


def say(client: openai.OpenAI, call: ChatRequest, lost: set[str], limit: str = "max_completion_tokens") -> Any:
    more: dict[str, Any] = {"model": call.model, "messages": messages(call, lost)}
    lose_marks(call, lost)
    lose_failure(call, lost)
    for name in ("temperature", "top_p", "seed", "presence_penalty", "frequency_penalty"):
        if getattr(call, name) is not None:
            more[name] = getattr(call, name)
    if call.top_k is not None:
        more["extra_body"] = {"top_k": call.top_k}
    if call.max_tokens is not None:
        more[limit] = call.max_tokens
    if call.stop:
        more["stop"] = call.stop
    if call.user:
        more["user"] = call.user
    if call.tools:
        more["tools"] = tools(call)
    if call.tool_choice is not None:
        mode, name = call.tool_choice.mode, call.tool_choice.name
        more["tool_choice"] = {"type": "function", "function": {"name": name}} if mode == "named" else mode
    if call.parallel_tool_calls is not None:
        more["parallel_tool_calls"] = call.parallel_tool_calls
    if call.output is not None:
        more["response_format"] = response_format(call)
    if call.reasoning is not None:
        if call.reasoning.budget_tokens is not None or call.reasoning.adaptive:
            lost.add("~thinking")
        more["reasoning_effort"] = call.reasoning.effort or "medium"  # what docs/providers.md has for 4096 tokens
    if limit == "max_tokens":  # servers that are not OpenAI's take what it does not
        lost.discard("tool_result_media")
    if call.stream:
        more |= {"stream": True, "stream_options": {"include_usage": True}}
    return client.chat.completions.create(**more)


def messages(call: ChatRequest, lost: set[str]) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = []
    for turn in call.turns:
        if turn.role == "assistant":
            said.append(assistant(turn, lost))
            continue
        for result in results(turn):
            if any(not isinstance(part, TextPart) for part in result.parts):
                lost.add("tool_result_media")
            content = text_of(result.parts) if alone(result.parts) else [one(part, lost) for part in result.parts]
            said.append({"role": "tool", "tool_call_id": result.id, "content": content})
        parts = rest(turn)
        if parts:
            content = text_of(parts) if alone(parts) else [one(part, lost) for part in parts]
            said.append({"role": turn.role, "content": content})
    return said


def one(part: Part, lost: set[str]) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    if isinstance(part, ImagePart):
        image = {"url": part.url or data_url(part)} | ({"detail": part.detail} if part.detail else {})
        return {"type": "image_url", "image_url": image}
    if isinstance(part, AudioPart):
        return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
    assert isinstance(part, FilePart)
    if part.text:
        lost.add("~text_files")
        return {"type": "text", "text": part.text}
    if part.url:
        lost.add("file_urls")
    return {"type": "file", "file": {"file_data": data_url(part), "filename": part.name}}


def assistant(turn: Turn, lost: set[str]) -> dict[str, Any]:
    said = [part for part in turn.parts if isinstance(part, TextPart)]
    calls = [part for part in turn.parts if isinstance(part, CallPart)]
    message: dict[str, Any] = {"role": "assistant", "content": text_of(said) if said else None}
    if any(isinstance(part, ThoughtPart) for part in turn.parts):
        lost.add("~thoughts")
    if any(part.signature for part in calls):
        lost.add("~call_signatures")
    if calls:
        message["tool_calls"] = [
            {"id": part.id, "type": "function", "function": {"name": part.name, "arguments": part.arguments}}
            for part in calls
        ]
    return message


def tools(call: ChatRequest) -> list[dict[str, Any]]:
    said = []
    for tool in call.tools:
        function: dict[str, Any] = {"name": tool.name, "parameters": tool.parameters}
        if tool.description:
            function["description"] = tool.description
        if tool.strict is not None:
            function["strict"] = tool.strict
        said.append({"type": "function", "function": function})
    return said


def response_format(call: ChatRequest) -> dict[str, Any]:
    output = call.output
    assert output is not None
    if output.kind == "json_object":
        return {"type": "json_object"}
    schema: dict[str, Any] = {"name": output.name, "schema": output.schema}
    if output.strict is not None:
        schema |= {"strict": output.strict, "description": output.description}
    return {"type": "json_schema", "json_schema": schema}
