"""`anthropic`: client.messages.create."""

from __future__ import annotations

from typing import Any

from anthropic import Anthropic

from engines.wire.request import CallPart, ChatRequest, FilePart, ImagePart, Part, ResultPart, TextPart, ThoughtPart
from tests.providers.calls.speakers.words import alone, arguments, lose, text_of

MAX_TOKENS = 8192
"""Where the call says none, which this SDK must."""


def say(client: Anthropic, call: ChatRequest, lost: set[str]) -> Any:
    more: dict[str, Any] = {
        "model": call.model,
        "max_tokens": call.max_tokens or MAX_TOKENS,
        "messages": messages(call, lost),
    }
    lose(call, lost, "temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty")
    told = [part for turn in call.turns if turn.role == "system" for part in turn.parts]
    if told:
        plain = alone(told) and not told[0].cache  # type: ignore[union-attr]  # a system's parts are texts
        more["system"] = text_of(told) if plain else [block(part, lost) for part in told]
    if call.stop:
        more["stop_sequences"] = call.stop
    if call.user:
        more["metadata"] = {"user_id": call.user}
    if call.tools:
        more["tools"] = [
            {"name": tool.name, "input_schema": tool.parameters}
            | ({"description": tool.description} if tool.description else {})
            | ({"strict": tool.strict} if tool.strict is not None else {})
            | ({"cache_control": tool.cache} if tool.cache else {})
            for tool in call.tools
        ]
    put_choice(more, call)
    if call.output is not None:
        if call.output.kind == "json_object":
            lost.add("~json_object")  # its words are ours: `differences`
        else:
            more["output_config"] = {"format": {"type": "json_schema", "schema": call.output.schema}}
            if call.output.strict is not None:
                lost.add("~json_schema.strict")
    put_thought(more, call)
    if call.stream:
        more["stream"] = True
    return client.messages.create(**more)


def put_choice(more: dict[str, Any], call: ChatRequest) -> None:
    choice: dict[str, Any] = {}
    if call.tool_choice is not None:
        kind = {"required": "any", "named": "tool"}.get(call.tool_choice.mode, call.tool_choice.mode)
        choice = {"type": kind} | ({"name": call.tool_choice.name} if kind == "tool" else {})
    if call.parallel_tool_calls is not None:
        choice = {"type": "auto"} | choice | {"disable_parallel_tool_use": not call.parallel_tool_calls}
    if choice:
        more["tool_choice"] = choice


def put_thought(more: dict[str, Any], call: ChatRequest) -> None:
    wish = call.reasoning
    if wish is None:
        return
    if wish.budget_tokens is not None:
        more["thinking"] = {"type": "enabled", "budget_tokens": wish.budget_tokens}
    else:
        more["thinking"] = {"type": "disabled" if wish.effort == "none" else "adaptive"}
    if wish.effort not in ("", "none"):
        more.setdefault("output_config", {})["effort"] = wish.effort


def messages(call: ChatRequest, lost: set[str]) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = []
    for turn in call.turns:
        if turn.role == "system":
            continue
        plain = alone(turn.parts) and not turn.parts[0].cache  # type: ignore[union-attr]
        content = text_of(turn.parts) if plain else [block(part, lost) for part in turn.parts]
        said.append({"role": turn.role, "content": content})
    return said


def block(part: Part, lost: set[str]) -> dict[str, Any]:
    kept = getattr(part, "cache", None)
    return bare(part, lost) | ({"cache_control": kept} if kept else {})


def bare(part: Part, lost: set[str]) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"type": "text", "text": part.text}
    if isinstance(part, ImagePart):
        if part.detail:
            lost.add("image_detail")
        source = {"type": "base64", "media_type": part.media_type, "data": part.data}
        return {"type": "image", "source": {"type": "url", "url": part.url} if part.url else source}
    if isinstance(part, FilePart):
        source = {"type": "base64", "media_type": part.media_type, "data": part.data}
        if part.text:
            source = {"type": "text", "media_type": "text/plain", "data": part.text}
        elif part.url:
            source = {"type": "url", "url": part.url}
        return {"type": "document", "source": source} | ({"title": part.name} if part.name else {})
    if isinstance(part, ThoughtPart):
        return {"type": "thinking", "thinking": part.text, "signature": part.signature}
    if isinstance(part, CallPart):
        if part.signature:
            lost.add("~call_signatures")
        return {"type": "tool_use", "id": part.id, "name": part.name, "input": arguments(part)}
    if isinstance(part, ResultPart):
        content = text_of(part.parts) if alone(part.parts) else [block(one, lost) for one in part.parts]
        failed = {"is_error": True} if part.failed else {}
        return {"type": "tool_result", "tool_use_id": part.id, "content": content} | failed
    lost.add("audio")
    return {}
