"""A request for content as Gemini takes it."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

import msgspec

from engines.wire.anthropic_messages.request_encoder import arguments_of
from engines.wire.bulk import finished
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
    Tool,
    Turn,
    Unreadable,
)

_encode = msgspec.json.Encoder().encode

NAME: Final = "gemini"
TAKES: Final = frozenset(
    {
        "forced_tool_reasoning",
        "images.heic",
        "files.other",
        "temperature",
        "top_p",
        "top_k",
        "stop",
        "seed",
        "presence_penalty",
        "frequency_penalty",
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
        "audio",
    }
)
NO_SIGNATURE: Final = "skip_thought_signature_validator"
"""In the place of the signature of a call that another model made (ai.google.dev, thought signatures)."""
_UNSIGNED: Final = ("gemini-1", "gemini-2")
"""Models that want none, and think by a budget."""
_LEVELS: Final = {
    "minimal": "MINIMAL",
    "low": "LOW",
    "medium": "MEDIUM",
    "high": "HIGH",
    "xhigh": "HIGH",
    "max": "HIGH",
}
_BUDGETS: Final = {"minimal": 512, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576, "max": 24576}
"""Tokens of thought, up to the most that every model of 2.5 takes; as Google's own door for OpenAI's clients has them
(ai.google.dev, OpenAI compatibility)."""
LEAST_BUDGET: Final = 128
"""Of `gemini-2.5-pro`."""
_MODES: Final = {"auto": "AUTO", "none": "NONE", "required": "ANY", "named": "ANY"}


def encode_request(request: ChatRequest, model: str, takes: frozenset[str]) -> bytes:
    """Raises Unreadable."""
    return _encode(finished(members_in_turns(request, model, takes)))


def members_in_turns(request: ChatRequest, model: str, takes: frozenset[str]) -> Generator[int, None, dict[str, Any]]:
    """The body, taken apart; see `engines.wire.writing` for the turns. Raises Unreadable."""
    told = [part for turn in request.turns if turn.role == "system" for part in turn.parts]
    system = [part.text for part in told if isinstance(part, TextPart) and part.text]
    contents = yield from contents_in_turns(request.turns, signed=not model.startswith(_UNSIGNED))
    body: dict[str, Any] = {"contents": contents}
    if system:
        body["systemInstruction"] = {"parts": [{"text": text} for text in system]}
    if request.tools:
        body["tools"] = [{"functionDeclarations": [_declaration(tool) for tool in request.tools]}]
        choice = request.tool_choice
        if choice is not None:
            wanted: dict[str, Any] = {"mode": _MODES[choice.mode]}
            if choice.mode == "named":
                wanted["allowedFunctionNames"] = [choice.name]
            body["toolConfig"] = {"functionCallingConfig": wanted}
    config = _config(request, model, takes)
    if config:
        body["generationConfig"] = config
    return body


def _declaration(tool: Tool) -> dict[str, Any]:
    told: dict[str, Any] = {"name": tool.name}
    if tool.description:
        told["description"] = tool.description
    if tool.parameters is not None:
        told["parametersJsonSchema"] = tool.parameters
    return told


def contents_in_turns(turns: list[Turn], *, signed: bool) -> Generator[int, None, list[dict[str, Any]]]:
    """Results name their function, which is looked up by the id of the call."""
    names: dict[str, str] = {}
    told: list[dict[str, Any]] = []
    for turn in turns:
        if turn.role == "system":
            continue
        role = "model" if turn.role == "assistant" else "user"
        parts = [part for one in turn.parts if (part := _part(one, names))]
        if signed and role == "model":
            _sign(parts)
        if told and told[-1]["role"] == role:
            told[-1]["parts"] += parts
        elif parts:
            told.append({"role": role, "parts": parts})
        yield 1 + len(parts) // 2
    return told


def _sign(parts: list[dict[str, Any]]) -> None:
    """The first call of a turn must bear a signature."""
    first: dict[str, Any] | None = None
    for part in parts:
        if "functionCall" in part:
            if "thoughtSignature" in part:
                return
            first = first or part
    if first is not None:
        first["thoughtSignature"] = NO_SIGNATURE


def _part(part: Part, names: dict[str, str]) -> dict[str, Any]:
    """Empty for what is left out."""
    if isinstance(part, TextPart):
        return {"text": part.text} if part.text else {}
    if isinstance(part, CallPart):
        names[part.id] = part.name
        call: dict[str, Any] = {"functionCall": {"id": part.id, "name": part.name, "args": arguments_of(part)}}
        if part.signature:
            call["thoughtSignature"] = part.signature
        return call
    if isinstance(part, ResultPart):
        name = names.get(part.id)
        if name is None:
            raise Unreadable(f"no call has the id {part.id!r}, which a tool's result names", "messages")
        texts, media = [], []
        for one in part.parts:
            if isinstance(one, TextPart):
                texts.append(one.text)
            else:
                media.append(_part(one, names))
        told: dict[str, Any] = {"id": part.id, "name": name, "response": {}}
        told["response"]["error" if part.failed else "output"] = "".join(texts)
        if media:
            told["parts"] = media
        return {"functionResponse": told}
    if isinstance(part, ImagePart):
        return _inline(part.media_type, part.data)
    if isinstance(part, FilePart):
        return {"text": part.text} if part.text else _inline(part.media_type, part.data)
    if isinstance(part, AudioPart):
        return _inline(f"audio/{part.format}", part.data)
    assert isinstance(part, ThoughtPart)
    if part.origin == NAME and part.signature:
        thought = {"thought": True} if part.text else {}
        return {"text": part.text, "thoughtSignature": part.signature} | thought
    return {}  # what another model thought, or nobody signed


def _inline(media_type: str, data: str) -> dict[str, Any]:
    return {"inlineData": {"mimeType": media_type, "data": data}}


def _config(request: ChatRequest, model: str, takes: frozenset[str]) -> dict[str, Any]:
    scalars = {
        "temperature": ("temperature", request.temperature),
        "top_p": ("topP", request.top_p),
        "top_k": ("topK", request.top_k),
        "stop": ("stopSequences", request.stop or None),
        "seed": ("seed", request.seed),
        "presence_penalty": ("presencePenalty", request.presence_penalty),
        "frequency_penalty": ("frequencyPenalty", request.frequency_penalty),
    }
    config: dict[str, Any] = {
        own: value for name, (own, value) in scalars.items() if value is not None and name in takes
    }
    if request.max_tokens is not None:
        config["maxOutputTokens"] = request.max_tokens
    output = request.output
    if output is not None:
        config["responseMimeType"] = "application/json"
        if output.schema is not None:
            config["responseJsonSchema"] = output.schema
    if request.reasoning is not None and "reasoning_effort" in takes:
        config["thinkingConfig"] = _thinking(request.reasoning, model)
    return config


def _thinking(wish: ReasoningWish, model: str) -> dict[str, Any]:
    """Gemini 2.5 takes a budget and refuses a level ("thinking_level is not supported by this model", quoted in
    github.com/QwenLM/qwen-code/pull/9094); its Pro models, and those of Gemini 3, cannot but think (ai.google.dev,
    Gemini thinking: levels and budgets)."""
    old = model.startswith(_UNSIGNED)
    if wish.effort == "none" or wish.budget_tokens == 0:
        if "pro" in model:
            return {"thinkingBudget": LEAST_BUDGET} if old else {"thinkingLevel": "LOW"}
        return {"thinkingLevel": "MINIMAL"} if model.startswith("gemini-3") else {"thinkingBudget": 0}
    told: dict[str, Any]
    if wish.budget_tokens is not None:
        told = {"thinkingBudget": wish.budget_tokens}
    elif wish.effort not in _LEVELS:
        told = {"thinkingBudget": -1}
    else:
        told = {"thinkingBudget": _BUDGETS[wish.effort]} if old else {"thinkingLevel": _LEVELS[wish.effort]}
    return told | {"includeThoughts": True}
