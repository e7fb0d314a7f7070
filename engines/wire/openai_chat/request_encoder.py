"""A request for a chat as an engine that speaks OpenAI's API takes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from engines.wire.openai_chat.request_decoder import NAME
from engines.wire.openai_responses.request_decoder import NAME as RESPONSES
from engines.wire.request import (
    AudioPart,
    CallPart,
    ChatRequest,
    FilePart,
    ImagePart,
    Part,
    ReasoningWish,
    ResultPart,
    TextPart,
    ThoughtPart,
    Turn,
)

_encode = msgspec.json.Encoder().encode

TAKES: Final = frozenset(
    {
        "forced_tool_reasoning",
        "images.gif",
        "files.office",
        "files.other",
        "temperature",
        "top_p",
        "stop",
        "seed",
        "presence_penalty",
        "frequency_penalty",
        "user",
        "reasoning_effort",
        "tools",
        "tool_choice.required",
        "tool_choice.named",
        "parallel_tool_calls",
        "json_object",
        "json_schema",
        "images",
        "image_urls",
        "files",
        "audio",
        "message_names",
        "image_detail",
        "strict_tools",
    }
)
"""`top_k` is no word of OpenAI's; vLLM's engines take it."""
COMPATIBLE_TAKES: Final = TAKES | {"tool_result_media", "images.heic", "images.other"}
_OF_BOTH: Final = ("service_tier", "verbosity")
"""Members that a request for a response has too, for targets whose `takes` names them."""
_EFFORT_OF_BUDGET: Final = ((0, "none"), (2048, "low"), (16384, "medium"))
"""The most tokens of thought that an effort stands for, as LiteLLM and OpenRouter have it."""


def encode_request(request: ChatRequest, model: str, takes: frozenset[str]) -> bytes:
    """As OpenAI itself takes it."""
    return _encode(openai_members(request, model, takes))


def openai_members(request: ChatRequest, model: str, takes: frozenset[str]) -> dict[str, Any]:
    """The same, taken apart."""
    body = members(request, model, takes, "max_completion_tokens")
    for message in body["messages"]:
        bare(message)
    return body


def compatible_members(request: ChatRequest, model: str, takes: frozenset[str]) -> dict[str, Any]:
    """As others take it, whose words are a few more: OpenAI's newest models alone refuse `max_tokens`."""
    return members(request, model, takes, "max_tokens")


def members(request: ChatRequest, model: str, takes: frozenset[str], limit: str) -> dict[str, Any]:
    """The body, taken apart; formats that are nearly this one change what they must. `limit`: what the bound on the
    tokens of the answer is called."""
    body: dict[str, Any] = {"model": model, "messages": messages(request.turns)}
    scalars: dict[str, Any] = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": request.top_k,
        "stop": request.stop or None,
        "seed": request.seed,
        "presence_penalty": request.presence_penalty,
        "frequency_penalty": request.frequency_penalty,
        "user": request.user or None,
    }
    body |= {name: value for name, value in scalars.items() if value is not None and name in takes}
    if request.max_tokens is not None:
        body[limit] = request.max_tokens
    if request.tools:
        body["tools"] = tools(request)
        _put_choice(body, request, takes)
    if request.output is not None and request.output.kind in takes:
        body["response_format"] = response_format(request)
    if request.reasoning is not None and "reasoning_effort" in takes:
        effort = effort_of(request.reasoning)
        if effort:
            body["reasoning_effort"] = effort
    if request.stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    said = request.extensions
    if request.origin == NAME:
        body |= {name: value for name, value in said.items() if name in takes}
    elif request.origin == RESPONSES:
        body |= {name: said[name] for name in _OF_BOTH if name in said and name in takes}
    return body


def effort_of(wish: ReasoningWish) -> str:
    """The effort that was asked for, or that a budget stands for; empty for as much as the model finds right."""
    if wish.effort:
        return wish.effort
    if wish.budget_tokens is None:
        return ""
    return next((effort for most, effort in _EFFORT_OF_BUDGET if wish.budget_tokens <= most), "high")


def messages(turns: Sequence[Turn]) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    for turn in turns:
        if turn.role == "assistant":
            told.append(_assistant(turn))
            continue
        rest: list[Part] = []
        for part in turn.parts:
            if isinstance(part, ResultPart):
                told.append({"role": "tool", "tool_call_id": part.id, "content": content(part.parts)})
            else:
                rest.append(part)
        if rest or not turn.parts:
            told.append({"role": turn.role, "content": content(rest)} | ({"name": turn.name} if turn.name else {}))
    return told


def content(parts: Sequence[Part]) -> str | list[dict[str, Any]]:
    """One text is a text; anything else a list of parts."""
    if all(isinstance(part, TextPart) for part in parts) and len(parts) < 2:
        return parts[0].text if parts and isinstance(parts[0], TextPart) else ""
    return [_part(part) for part in parts]


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    if isinstance(part, ImagePart):
        url = part.url or f"data:{part.media_type};base64,{part.data}"
        return {"type": "image_url", "image_url": {"url": url} | ({"detail": part.detail} if part.detail else {})}
    if isinstance(part, AudioPart):
        return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
    assert isinstance(part, FilePart)
    if part.text:
        return {"type": "text", "text": part.text}
    name = {"filename": part.name} if part.name else {}
    return {"type": "file", "file": {"file_data": f"data:{part.media_type};base64,{part.data}"} | name}


def _assistant(turn: Turn) -> dict[str, Any]:
    """vLLM and DeepSeek read what the model thought as `reasoning_content`."""
    said = [part for part in turn.parts if isinstance(part, TextPart)]
    calls = [part for part in turn.parts if isinstance(part, CallPart)]
    thought = "".join(part.text for part in turn.parts if isinstance(part, ThoughtPart))
    message: dict[str, Any] = {"role": "assistant", "content": content(said) if said else None}
    if turn.name:
        message["name"] = turn.name
    if thought:
        message["reasoning_content"] = thought
    if calls:
        message["tool_calls"] = [_call(call) for call in calls]
    elif not said:
        message["content"] = ""
    return message


def bare(message: dict[str, Any]) -> None:
    """Take out of a message what OpenAI has no word for: it refuses a member that it does not know."""
    message.pop("reasoning_content", None)
    for call in message.get("tool_calls", ()):
        call.pop("extra_content", None)


def _call(call: CallPart) -> dict[str, Any]:
    told: dict[str, Any] = {"id": call.id, "type": "function"}
    told["function"] = {"name": call.name, "arguments": call.arguments}
    if call.signature:
        told["extra_content"] = {"google": {"thought_signature": call.signature}}
    return told


def tools(request: ChatRequest) -> list[dict[str, Any]]:
    told = []
    for tool in request.tools:
        function: dict[str, Any] = {"name": tool.name}
        if tool.description:
            function["description"] = tool.description
        if tool.parameters is not None:
            function["parameters"] = tool.parameters
        if tool.strict is not None:
            function["strict"] = tool.strict
        told.append({"type": "function", "function": function})
    return told


def _put_choice(body: dict[str, Any], request: ChatRequest, takes: frozenset[str]) -> None:
    choice = request.tool_choice
    if choice is not None and (choice.mode in ("auto", "none") or f"tool_choice.{choice.mode}" in takes):
        named = {"type": "function", "function": {"name": choice.name}}
        body["tool_choice"] = named if choice.mode == "named" else choice.mode
    if request.parallel_tool_calls is not None and "parallel_tool_calls" in takes:
        body["parallel_tool_calls"] = request.parallel_tool_calls


def response_format(request: ChatRequest) -> dict[str, Any]:
    output = request.output
    assert output is not None
    if output.kind == "json_object":
        return {"type": "json_object"}
    schema: dict[str, Any] = {"name": output.name or "answer", "schema": output.schema or {}}
    if output.description:
        schema["description"] = output.description
    if output.strict is not None:
        schema["strict"] = output.strict
    return {"type": "json_schema", "json_schema": schema}
