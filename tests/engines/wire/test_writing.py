"""What is written in turns is what one call writes, and no turn writes much."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engines.wire.anthropic_messages import codec as anthropic_messages
from engines.wire.bedrock_converse import codec as bedrock_converse
from engines.wire.bulk import finished
from engines.wire.codec import Egress
from engines.wire.cohere import codec as cohere
from engines.wire.gemini import codec as gemini
from engines.wire.openai_chat import codec as openai_chat
from engines.wire.openai_chat import variants
from engines.wire.request import CallPart, ChatRequest, ReasoningWish, ResultPart, TextPart, Tool, Turn, Unreadable
from engines.wire.writing import WALKED, written
from tests.engines.wire.translation.test_there_and_back import requests

FORMATS: list[Egress] = [
    openai_chat.EGRESS,
    openai_chat.COMPATIBLE,
    variants.MISTRAL,
    variants.AI21,
    anthropic_messages.EGRESS,
    bedrock_converse.EGRESS,
    cohere.EGRESS,
    gemini.EGRESS,
]
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["model", "messages", 'odd "\u00e9', "tools"]), VALUES))
def test_a_body_written_in_turns_is_the_body(body: dict[str, Any]) -> None:
    assert finished(written(body, "messages")) == msgspec.json.encode(body)


@settings(deadline=None, max_examples=40)
@given(
    st.recursive(
        st.none() | st.text(max_size=3) | st.text(min_size=1, max_size=3).map(lambda text: text * 30_000),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=6,
    )
)
def test_nor_is_it_another_where_texts_are_written_in_pieces(value: Any) -> None:
    for name in ("messages", "system"):
        assert finished(written({"model": "m", name: value}, "messages")) == msgspec.json.encode(
            {"model": "m", name: value}
        )


def test_what_is_deep_is_written_as_it_is() -> None:
    value: Any = "\x01" * 100_000
    for _ in range(100):
        value = {"x": [value]}
    assert finished(written({"messages": [value]}, "messages")) == msgspec.json.encode({"messages": [value]})


def agents(count: int) -> ChatRequest:
    """So many calls of tools with their results."""
    turns = [Turn("system", [TextPart("be brief")]), Turn("user", [TextPart("go")])]
    for number in range(count):
        turns.append(Turn("assistant", [TextPart("so"), CallPart(f"call {number}", "f", '{"x":1}')]))
        turns.append(Turn("user", [ResultPart(f"call {number}", [TextPart("y" * 100)])]))
    return ChatRequest("openai_chat", "m", turns, tools=[Tool("f", "", {"type": "object"})], max_tokens=9)


@pytest.mark.parametrize("egress", FORMATS, ids=[one.name for one in FORMATS])
def test_a_request_is_the_same_in_turns_and_at_once_in_every_format(egress: Egress) -> None:
    request = agents(700)
    writing = egress.encode_in_turns(request, "up", egress.takes)
    assert finished(writing) == egress.encode_request(request, "up", egress.takes)


@pytest.mark.parametrize("egress", FORMATS, ids=[one.name for one in FORMATS])
def test_others_have_their_turn_between_the_messages(egress: Egress) -> None:
    turns = list(egress.encode_in_turns(agents(700), "up", egress.takes))
    assert len(turns) > 10


def test_what_cannot_be_said_is_said_so_in_turns_too() -> None:
    request = ChatRequest("openai_chat", "m", [Turn("user", [ResultPart("nobody's", [TextPart("x")])])])
    with pytest.raises(Unreadable, match="nobody's"):
        finished(gemini.EGRESS.encode_in_turns(request, "up", gemini.EGRESS.takes))


@pytest.mark.parametrize("name", ["messages", "request"])
@pytest.mark.parametrize("text", ["x", '"', "\x01", "\U0001f600"])
def test_no_turn_of_a_large_text_writes_much(text: str, name: str) -> None:
    message = {"role": "user", "content": [{"type": "text", "text": text * 1_000_000}]}
    *turns, walk = list(written({"model": "m", "request": {"contents": [message] * 3}, "messages": [message]}, name))
    size = len(msgspec.json.encode(message))
    assert max(turns) < 110
    assert sum(turns) > 4 * size // 4096
    assert walk == WALKED


@settings(deadline=None, max_examples=30)
@given(request=requests(), origin=st.sampled_from(["openai_chat", "anthropic_messages", "openai_responses"]))
@pytest.mark.parametrize("egress", FORMATS, ids=[one.name for one in FORMATS])
def test_any_request_is_the_same_in_turns_and_at_once_and_stays_as_it_was(
    egress: Egress, request: ChatRequest, origin: str
) -> None:
    """It is written more than once: for each target, and again where it is sent later."""
    request.origin = origin
    request.reasoning = ReasoningWish(effort="low")
    if egress is variants.AI21:  # it is not asked to look at anything
        texts = (TextPart, CallPart, ResultPart)
        request.turns = [
            Turn(turn.role, [one for one in turn.parts if isinstance(one, texts)]) for turn in request.turns
        ]
    before = msgspec.json.encode(request)
    for takes in (egress.takes, frozenset[str]()):
        whole = egress.encode_request(request, "claude-3-7-sonnet", takes)
        assert finished(egress.encode_in_turns(request, "claude-3-7-sonnet", takes)) == whole
        assert egress.encode_request(request, "claude-3-7-sonnet", takes) == whole
    assert msgspec.json.encode(request) == before
