"""What of a request body is the prompt, and which conversation it is of."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.body.prefixes import conversation, prefix_chain
from routing.prefix.chain import BLOCK_BYTES

texts = st.text(max_size=600)
turns = st.lists(texts, min_size=1, max_size=6)


def body(**members: Any) -> bytes:
    return json.dumps({"model": "m", **members}, ensure_ascii=False).encode()


def said(*contents: str) -> list[dict[str, str]]:
    return [{"role": "assistant" if at % 2 else "user", "content": content} for at, content in enumerate(contents)]


@settings(deadline=None)
@given(turns=turns, more=turns)
def test_a_longer_conversation_begins_with_the_chain_of_the_shorter(turns: list[str], more: list[str]) -> None:
    before = prefix_chain("m", body(messages=said(*turns)))
    after = prefix_chain("m", body(messages=said(*turns, *more)))
    assert after[: len(before)] == before


@settings(deadline=None)
@given(a=texts, b=texts)
def test_two_chains_are_equal_as_far_as_their_prompts_are_in_whole_blocks(a: str, b: str) -> None:
    chains = [prefix_chain("m", body(prompt=text)) for text in (a, b)]
    raws = [json.dumps(text, ensure_ascii=False).encode()[:-1] for text in (a, b)]
    alike = 0
    while alike < min(map(len, raws)) and raws[0][alike] == raws[1][alike]:
        alike += 1
    same = 0
    while same < min(map(len, chains)) and chains[0][same] == chains[1][same]:
        same += 1
    assert same == alike // BLOCK_BYTES


@pytest.mark.parametrize("member", ["tools", "system", "instructions", "cache_salt"])
def test_what_a_template_puts_before_the_prompt_must_be_equal(member: str) -> None:
    plain = prefix_chain("m", body(messages=said("x" * 600)))
    assert not set(plain) & set(prefix_chain("m", body(messages=said("x" * 600), **{member: "other"})))


def test_models_share_no_blocks() -> None:
    prompt = body(messages=said("x" * 600))
    assert not set(prefix_chain("a", prompt)) & set(prefix_chain("b", prompt))


@pytest.mark.parametrize("text", [b"{}", b'{"messages":[]}', b'{"messages":null}', b'{"input":7}', b"[" * 100_000])
def test_a_body_without_a_prompt_has_no_keys_and_no_conversation(text: bytes) -> None:
    assert prefix_chain("m", text) == []
    assert conversation(text) == ""


@settings(deadline=None)
@given(turns=turns, more=turns)
def test_a_conversation_stays_the_same_as_it_goes_on(turns: list[str], more: list[str]) -> None:
    begun = ["You are terse.", *turns]
    assert conversation(body(messages=said(*begun))) == conversation(body(messages=said(*begun, *more)))


def test_conversations_are_told_apart_by_how_they_begin_or_by_their_key() -> None:
    system = {"role": "system", "content": "You are terse."}
    one, two = ({"role": "user", "content": content} for content in ("one", "two"))
    keys = [
        conversation(body(messages=[system, one])),
        conversation(body(messages=[system, two])),
        conversation(body(input=[one])),
        conversation(body(input=[one], instructions="Be kind.")),
        conversation(body(messages=[system, one], prompt_cache_key="team-7")),
    ]
    assert len(set(keys)) == 5
    assert keys[4] == "team-7"
    assert conversation(body(messages=[system, two], prompt_cache_key="team-7")) == "team-7"
