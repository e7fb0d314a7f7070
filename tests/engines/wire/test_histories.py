"""An engine that is asked in its client's own format is not told what another thought; all else comes as it came."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.wire.histories import chat_for_openai, messages, response_for_openai
from engines.wire.keepsakes import sealed

CLAUDE = "claude-opus-5"
OTHERS = {"type": "thinking", "thinking": "hm", "signature": sealed("gemini", "signature", "c2ln")}
REDACTED = {"type": "redacted_thinking", "data": sealed("gemini", "call", "c2ln")}
UNSIGNED = {"type": "thinking", "thinking": "hm", "signature": ""}
OWN = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
CALL = {"type": "tool_use", "id": "call_1", "name": "f", "input": {"x": 1.0, "penstock": "penstock"}}
RESULT = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "sunny"}]}
BUDGET = {"type": "enabled", "budget_tokens": 1024}


def asked(*said: dict[str, Any], **members: Any) -> dict[str, Any]:
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": list(said)}, RESULT]
    return {"model": "m", "max_tokens": 9, "messages": turns, **members}


def sent(body: dict[str, Any], model: str = CLAUDE) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(messages(json.dumps(body).encode(), model))
    return told


@pytest.mark.parametrize("thought", [OTHERS, REDACTED, UNSIGNED])
def test_what_another_thought_is_not_told_to_claude(thought: dict[str, Any]) -> None:
    assert sent(asked(thought, OWN, CALL)) == asked(OWN, CALL)
    assert sent(asked(thought, CALL)) == asked(CALL)


def test_a_message_that_was_nothing_else_goes_whole() -> None:
    assert [turn["role"] for turn in sent(asked(OTHERS))["messages"]] == ["user", "user"]


def test_a_budget_goes_where_another_made_the_call() -> None:
    for said in ([OTHERS, CALL], [CALL], [UNSIGNED, CALL]):
        assert sent(asked(*said, thinking=BUDGET)) == asked(CALL)
    adaptive = {"type": "adaptive"}
    assert sent(asked(CALL, thinking=adaptive)) == asked(CALL, thinking=adaptive)
    text = {"type": "text", "text": "so"}
    assert sent(asked(OTHERS, text, thinking=BUDGET)) == asked(text, thinking=BUDGET)


def test_what_is_claudes_own_comes_as_it_came_mistakes_too() -> None:
    own = {**CALL, "id": "toolu_1"}
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"}]}
    for said in ([OWN, own], [own]):
        turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": said}, result]
        body = json.dumps({"messages": turns, "thinking": BUDGET}).encode()
        assert messages(body, CLAUDE) is body


def test_servers_that_sign_nothing_have_their_own_thoughts_back_and_no_sealed_ones() -> None:
    assert sent(asked(UNSIGNED, CALL, thinking=BUDGET), "a-model") == asked(UNSIGNED, CALL, thinking=BUDGET)
    assert sent(asked(OTHERS, CALL, thinking=BUDGET), "a-model") == asked(CALL, thinking=BUDGET)


def test_openais_chat_is_not_told_what_its_api_has_no_member_for() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"reasoning_content":1}'}}
    said = {"role": "assistant", "content": None, "tool_calls": [call]}
    signed = {**call, "extra_content": {"google": {"thought_signature": "c2ln"}}}
    more = {"reasoning_content": "hm", "thinking_blocks": [OWN]}
    user = {"role": "user", "content": 'my "reasoning_content" is "thinking_blocks"'}
    body = {"messages": [user, {**said, "tool_calls": [signed], **more}], "x": 1.50}
    assert json.loads(chat_for_openai(json.dumps(body).encode(), "gpt")) == {"messages": [user, said], "x": 1.50}
    plain = json.dumps({"messages": [user, said]}).encode()
    assert chat_for_openai(plain, "gpt") is plain


def test_openai_is_not_told_reasoning_that_it_cannot_open() -> None:
    own = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "c2ln"}
    others = {**own, "encrypted_content": OTHERS["signature"]}
    said = {"role": "user", "content": OTHERS["signature"]}
    body = json.dumps({"input": [said, others, own]}).encode()
    assert json.loads(response_for_openai(body, "gpt")) == {"input": [said, own]}


@pytest.mark.parametrize("clean", [messages, chat_for_openai, response_for_openai])
@pytest.mark.parametrize(
    "body",
    [
        b'{"messages":"penstock/x"}',
        b'{"input":{"reasoning_content":"penstock"},"messages":[1,"penstock",null,{"content":"penstock"}]}',
        b'["penstock","reasoning_content"]',
        b'{"messages":[{"role":"assistant","content":[{"type":7,"signature":"penstock/a/b/c"}],"_content":1}',
        b'{"messages":[{"role":"assistant","tool_calls":"extra_content"}],"x":"penstock"}',
    ],
)
def test_what_is_no_such_request_is_its_engines_to_judge(clean: Any, body: bytes) -> None:
    assert clean(body, CLAUDE) == body


@given(st.lists(st.sampled_from([OTHERS, REDACTED, UNSIGNED, OWN, CALL, {"type": "text", "text": 'a"penstock/b'}])))
def test_only_thoughts_of_others_are_taken_out(said: list[dict[str, Any]]) -> None:
    found = sent(asked(*said))["messages"][1:-1]
    left = [block for block in said if block not in (OTHERS, REDACTED, UNSIGNED)]
    assert [block for message in found for block in message["content"]] == left
