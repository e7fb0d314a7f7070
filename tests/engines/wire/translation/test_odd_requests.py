"""Requests at the edge of their format: what cannot be taken is said by its name, and no content is dropped."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engines.wire.anthropic_messages import codec as anthropic_messages
from engines.wire.codec import Ingress
from engines.wire.features import asked, needed
from engines.wire.openai_chat import codec as openai_chat
from engines.wire.openai_responses import codec as openai_responses
from engines.wire.request import ChatRequest, TextPart, Turn, Unreadable

CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "a"}]}


def _decode(ingress: Ingress, **members: Any) -> ChatRequest:
    return ingress.decode_request(json.dumps(members).encode())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 10**400),
        ("top_p", -(10**400)),
        ("max_tokens", 1e300),
        ("seed", 1e30),
        ("seed", 2**63),
        ("top_k", -(2**63) - 1),
    ],
)
def test_a_number_too_large_for_any_engine_is_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(Unreadable, match=f"`{name}` is too large a number") as refused:
        _decode(openai_chat.INGRESS, **CHAT, **{name: value})
    assert refused.value.param == name


def test_the_largest_numbers_are_taken() -> None:
    assert _decode(openai_chat.INGRESS, **CHAT, seed=2**63 - 1).seed == 2**63 - 1
    assert _decode(openai_chat.INGRESS, **CHAT, seed=-(2**63)).seed == -(2**63)


@pytest.mark.parametrize(
    ("ingress", "members", "name"),
    [
        (
            openai_chat.INGRESS,
            {"messages": [{"role": "user", "content": [{"type": "video_url", "video_url": {"url": "x"}}]}]},
            "messages.video_url",
        ),
        (openai_chat.INGRESS, {**CHAT, "response_format": {"type": "grammar"}}, "response_format.grammar"),
        (openai_responses.INGRESS, {"input": [{"type": "item_reference", "id": "x"}]}, "input.item_reference"),
        (openai_responses.INGRESS, {"input": "a", "text": {"format": {"type": "lark"}}}, "text.format.lark"),
    ],
)
def test_content_that_nobody_else_can_read_is_never_left_out(ingress: Ingress, members: Any, name: str) -> None:
    parameters, content = needed(asked(_decode(ingress, **{"model": "m", **members})))
    assert name in content
    assert name not in parameters


def test_an_empty_system_prompt_is_left_out() -> None:
    turns = [Turn("system", [TextPart("")]), Turn("user", [TextPart("a")])]
    egress = anthropic_messages.EGRESS
    assert "system" not in json.loads(egress.encode_request(ChatRequest("", "m", turns), "m", egress.takes))


MESSAGES: dict[str, Any] = {"max_tokens": 5, "messages": [{"role": "user", "content": "a"}]}
SOURCE = {"type": "text", "media_type": "text/plain", "data": "d"}
TOOL = {"name": "f", "input_schema": {}}


def _asked(ingress: Ingress, members: dict[str, Any]) -> tuple[frozenset[str], frozenset[str], dict[str, str]]:
    """Parameters, content, and every name."""
    names = asked(_decode(ingress, **{"model": "m", **members}))
    return (*needed(names), names)


def _said(role: str, **members: Any) -> dict[str, Any]:
    return {"messages": [{"role": role, **members}]}


@pytest.mark.parametrize(
    ("ingress", "members", "name"),
    [
        (openai_chat.INGRESS, _said("assistant", audio={"id": "x"}), "messages.audio"),
        (openai_chat.INGRESS, _said("user", content=[{"type": "text", "text": "a", "odd": 1}]), "messages.text.odd"),
        (
            openai_chat.INGRESS,
            {**CHAT, "tools": [{"type": "function", "function": {"name": "f", "odd": 1}}]},
            "tools.function.odd",
        ),
        (
            anthropic_messages.INGRESS,
            _said("user", content=[{"type": "document", "source": SOURCE, "context": "c"}]),
            "messages.document.context",
        ),
        (
            anthropic_messages.INGRESS,
            _said("user", content=[{"type": "document", "source": SOURCE, "citations": {"enabled": True}}]),
            "messages.document.citations",
        ),
        (
            anthropic_messages.INGRESS,
            {**MESSAGES, "tools": [{**TOOL, "allowed_callers": ["code_execution_20250825"]}]},
            "tools.allowed_callers",
        ),
        (openai_responses.INGRESS, {"input": [{"role": "user", "content": "a", "odd": 1}]}, "input.message.odd"),
    ],
)
def test_what_a_message_or_a_tool_asks_for_beside_is_content(ingress: Ingress, members: Any, name: str) -> None:
    assert name in _asked(ingress, members)[1]


def test_what_another_object_asks_for_beside_is_a_parameter() -> None:
    config = {"output_config": {"effort": "low", "task_budget": {"type": "tokens", "total": 9}}}
    parameters, content, _ = _asked(anthropic_messages.INGRESS, {**MESSAGES, **config})
    assert "output_config.task_budget" in parameters
    assert content == frozenset()


@pytest.mark.parametrize(
    ("ingress", "members", "own"),
    [
        (openai_chat.INGRESS, _said("user", content="a", name="n"), "messages.name"),
        (
            openai_chat.INGRESS,
            _said("user", content=[{"type": "image_url", "image_url": {"url": "u", "detail": "low"}}]),
            "messages.image_url.detail",
        ),
        (
            openai_chat.INGRESS,
            {**CHAT, "tools": [{"type": "function", "function": {"name": "f", "strict": True}}]},
            "tools.function.strict",
        ),
        (anthropic_messages.INGRESS, {**MESSAGES, "tools": [{**TOOL, "strict": True}]}, "tools.strict"),
        (
            anthropic_messages.INGRESS,
            {**MESSAGES, "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}]},
            "cache_control",
        ),
    ],
)
def test_a_hint_inside_is_named_and_keeps_nobody_from_answering(ingress: Ingress, members: Any, own: str) -> None:
    parameters, content, names = _asked(ingress, members)
    assert own in names.values()
    assert parameters == frozenset()
    assert content <= {"tools", "image_urls"}


@pytest.mark.parametrize(
    ("ingress", "members"),
    [
        (
            openai_chat.INGRESS,
            _said(
                "assistant",
                content="a",
                refusal=None,
                annotations=[{"type": "url_citation"}],
                audio=None,
                function_call=None,
                reasoning="r",
                reasoning_content="r",
                parsed={"a": 1},
                tool_calls=[
                    {
                        "id": "x",
                        "type": "function",
                        "index": 0,
                        "function": {"name": "f", "arguments": "{}", "parsed_arguments": {"a": 1}},
                    }
                ],
            ),
        ),
        (
            anthropic_messages.INGRESS,
            _said(
                "assistant",
                content=[
                    {"type": "text", "text": "a", "citations": [{"type": "char_location"}]},
                    {"type": "tool_use", "id": "x", "name": "f", "input": {}, "caller": {"type": "direct"}},
                ],
            ),
        ),
        (
            openai_responses.INGRESS,
            {
                "input": [
                    {
                        "type": "message",
                        "id": "i",
                        "status": "completed",
                        "role": "assistant",
                        "content": [{"type": "output_text", "text": "a", "annotations": [{}], "logprobs": [{}]}],
                    },
                    {"type": "function_call", "id": "i", "status": "completed", "call_id": "x", "name": "f"},
                ]
            },
        ),
        (anthropic_messages.INGRESS, {**MESSAGES, "thinking": {"type": "disabled", "budget_tokens": 5}}),
    ],
    ids=["chat", "messages", "responses", "thinking"],
)
def test_an_answer_sent_back_as_clients_keep_it_asks_for_nothing(ingress: Ingress, members: Any) -> None:
    assert set(_asked(ingress, members)[2]) <= {"reasoning_effort"}
