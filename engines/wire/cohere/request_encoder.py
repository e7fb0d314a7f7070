"""A request for a chat as Cohere takes it: messages are OpenAI's, parameters its own.

`tool_choice` is REQUIRED or NONE (cohere v2/types/v2chat_request_tool_choice.py): a tool that is named is the only one
that is sent, and must be called.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

import msgspec

from engines.wire.bulk import finished
from engines.wire.openai_chat.request_encoder import messages, tools
from engines.wire.request import ChatRequest, ReasoningWish, Unreadable, thinking
from engines.wire.writing import WALKED

_encode = msgspec.json.Encoder().encode

NAME: Final = "cohere"
TAKES: Final = frozenset(
    {
        "forced_tool_reasoning",
        "images.gif",
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
        "image_urls",
        "image_detail",
        "strict_tools",
    }
)
_BUDGETS: Final = {"minimal": 512, "low": 2048, "medium": 8192, "high": 24576}
"""Tokens of thought; of an effort beyond these there is no bound."""


def encode_request(request: ChatRequest, model: str, takes: frozenset[str]) -> bytes:
    """Raises Unreadable."""
    return _encode(finished(members_in_turns(request, model, takes)))


def members_in_turns(request: ChatRequest, model: str, takes: frozenset[str]) -> Generator[int, None, dict[str, Any]]:
    """The body, taken apart; see `engines.wire.writing` for the turns. Raises Unreadable."""
    body: dict[str, Any] = {"model": model, "messages": []}
    thinks = request.reasoning is not None and thinking(request.reasoning)
    spoken = messages(request.turns)
    yield WALKED
    body["messages"] = [_message(one, thinks) for one in spoken]
    scalars = {
        "temperature": ("temperature", request.temperature),
        "top_p": ("p", request.top_p),
        "top_k": ("k", request.top_k),
        "stop": ("stop_sequences", request.stop or None),
        "seed": ("seed", request.seed),
        "presence_penalty": ("presence_penalty", request.presence_penalty),
        "frequency_penalty": ("frequency_penalty", request.frequency_penalty),
    }
    body |= {own: value for name, (own, value) in scalars.items() if value is not None and name in takes}
    if request.max_tokens is not None:
        body["max_tokens"] = request.max_tokens
    choice = request.tool_choice
    if request.tools:
        body["tools"] = tools(request)
        if choice is not None and choice.mode == "named":
            body["tools"] = [tool for tool in body["tools"] if tool["function"]["name"] == choice.name]
            if not body["tools"]:
                raise Unreadable("`tool_choice` names none of the tools", "tool_choice")
        for tool in body["tools"]:  # the member must be there
            tool["function"].setdefault("parameters", {"type": "object", "properties": {}})
        if any(tool["function"].pop("strict", None) for tool in body["tools"]):
            body["strict_tools"] = True
        if choice is not None and choice.mode != "auto":
            body["tool_choice"] = "NONE" if choice.mode == "none" else "REQUIRED"
    output = request.output
    if output is not None:
        schema = {} if output.schema is None else {"json_schema": output.schema}
        body["response_format"] = {"type": "json_object", **schema}
    if request.reasoning is not None and "reasoning_effort" in takes:
        body["thinking"] = _thinking(request.reasoning)
    if request.stream:
        body["stream"] = True
    return body


def _message(message: dict[str, Any], thinks: bool) -> dict[str, Any]:
    """Names are no part of a message. What was thought goes back while it is to think (docs.cohere.com, reasoning)."""
    told = {name: value for name, value in message.items() if name not in ("reasoning_content", "name")}
    if told.get("content", "") is None:
        del told["content"]
    thought = message.get("reasoning_content")
    if thought and thinks:
        content = told.get("content", "")
        texts = content if isinstance(content, list) else [{"type": "text", "text": content}] if content else []
        told["content"] = [{"type": "thinking", "thinking": thought}, *texts]
    for call in told.get("tool_calls", ()):
        call.pop("extra_content", None)
    return told


def _thinking(wish: ReasoningWish) -> dict[str, Any]:
    if wish.effort == "none" or wish.budget_tokens == 0:
        return {"type": "disabled"}
    budget = _BUDGETS.get(wish.effort) if wish.budget_tokens is None else wish.budget_tokens
    return {"type": "enabled"} | ({} if budget is None else {"token_budget": budget})
