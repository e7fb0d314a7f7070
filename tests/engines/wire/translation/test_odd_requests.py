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
