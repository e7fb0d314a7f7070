"""`boto3`: client.converse."""

from __future__ import annotations

import base64
import json
from typing import Any

from engines.wire.request import (
    CallPart,
    ChatRequest,
    FilePart,
    ImagePart,
    Part,
    ResultPart,
    TextPart,
    ThoughtPart,
)
from tests.providers.calls.speakers.words import arguments, lose

MODEL = "anthropic.claude-opus-5-v1:0"
POINT = {"cachePoint": {"type": "default"}}


def say(client: Any, call: ChatRequest, lost: set[str]) -> Any:
    lose(call, lost, "user", "top_k", "seed", "presence_penalty", "frequency_penalty")
    if call.parallel_tool_calls is False:
        lost.add("parallel_tool_calls")
    more: dict[str, Any] = {"modelId": MODEL, "messages": messages(call, lost)}
    told = [block for turn in call.turns if turn.role == "system" for part in turn.parts for block in kept(part, lost)]
    if told:
        more["system"] = told
    config: dict[str, Any] = {}
    for name, its in (("max_tokens", "maxTokens"), ("temperature", "temperature"), ("top_p", "topP")):
        if getattr(call, name) is not None:
            config[its] = getattr(call, name)
    if call.stop:
        config["stopSequences"] = call.stop
    if config:
        more["inferenceConfig"] = config
    put_tools(more, call)
    if call.output is not None:
        if call.output.kind == "json_object":
            lost.add("~json_object")  # its words are ours: `differences`
        else:
            about = {"description": call.output.description} if call.output.description else {}
            schema = {"schema": json.dumps(call.output.schema), "name": call.output.name, **about}
            more["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}}
    if call.reasoning is not None:
        wish = call.reasoning
        thinking: dict[str, Any] = {"type": "disabled" if wish.effort == "none" else "adaptive"}
        if wish.budget_tokens:
            thinking = {"type": "enabled", "budget_tokens": wish.budget_tokens}
        more["additionalModelRequestFields"] = {"thinking": thinking}
        if wish.effort not in ("", "none"):
            more.setdefault("outputConfig", {})["effort"] = wish.effort
    return client.converse_stream(**more) if call.stream else client.converse(**more)


def put_tools(more: dict[str, Any], call: ChatRequest) -> None:
    choice = call.tool_choice
    if not call.tools or (choice is not None and choice.mode == "none"):
        return
    specs: list[dict[str, Any]] = []
    for tool in call.tools:
        spec: dict[str, Any] = {"name": tool.name, "inputSchema": {"json": tool.parameters}}
        if tool.description:
            spec["description"] = tool.description
        if tool.strict is not None:
            spec["strict"] = tool.strict
        specs += [{"toolSpec": spec}, *([POINT] if tool.cache else [])]
    more["toolConfig"] = {"tools": specs}
    if choice is not None:
        chosen = {"auto": {"auto": {}}, "required": {"any": {}}, "named": {"tool": {"name": choice.name}}}
        more["toolConfig"]["toolChoice"] = chosen[choice.mode]


def messages(call: ChatRequest, lost: set[str]) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = []
    for turn in call.turns:
        if turn.role == "system":
            continue
        blocks = [block for part in turn.parts for block in kept(part, lost)]
        if said and said[-1]["role"] == turn.role:
            said[-1]["content"] += blocks
        else:
            said.append({"role": turn.role, "content": blocks})
    return said


def kept(part: Part, lost: set[str]) -> list[dict[str, Any]]:
    block = one(part, lost)
    return [block, POINT] if block and getattr(part, "cache", None) else [block] if block else []


def one(part: Part, lost: set[str]) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"text": part.text}
    if isinstance(part, ImagePart):
        if part.url:
            lost.add("image_urls")
        if part.detail:
            lost.add("image_detail")
        form = part.media_type.removeprefix("image/") or "png"
        return {"image": {"format": form, "source": {"bytes": base64.b64decode(part.data)}}}
    if isinstance(part, FilePart):
        if part.url:
            lost.add("file_urls")
        if part.text:
            return {"text": part.text}
        source = {"bytes": base64.b64decode(part.data)}
        return {"document": {"name": part.name.removesuffix(".pdf") or "x", "format": "pdf", "source": source}}
    if isinstance(part, CallPart):
        return {"toolUse": {"toolUseId": part.id, "name": part.name, "input": arguments(part)}}
    if isinstance(part, ResultPart):
        content = [one(inner, lost) for inner in part.parts]
        failed = {"status": "error"} if part.failed else {}
        return {"toolResult": {"toolUseId": part.id, "content": content, **failed}}
    if isinstance(part, ThoughtPart):
        return {}  # another model's
    lost.add("audio")
    return {}
