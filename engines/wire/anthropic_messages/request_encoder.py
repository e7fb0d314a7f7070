"""A request for a message as Anthropic takes it.

Turns of one role that follow one another become one, results of tools first. What the model thought goes back only
where it bears Anthropic's signature: any other thought would be refused.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from typing import Any, Final

import msgspec

from engines.wire.anthropic_messages.request_decoder import NAME
from engines.wire.bulk import finished
from engines.wire.call_ids import ANTHROPICS, fitted
from engines.wire.request import (
    CallPart,
    ChatRequest,
    FilePart,
    ImagePart,
    Part,
    ResultPart,
    TextPart,
    ThoughtPart,
    Turn,
    Unreadable,
)

_encode = msgspec.json.Encoder().encode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode

TAKES: Final = frozenset(
    {
        "images.gif",
        "stop",
        "user",
        "cache_control",
        "reasoning_effort",
        "tools",
        "tool_choice.required",
        "tool_choice.named",
        "parallel_tool_calls",
        "json_object",
        "json_schema",
        "images",
        "tool_result_media",
        "tool_errors",
        "image_urls",
        "files",
        "file_urls",
        "strict_tools",
    }
)
"""`temperature`, `top_p` and `top_k` are gone from its newer models (anthropic 2.12 has no such parameters)."""
MAX_TOKENS: Final = 8192
"""Must be said (anthropic types/message_create_params.py); what every model since Claude 3.5 takes."""
ONE_OBJECT: Final = "Answer in text with a single valid JSON object: nothing before it or after it, and no code fence."
"""What asks for `json_object`: `output_config.format` and Converse's `textFormat` know `json_schema` alone (anthropic
types/json_output_format_param.py; botocore bedrock-runtime service-2.json, OutputFormatType), and a schema that leaves
an object open is refused (platform.claude.com, structured outputs: `additionalProperties` must be false)."""
LEAST_BUDGET: Final = 1024
_BUDGETS: Final = {"minimal": LEAST_BUDGET, "low": 2048, "medium": 8192, "high": 24576, "xhigh": 32768, "max": 32768}
"""Tokens of thought that an effort stands for, at a model that takes no effort."""
_by_budget = re.compile(r"claude-(?:3|(?:opus|sonnet|haiku)-4(?:-[0-5](?!\d)|-20\d{6}|$|@))").search
_cannot_think = re.compile(r"claude-(?:instant|v?[12]\b|3-(?!7))").search
"""Thinking came with Claude 3.7 (platform.claude.com, extended thinking: supported models)."""
_is_small = re.compile(r"claude-opus-4(?:-[01](?!\d)|-20\d{6}|$|@)").search
_SMALL: Final = 32_000
"""The most `max_tokens` that Opus 4 and 4.1 take (platform.claude.com, models overview: max output)."""
_EFFORTS: Final = {"minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "xhigh", "max": "max"}


def encode_request(request: ChatRequest, model: str, takes: frozenset[str]) -> bytes:
    """Raises Unreadable."""
    return _encode(finished(members_in_turns(request, model, takes)))


def members_in_turns(request: ChatRequest, model: str, takes: frozenset[str]) -> Generator[int, None, dict[str, Any]]:
    """The body, taken apart; see `engines.wire.writing` for the turns. Raises Unreadable."""
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": MAX_TOKENS if request.max_tokens is None else request.max_tokens,
        "messages": (yield from messages_in_turns(request.turns)),
    }
    refuse_nothing(body["messages"])
    told = [_part(part) for turn in request.turns if turn.role == "system" for part in turn.parts]
    system = [block for block in told if block]
    if wants_object(request):  # last, so that the mark of a cache before it stays where it was
        system.append({"type": "text", "text": ONE_OBJECT})
    if system:
        plain = len(system) == 1 and len(system[0]) == 2
        body["system"] = system[0]["text"] if plain else system
    # "each stop sequence must contain non-whitespace" (its refusal, quoted in github.com/BerriAI/litellm/issues/3286)
    stop = [sequence for sequence in request.stop if sequence.strip()]
    if stop:
        body["stop_sequences"] = stop
    for name, value in (("temperature", request.temperature), ("top_p", request.top_p), ("top_k", request.top_k)):
        if value is not None and name in takes:
            body[name] = min(value, 1) if name == "temperature" else value
    if request.user:
        body["metadata"] = {"user_id": request.user}
    if request.tools:
        body["tools"] = tools(request)
        choice = tool_choice(request)
        if choice is not None:
            body["tool_choice"] = choice
    if request.reasoning is not None and "reasoning_effort" in takes:
        body |= reasoning(request, model)
        thinking = body.get("thinking", {})
        if thinking.get("type") == "enabled" and request.max_tokens is None:
            body["max_tokens"] = _with_answer(thinking["budget_tokens"], model)
    if request.output is not None and request.output.kind == "json_schema":
        schema = {"type": "json_schema", "schema": request.output.schema or {}}
        body["output_config"] = {**body.get("output_config", {}), "format": schema}
    if request.stream:
        body["stream"] = True
    if request.origin == NAME:
        body |= {name: value for name, value in request.extensions.items() if name in takes}
    return body


def wants_object(request: ChatRequest) -> bool:
    return request.output is not None and request.output.kind == "json_object"


def refuse_nothing(told: list[dict[str, Any]]) -> None:
    """Raises Unreadable where nothing is left to send: a provider's refusal would tell of an empty list, which the
    client did not send."""
    if not told:
        raise Unreadable("`messages` should have something besides system messages and blank texts", "messages")


def messages_in_turns(turns: Sequence[Turn]) -> Generator[int, None, list[dict[str, Any]]]:
    told: list[dict[str, Any]] = []
    for turn in turns:
        if turn.role == "system":
            continue
        blocks = [block for part in turn.parts if (block := _part(part))]
        if told and told[-1]["role"] == turn.role:
            told[-1]["content"] += blocks
        elif blocks:
            told.append({"role": turn.role, "content": blocks})
        yield 1 + len(blocks) // 2
    for message in told:
        content = message["content"]
        if message["role"] == "user":
            content.sort(key=lambda block: block["type"] != "tool_result")
        if len(content) == 1 and content[0].keys() == {"type", "text"}:
            message["content"] = content[0]["text"]
    return told


def _part(part: Part) -> dict[str, Any]:
    """Empty for what is left out: a text of nothing but spaces is refused ("text content blocks must contain
    non-whitespace text", quoted in github.com/anthropics/claude-code/issues/23440)."""
    if isinstance(part, TextPart):
        return _marked({"type": "text", "text": part.text}, part.cache) if part.text.strip() else {}
    if isinstance(part, CallPart):
        block = {"type": "tool_use", "id": fitted(part.id, ANTHROPICS), "name": part.name, "input": arguments_of(part)}
        return _marked(block, part.cache)
    if isinstance(part, ResultPart):
        return _result(part)
    if isinstance(part, ImagePart):
        if part.url:
            source = {"type": "url", "url": part.url}
        else:
            source = {"type": "base64", "media_type": part.media_type, "data": part.data}
        return _marked({"type": "image", "source": source}, part.cache)
    if isinstance(part, FilePart):
        return _marked(_document(part), part.cache)
    assert isinstance(part, ThoughtPart)
    if part.origin != NAME:
        return {}
    if part.redacted:
        return {"type": "redacted_thinking", "data": part.redacted}
    return {"type": "thinking", "thinking": part.text, "signature": part.signature} if part.signature else {}


def _result(part: ResultPart) -> dict[str, Any]:
    result: dict[str, Any] = {"type": "tool_result", "tool_use_id": fitted(part.id, ANTHROPICS)}
    blocks = [block for one in part.parts if (block := _part(one))]
    if len(blocks) == 1 and blocks[0].keys() == {"type", "text"}:
        result["content"] = blocks[0]["text"]
    elif blocks:
        result["content"] = blocks
    if part.failed:
        result["is_error"] = True
    return _marked(result, part.cache)


def _marked(block: dict[str, Any], cache: dict[str, Any] | None) -> dict[str, Any]:
    return block if cache is None else {**block, "cache_control": cache}


def _document(part: FilePart) -> dict[str, Any]:
    if part.text:
        source = {"type": "text", "media_type": "text/plain", "data": part.text}
    elif part.url:
        source = {"type": "url", "url": part.url}
    else:
        source = {"type": "base64", "media_type": part.media_type, "data": part.data}
    return {"type": "document", "source": source} | ({"title": part.name} if part.name else {})


def arguments_of(call: CallPart) -> dict[str, Any]:
    """The object that the text of a call's arguments holds. What a model wrote that is no JSON object is told as the
    text that it is, as in answers (`stream_encoder`): the call was made, and is answered in what follows."""
    if not call.arguments.strip():
        return {}
    try:
        told: dict[str, Any] = _decode_object(call.arguments)
        return told
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return {"invalid_json": call.arguments}


def tools(request: ChatRequest) -> list[dict[str, Any]]:
    told = []
    for tool in request.tools:
        named: dict[str, Any] = {"name": tool.name}
        if tool.description:
            named["description"] = tool.description
        named["input_schema"] = tool.parameters or {"type": "object", "properties": {}}
        if tool.strict is not None:
            named["strict"] = tool.strict
        told.append(_marked(named, tool.cache))
    return told


def tool_choice(request: ChatRequest) -> dict[str, Any] | None:
    wanted = request.tool_choice
    told: dict[str, Any] | None = None
    if wanted is not None:
        kind = {"auto": "auto", "none": "none", "required": "any", "named": "tool"}[wanted.mode]
        told = {"type": kind, "name": wanted.name} if kind == "tool" else {"type": kind}
    alone = request.parallel_tool_calls
    if alone is not None and not (told and told["type"] == "none"):
        if told is None and alone:
            return None
        told = {**(told or {"type": "auto"}), "disable_parallel_tool_use": not alone}
    return told


def _with_answer(budget_tokens: int, model: str) -> int:
    """`max_tokens` for a budget, where the client said none. A budget that leaves no room at all is left to be refused
    in the provider's words."""
    tokens = budget_tokens + MAX_TOKENS
    return min(tokens, _SMALL) if _is_small(model) and budget_tokens < _SMALL else tokens


def reasoning(request: ChatRequest, model: str, origin: str = NAME) -> dict[str, Any]:
    """The members that ask Claude to think, `thinking` always; none for a model that cannot.

    Older models take a budget alone: adaptive thinking came with Opus and Sonnet 4.6 (platform.claude.com, adaptive
    thinking). A budget is below `max_tokens`, or refused ("thinking.budget_tokens: must be >= 1024 and < max_tokens";
    anthropic types/thinking_config_enabled_param.py), and one that stands for an effort leaves half of it to the
    answer; and with one, an answer that called tools must begin with
    what was thought before it, so a history that another maker's model made is continued without ("Expected `thinking`
    or `redacted_thinking`, but found `tool_use`"). `origin`: whose thoughts go back.
    """
    wish = request.reasoning
    assert wish is not None
    if _cannot_think(model):
        return {}
    if wish.effort == "none" or wish.budget_tokens == 0:
        return {"thinking": {"type": "disabled"}}
    effort = _EFFORTS.get(wish.effort, "")
    by_budget = _by_budget(model) is not None
    budget = wish.budget_tokens
    most = None if request.max_tokens is None else request.max_tokens - 1
    if by_budget and budget is None:
        budget = _BUDGETS.get(wish.effort, _BUDGETS["medium"])
        if request.max_tokens is not None:
            most = request.max_tokens // 2
        elif _is_small(model):
            most = _SMALL - MAX_TOKENS
    told: dict[str, Any] = {}
    if effort and not by_budget:
        told["output_config"] = {"effort": effort}
    if budget is None:
        return {"thinking": {"type": "adaptive"}, **told}
    budget = max(LEAST_BUDGET, budget)
    if most is not None:
        budget = min(budget, most)
    if budget < LEAST_BUDGET or _called_without_thought(request, origin):
        return {"thinking": {"type": "disabled" if by_budget else "adaptive"}, **told}
    return {"thinking": {"type": "enabled", "budget_tokens": budget}, **told}


def _called_without_thought(request: ChatRequest, origin: str) -> bool:
    """Whether the answer whose calls are being answered begins with no thought that Claude signed."""
    answers = [turn for turn in request.turns if turn.role == "assistant"]
    if not answers or not any(isinstance(part, CallPart) for part in answers[-1].parts):
        return False
    signed = [part for part in answers[-1].parts if isinstance(part, ThoughtPart) and (part.signature or part.redacted)]
    return not any(part.origin == origin for part in signed)
