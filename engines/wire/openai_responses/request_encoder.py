"""What a response would be made of, as OpenAI counts it (openai-python types/responses/input_token_count_params.py).

Nobody is asked for responses in place of another format: an engine that chats is asked to chat. Its input is written
here to be counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engines.wire.limited import limited
from engines.wire.openai_chat.request_encoder import effort_of
from engines.wire.request import (
    CallPart,
    ChatRequest,
    FilePart,
    ImagePart,
    OutputFormat,
    Part,
    ResultPart,
    TextPart,
    ThoughtPart,
    Turn,
)


def countable(request: ChatRequest, model: str, takes: frozenset[str]) -> dict[str, Any]:
    """The members of what a chat of `takes` would be sent, but for what is no part of the prompt; earlier thoughts are
    left out, as of a chat."""
    asked = limited(request, takes, system_alone=True)
    body: dict[str, Any] = {"model": model, "input": _items(asked.turns)}
    if asked.tools:
        body["tools"] = [
            {"type": "function", "name": tool.name, "parameters": tool.parameters, "strict": bool(tool.strict)}
            | ({"description": tool.description} if tool.description else {})
            for tool in asked.tools
        ]
        choice = asked.tool_choice
        if choice is not None:
            named = {"type": "function", "name": choice.name}
            body["tool_choice"] = named if choice.mode == "named" else choice.mode
        if asked.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = asked.parallel_tool_calls
    if asked.output is not None:
        body["text"] = {"format": _format(asked.output)}
    effort = effort_of(asked.reasoning) if asked.reasoning is not None else ""
    if effort:
        body["reasoning"] = {"effort": effort}
    return body


def _items(turns: Sequence[Turn]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    for turn in turns:
        said: list[Part] = []
        calls: list[dict[str, Any]] = []
        for part in turn.parts:
            if isinstance(part, ResultPart):
                told = _content(part.parts, "input_text")
                items.append({"type": "function_call_output", "call_id": part.id, "output": told})
            elif isinstance(part, CallPart):
                call = {"type": "function_call", "call_id": part.id, "name": part.name, "arguments": part.arguments}
                calls.append(call)
            elif not isinstance(part, ThoughtPart):
                said.append(part)
        if said:
            text = "output_text" if turn.role == "assistant" else "input_text"
            items.append({"role": turn.role, "content": _content(said, text)})
        items += calls
    return items


def _content(parts: Sequence[Part], text: str) -> str | list[dict[str, Any]]:
    """One text is a text; anything else a list of parts, whose texts are of this type."""
    if all(isinstance(part, TextPart) for part in parts) and len(parts) < 2:
        return parts[0].text if parts and isinstance(parts[0], TextPart) else ""
    return [_part(part, text) for part in parts]


def _part(part: Part, text: str) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": text, "text": part.text}
    if isinstance(part, ImagePart):
        url = part.url or f"data:{part.media_type};base64,{part.data}"
        return {"type": "input_image", "image_url": url, "detail": part.detail or "auto"}
    assert isinstance(part, FilePart)  # a message of Anthropic's has no sounds
    if part.text:
        return {"type": text, "text": part.text}
    return {
        "type": "input_file",
        "file_data": f"data:{part.media_type};base64,{part.data}",
        "filename": part.name or "file",
    }


def _format(output: OutputFormat) -> dict[str, Any]:
    if output.kind == "json_object":
        return {"type": "json_object"}
    told: dict[str, Any] = {"type": "json_schema", "name": output.name or "answer", "schema": output.schema or {}}
    if output.description:
        told["description"] = output.description
    if output.strict is not None:
        told["strict"] = output.strict
    return told
