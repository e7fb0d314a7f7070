"""`openai`: client.responses.create."""

from __future__ import annotations

from typing import Any

import openai

from engines.wire.request import CallPart, ChatRequest, FilePart, ImagePart, Part, TextPart, ThoughtPart
from tests.providers.calls.speakers.words import (
    alone,
    data_url,
    lose,
    lose_failure,
    lose_marks,
    rest,
    results,
    text_of,
)


def say(client: openai.OpenAI, call: ChatRequest, lost: set[str]) -> Any:
    more: dict[str, Any] = {"model": call.model, "input": items(call, lost)}
    lose_marks(call, lost)
    lose_failure(call, lost)
    lose(call, lost, "top_k", "stop", "seed", "presence_penalty", "frequency_penalty")
    for name in ("temperature", "top_p"):
        if getattr(call, name) is not None:
            more[name] = getattr(call, name)
    if call.max_tokens is not None:
        more["max_output_tokens"] = call.max_tokens
    if call.user:
        more["user"] = call.user
    if call.tools:
        more["tools"] = [
            {"type": "function", "name": tool.name, "parameters": tool.parameters, "strict": tool.strict}
            | ({"description": tool.description} if tool.description else {})
            for tool in call.tools
        ]
    if call.tool_choice is not None:
        mode, name = call.tool_choice.mode, call.tool_choice.name
        more["tool_choice"] = {"type": "function", "name": name} if mode == "named" else mode
    if call.parallel_tool_calls is not None:
        more["parallel_tool_calls"] = call.parallel_tool_calls
    if call.output is not None:
        form: dict[str, Any] = {"type": call.output.kind}
        if call.output.kind == "json_schema":
            form |= {"name": call.output.name, "schema": call.output.schema}
            if call.output.strict is not None:
                form |= {"strict": call.output.strict, "description": call.output.description}
        more["text"] = {"format": form}
    if call.reasoning is not None:
        if call.reasoning.budget_tokens is not None or call.reasoning.adaptive:
            lost.add("~thinking")
        else:
            more["reasoning"] = {"effort": call.reasoning.effort}
    if call.stream:
        more["stream"] = True
    return client.responses.create(**more)


def items(call: ChatRequest, lost: set[str]) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = []
    for turn in call.turns:
        for result in results(turn):
            output = text_of(result.parts) if alone(result.parts) else [one(part) for part in result.parts]
            said.append({"type": "function_call_output", "call_id": result.id, "output": output})
        parts = [part for part in rest(turn) if not isinstance(part, (CallPart, ThoughtPart))]
        if len(parts) + len(list(results(turn))) < len(turn.parts) and turn.role != "assistant":
            lost.add("calls")
        if any(isinstance(part, ThoughtPart) for part in turn.parts):
            lost.add("thoughts")
        if parts:
            content = text_of(parts) if alone(parts) else [spoken(part, lost) for part in parts]
            said.append({"role": turn.role, "content": content})
        for part in turn.parts:
            if isinstance(part, CallPart):
                if part.signature:
                    lost.add("call_signatures")
                item = {"type": "function_call", "call_id": part.id, "name": part.name, "arguments": part.arguments}
                said.append(item)
    return said


def spoken(part: Part, lost: set[str]) -> dict[str, Any]:
    if isinstance(part, (TextPart, ImagePart)) or (isinstance(part, FilePart) and not part.text):
        return one(part)
    lost.add("audio_or_text_files")
    return {}


def one(part: TextPart | ImagePart | FilePart) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "input_text", "text": part.text}
    if isinstance(part, ImagePart):
        return {"type": "input_image", "image_url": part.url or data_url(part), "detail": part.detail or "auto"}
    if part.url:
        return {"type": "input_file", "file_url": part.url}
    return {"type": "input_file", "file_data": data_url(part), "filename": part.name}
