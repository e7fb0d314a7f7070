"""`google-genai`: client.models.generate_content."""

from __future__ import annotations

import base64
from typing import Any

from google import genai
from google.genai import types

from engines.wire.request import (
    AudioPart,
    CallPart,
    ChatRequest,
    FilePart,
    ImagePart,
    Part,
    ResultPart,
    TextPart,
    ThoughtPart,
)
from tests.providers.calls.speakers.words import arguments, lose, lose_marks

MODEL = "gemini-3-pro"
DUMMY = "skip_thought_signature_validator"


def say(client: genai.Client, call: ChatRequest, lost: set[str]) -> Any:
    lose(call, lost, "user")
    lose_marks(call, lost)
    if any(tool.strict for tool in call.tools):
        lost.add("strict_tools")
    if call.parallel_tool_calls is False:
        lost.add("parallel_tool_calls")
    members: dict[str, Any] = {}
    for name in ("temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty"):
        if getattr(call, name) is not None:
            members[name] = getattr(call, name)
    if call.max_tokens is not None:
        members["max_output_tokens"] = call.max_tokens
    if call.stop:
        members["stop_sequences"] = call.stop
    told = [part for turn in call.turns if turn.role == "system" for part in turn.parts]
    if told:
        members["system_instruction"] = [part.text for part in told if isinstance(part, TextPart)]
    put_tools(members, call)
    if call.output is not None:
        members["response_mime_type"] = "application/json"
        if call.output.schema is not None:
            members["response_json_schema"] = call.output.schema
    if call.reasoning is not None:
        members["thinking_config"] = thought(call)
    off = types.AutomaticFunctionCallingConfig(disable=True)
    config = types.GenerateContentConfig(automatic_function_calling=off, **members)
    if call.stream:
        return list(client.models.generate_content_stream(model=MODEL, contents=contents(call, lost), config=config))
    return client.models.generate_content(model=MODEL, contents=contents(call, lost), config=config)


def thought(call: ChatRequest) -> types.ThinkingConfig:
    wish = call.reasoning
    assert wish is not None
    if wish.effort == "none":
        return types.ThinkingConfig(thinking_level=types.ThinkingLevel.LOW)  # it cannot but think
    if wish.budget_tokens is not None:
        return types.ThinkingConfig(thinking_budget=wish.budget_tokens, include_thoughts=True)
    return types.ThinkingConfig(thinking_level=types.ThinkingLevel[wish.effort.upper()], include_thoughts=True)


def put_tools(members: dict[str, Any], call: ChatRequest) -> None:
    if call.tools:
        declared = [
            types.FunctionDeclaration(
                name=tool.name, description=tool.description or None, parameters_json_schema=tool.parameters
            )
            for tool in call.tools
        ]
        members["tools"] = [types.Tool(function_declarations=declared)]
    if call.tool_choice is not None:
        choice = call.tool_choice
        mode = {"auto": "AUTO", "none": "NONE", "required": "ANY", "named": "ANY"}[choice.mode]
        names = [choice.name] if choice.name else None
        members["tool_config"] = types.ToolConfig(
            function_calling_config=types.FunctionCallingConfig(
                mode=types.FunctionCallingConfigMode(mode), allowed_function_names=names
            )
        )


def contents(call: ChatRequest, lost: set[str]) -> list[types.Content]:
    """Turns of one role that follow one another are one: a conversation alternates."""
    names = {part.id: part.name for turn in call.turns for part in turn.parts if isinstance(part, CallPart)}
    said: list[types.Content] = []
    for turn in call.turns:
        if turn.role == "system":
            continue
        role = "model" if turn.role == "assistant" else "user"
        parts = [made for part in turn.parts if (made := one(part, names, lost)) is not None]
        calls = [part for part in parts if part.function_call]
        if calls and not any(part.thought_signature for part in calls):
            calls[0].thought_signature = DUMMY  # a str goes as it is, bytes would be encoded
        if said and said[-1].role == role:
            said[-1].parts = [*(said[-1].parts or ()), *parts]
        else:
            said.append(types.Content(role=role, parts=parts))
    return said


def one(part: Part, names: dict[str, str], lost: set[str]) -> types.Part | None:
    if isinstance(part, TextPart):
        return types.Part(text=part.text)
    if isinstance(part, AudioPart):
        return types.Part.from_bytes(data=base64.b64decode(part.data), mime_type=f"audio/{part.format}")
    if isinstance(part, (ImagePart, FilePart)):
        if part.url:
            lost.add("image_urls" if isinstance(part, ImagePart) else "file_urls")
        if isinstance(part, ImagePart) and part.detail:
            lost.add("image_detail")
        if isinstance(part, FilePart) and part.text:
            return types.Part(text=part.text)
        return types.Part.from_bytes(data=base64.b64decode(part.data), mime_type=part.media_type)
    if isinstance(part, CallPart):
        signature = base64.b64decode(part.signature) if part.signature else None
        made = types.FunctionCall(id=part.id, name=part.name, args=arguments(part))
        return types.Part(function_call=made, thought_signature=signature)
    if isinstance(part, ThoughtPart):
        return None  # another model's
    assert isinstance(part, ResultPart)
    text = "".join(inner.text for inner in part.parts if isinstance(inner, TextPart))
    media = [
        types.FunctionResponsePart(
            inline_data=types.FunctionResponseBlob(data=base64.b64decode(inner.data), mime_type=inner.media_type)
        )
        for inner in part.parts
        if isinstance(inner, ImagePart)
    ]
    response = {"error" if part.failed else "output": text}
    told = types.FunctionResponse(id=part.id, name=names[part.id], response=response, parts=media or None)
    return types.Part(function_response=told)
