"""A request for a conversation as Bedrock's Converse takes it."""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Any, Final

import msgspec

from engines.wire.anthropic_messages.request_encoder import (
    ONE_OBJECT,
    arguments_of,
    reasoning,
    refuse_nothing,
    wants_object,
)
from engines.wire.bulk import finished
from engines.wire.call_ids import BEDROCKS, fitted
from engines.wire.features import OFFICE
from engines.wire.openai_chat.request_encoder import effort_of
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
    Tool,
    Unreadable,
)

_encode = msgspec.json.Encoder().encode

NAME: Final = "bedrock_converse"
TAKES: Final = frozenset(
    {
        "images.gif",
        "files.office",
        "temperature",
        "top_p",
        "stop",
        "cache_control",
        "reasoning_effort",
        "tools",
        "tool_choice.required",
        "tool_choice.named",
        "json_object",
        "json_schema",
        "images",
        "tool_result_media",
        "tool_errors",
        "files",
        "strict_tools",
    }
)
_DOCUMENTS: Final = {"application/pdf": "pdf", **OFFICE}
_NO_TOOL: Final = Tool("unused", "Not to be called.", {"type": "object"})
"""A conversation in which tools were called must have some, though none is to be called now (litellm
llms/bedrock/chat/converse_transformation.py adds one for the same reason)."""
_without_system = re.compile(r"titan-t|mistral-7b|mixtral-8x7b|cohere\.command-(?:light-)?text|ai21\.j2-").search
"""Models whose Converse has no `system` ("This model doesn't support system messages"; docs.aws.amazon.com, Bedrock
user guide, "Supported models and model features": System prompts, No)."""
_odd_in_names = re.compile(r"[^A-Za-z0-9 ()\[\]-]").sub


def encode_request(request: ChatRequest, model: str, takes: frozenset[str]) -> bytes:
    """Raises Unreadable."""
    return _encode(finished(members_in_turns(request, model, takes)))


def members_in_turns(request: ChatRequest, model: str, takes: frozenset[str]) -> Generator[int, None, dict[str, Any]]:
    """The body, taken apart; see `engines.wire.writing` for the turns. Raises Unreadable."""
    messages = yield from messages_in_turns(request)
    body: dict[str, Any] = {"messages": messages}
    refuse_nothing(body["messages"])
    system: list[dict[str, Any]] = []
    for turn in request.turns:
        if turn.role == "system":
            for part in turn.parts:
                system += _blocks(part)
    if wants_object(request) and not _without_system(model):
        system.append({"text": ONE_OBJECT})
    if _without_system(model):
        _say_to_user(body["messages"], system, [{"text": ONE_OBJECT}] if wants_object(request) else [])
    elif system:
        body["system"] = system
    config: dict[str, Any] = {}
    if request.max_tokens is not None:
        config["maxTokens"] = request.max_tokens
    if request.temperature is not None and "temperature" in takes:
        config["temperature"] = min(request.temperature, 1)
    if request.top_p is not None and "top_p" in takes:
        config["topP"] = request.top_p
    stop = [sequence for sequence in request.stop if sequence.strip()]
    if stop:
        config["stopSequences"] = stop
    if config:
        body["inferenceConfig"] = config
    _put_tools(body, request)
    output = request.output
    if output is not None and output.kind == "json_schema":
        schema = {"schema": _encode(output.schema or {}).decode(), "name": output.name or "answer"}
        structure = {"jsonSchema": schema | ({"description": output.description} if output.description else {})}
        body["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": structure}}
    if request.reasoning is not None and "reasoning_effort" in takes:
        _put_reasoning(body, request, model)
    return body


def messages_in_turns(request: ChatRequest) -> Generator[int, None, list[dict[str, Any]]]:
    """Turns alternate: those of one role that follow one another become one. 4,096 parts take 5 ms (see `bulk`)."""
    told: list[dict[str, Any]] = []
    for turn in request.turns:
        if turn.role == "system":
            continue
        blocks = [block for part in turn.parts for block in _blocks(part)]
        if told and told[-1]["role"] == turn.role:
            told[-1]["content"] += blocks
        elif blocks:
            told.append({"role": turn.role, "content": blocks})
        yield 1 + len(blocks) // 2
    _number_documents(told)
    return told


def _say_to_user(told: list[dict[str, Any]], first: list[dict[str, Any]], last: list[dict[str, Any]]) -> None:
    """Put what `system` would say into turns of the user's: `first` before everything, `last` behind them all."""
    if first:
        texts = [block for block in first if "text" in block]  # such models have no marks of caches either
        if told[0]["role"] == "user":
            told[0]["content"] = [*texts, *told[0]["content"]]
        else:
            told.insert(0, {"role": "user", "content": texts})
    if last:
        said = [message for message in told if message["role"] == "user"]
        if said:
            said[-1]["content"] += last
        else:
            told.insert(0, {"role": "user", "content": last})


def _blocks(part: Part) -> list[dict[str, Any]]:
    """None for what is left out; two for what bears the mark of a cache."""
    block = _block(part)
    if not block:
        return []
    cache = None if isinstance(part, (ThoughtPart, AudioPart)) else part.cache
    return [block] if cache is None else [block, _cache_point(cache)]


def _cache_point(cache: dict[str, Any]) -> dict[str, Any]:
    ttl = cache.get("ttl")
    return {"cachePoint": {"type": "default"} | ({"ttl": ttl} if ttl in ("5m", "1h") else {})}


def _block(part: Part) -> dict[str, Any]:
    if isinstance(part, TextPart):
        return {"text": part.text} if part.text.strip() else {}
    if isinstance(part, CallPart):
        return {"toolUse": {"toolUseId": fitted(part.id, BEDROCKS), "name": part.name, "input": arguments_of(part)}}
    if isinstance(part, ResultPart):
        content = [block for one in part.parts if (block := _block(one))]
        result: dict[str, Any] = {"toolUseId": fitted(part.id, BEDROCKS), "content": content or [{"text": " "}]}
        if part.failed:
            result["status"] = "error"
        return {"toolResult": result}
    if isinstance(part, ImagePart):
        return {"image": {"format": part.media_type.removeprefix("image/"), "source": {"bytes": part.data}}}
    if isinstance(part, FilePart):
        return _document(part)
    if isinstance(part, ThoughtPart):
        if part.origin != NAME:
            return {}
        if part.redacted:
            return {"reasoningContent": {"redactedContent": part.redacted}}
        return {"reasoningContent": {"reasoningText": {"text": part.text, "signature": part.signature}}}
    return {}


def _document(part: FilePart) -> dict[str, Any]:
    if part.text:
        return {"text": part.text}
    kind = _DOCUMENTS.get(part.media_type)
    if kind is None:
        raise Unreadable(f"a document of type {part.media_type!r} is none that this engine takes", "messages")
    return {"document": {"name": _name(part), "format": kind, "source": {"bytes": part.data}}}


def _name(part: FilePart) -> str:
    """Letters, digits, single spaces, hyphens, parentheses and brackets (DocumentBlock of Converse)."""
    told = _odd_in_names("-", part.name.rpartition(".")[0] or part.name)
    return " ".join(told.split())[:190] or "document"


def _number_documents(told: list[dict[str, Any]]) -> None:
    """No two documents of a conversation have one name ("Messages can't contain duplicate document names", its refusal,
    quoted in github.com/maximhq/bifrost/issues/7003)."""
    names: set[str] = set()
    following: dict[str, int] = {}
    """By name, the number to try next: all those before it are taken."""
    for message in told:
        blocks = [*message["content"]]
        for block in message["content"]:
            blocks += block["toolResult"]["content"] if "toolResult" in block else []
        for block in blocks:
            if "document" in block:
                name = block["document"]["name"]
                number = following.get(name, 1)
                while (numbered := name if number == 1 else f"{name} ({number})") in names:
                    number += 1
                following[name] = number + 1
                names.add(numbered)
                block["document"]["name"] = numbered


def _put_tools(body: dict[str, Any], request: ChatRequest) -> None:
    choice = request.tool_choice
    tools = request.tools if choice is None or choice.mode != "none" else []
    used = any(isinstance(part, (CallPart, ResultPart)) for turn in request.turns for part in turn.parts)
    if not tools and not used:
        return
    specs: list[dict[str, Any]] = []
    for tool in tools or [_NO_TOOL]:
        spec: dict[str, Any] = {"name": tool.name, "inputSchema": {"json": tool.parameters or {"type": "object"}}}
        if tool.description:
            spec["description"] = tool.description
        if tool.strict is not None:
            spec["strict"] = tool.strict
        specs.append({"toolSpec": spec})
        if tool.cache is not None:
            specs.append(_cache_point(tool.cache))
    body["toolConfig"] = {"tools": specs}
    if tools and choice is not None:
        chosen = {"auto": {"auto": {}}, "required": {"any": {}}, "named": {"tool": {"name": choice.name}}}
        body["toolConfig"]["toolChoice"] = chosen[choice.mode]


def _put_reasoning(body: dict[str, Any], request: ChatRequest, model: str) -> None:
    """Each maker's models have their own words for it; the name of a profile of one's own does not say whose it is."""
    assert request.reasoning is not None
    if "claude" not in model:
        effort = effort_of(request.reasoning)
        if effort:
            body["additionalModelRequestFields"] = {"reasoning_effort": effort}
        return
    told = reasoning(request, model, NAME)
    if "thinking" in told:
        body["additionalModelRequestFields"] = {"thinking": told["thinking"]}
    if "output_config" in told:
        body["outputConfig"] = {**body.get("outputConfig", {}), **told["output_config"]}
