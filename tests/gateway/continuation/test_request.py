"""Which requests may be continued, and what their second engine is asked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.continuation.request import MOST_BYTES, continued, why_not

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
HELLO: list[dict[str, Any]] = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hello"}]


def body(**members: Any) -> bytes:
    return json.dumps({"model": "m", "stream": True, **members}).encode()


def chat(**members: Any) -> bytes:
    return body(messages=HELLO, **members)


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({}, ""),
        (
            {"temperature": 0.3, "stop": ["x"], "seed": 1, "max_tokens": 5, "stream_options": {"include_usage": True}},
            "",
        ),
        ({"tools": [], "tool_choice": "none", "n": 1, "logprobs": False, "top_logprobs": 0}, ""),
        ({"response_format": {"type": "text"}, "continue_final_message": False, "add_generation_prompt": True}, ""),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"functions": [{"name": "f"}]}, "tools"),
        ({"tool_choice": "required"}, "tools"),
        ({"response_format": {"type": "json_object"}}, "schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "schema"),
        ({"structured_outputs": {"regex": "a+"}}, "schema"),
        ({"guided_json": {"type": "object"}}, "schema"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 3}, "logprobs"),
        ({"prompt_logprobs": 0}, "logprobs"),
        ({"return_token_ids": True}, "token_ids"),
        ({"n": 2}, "choices"),
        ({"use_beam_search": True}, "choices"),
        ({"echo": True}, "shape"),
        ({"continue_final_message": True, "add_generation_prompt": False}, "shape"),
        ({"add_generation_prompt": False}, "shape"),
        ({"stream_options": {"include_usage": True, "continuous_usage_stats": True}}, "usage"),
    ],
)
def test_a_chat_may_be_continued_unless_that_would_be_another_answer(members: dict[str, Any], reason: str) -> None:
    assert why_not(CHAT, chat(**members)) == reason


def test_a_conversation_that_ends_with_the_assistant_is_passed_over() -> None:
    assert why_not(CHAT, body(messages=[*HELLO, {"role": "assistant", "content": "Well"}])) == "shape"
    assert why_not(CHAT, body(messages=[])) == ""
    assert why_not(CHAT, body()) == why_not(CHAT, body(messages=7)) == "shape"


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"prompt": "once"}, ""),
        ({"prompt": ""}, ""),
        ({"prompt": ["once"]}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({}, "shape"),
        ({"prompt": "once", "logprobs": 0}, "logprobs"),
        ({"prompt": "once", "best_of": 3}, "choices"),
        ({"prompt": "once", "suffix": "end"}, "shape"),
    ],
)
def test_a_completion_may_be_continued_where_its_prompt_is_one_text(members: dict[str, Any], reason: str) -> None:
    assert why_not(COMPLETIONS, body(**members)) == reason


def test_other_operations_and_huge_bodies_are_passed_over() -> None:
    assert why_not("/v1/responses", body(input="x")) == why_not("/v1/messages", chat()) == "operation"
    assert why_not(CHAT, body(messages=[{"role": "user", "content": "x" * MOST_BYTES}])) == "large"


def test_a_chat_goes_on_as_the_final_message_of_the_assistant() -> None:
    asked = chat(temperature=0.5, max_tokens=10, max_completion_tokens=9, min_tokens=3, x_unknown=[1, {"a": None}])
    written = continued(CHAT, asked, 'so "far"\n', 4)
    assert written is not None
    assert json.loads(written) == {
        **json.loads(asked),
        "messages": [*HELLO, {"role": "assistant", "content": 'so "far"\n'}],
        "continue_final_message": True,
        "add_generation_prompt": False,
        "max_tokens": 6,
        "max_completion_tokens": 5,
        "min_tokens": 0,
    }


def test_before_the_first_word_it_is_the_request_as_it_was() -> None:
    written = continued(CHAT, chat(max_tokens=3), "", 0)
    assert written is not None
    assert json.loads(written) == json.loads(chat(max_tokens=3))


def test_a_completion_goes_on_from_the_prompt_and_the_text() -> None:
    written = continued(COMPLETIONS, body(prompt="Once upon", max_tokens=100), " a time", 2)
    assert written is not None
    assert json.loads(written) == {"model": "m", "stream": True, "prompt": "Once upon a time", "max_tokens": 98}


def test_a_completion_without_a_limit_has_that_of_the_api() -> None:
    written = continued(COMPLETIONS, body(prompt="Once"), " upon", 1)
    assert written is not None
    assert json.loads(written)["max_tokens"] == 15
    assert continued(COMPLETIONS, body(prompt="Once"), "x", 16) is None


@settings(deadline=None)
@given(limit=st.integers(1, 50), made=st.integers(0, 60))
def test_both_parts_together_never_have_more_tokens_than_were_asked_for(limit: int, made: int) -> None:
    written = continued(CHAT, chat(max_completion_tokens=limit), "x", made)
    if written is None:
        assert made >= limit
    else:
        left = json.loads(written)["max_completion_tokens"]
        assert left >= 1
        assert left + made == limit


def test_half_a_surrogate_pair_in_the_request_does_no_harm() -> None:
    asked = body(messages=[{"role": "user", "content": "\ud800"}])
    assert why_not(CHAT, asked) == ""
    written = continued(CHAT, asked, "x", 1)
    assert written is not None
    assert json.loads(written)["messages"][0]["content"] == "\ufffd"
