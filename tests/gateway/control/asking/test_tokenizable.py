"""What of a request is asked to be tokenized: all that its prompt is made of, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.control.asking.tokenizable import CHAT, COMPLETIONS, Tokenizable, tokenizable

MESSAGES = [{"role": "user", "content": "Grüße"}]
TOOLS = [{"type": "function", "function": {"name": "f"}}]


def asked(operation: str, **body: Any) -> Tokenizable | None:
    return tokenizable(operation, json.dumps({"model": "public", "stream": True, "max_tokens": 9, **body}).encode())


def test_a_chat_is_its_messages_tools_and_template() -> None:
    template = {"add_generation_prompt": True, "chat_template_kwargs": {"thinking": False}}
    found = asked(CHAT, messages=MESSAGES, tools=TOOLS, temperature=1, **template)
    assert found is not None
    assert {"messages": MESSAGES, "tools": TOOLS, **template} == json.loads(found.body)
    assert (len(json.dumps(MESSAGES)), len(json.dumps(TOOLS))) == (found.prompt_bytes, found.bytes_before)


def test_a_completion_is_its_text() -> None:
    found = asked(COMPLETIONS, prompt="Once", add_special_tokens=False, tools=None)
    assert found == Tokenizable(b'{"prompt":"Once","add_special_tokens":false}', 6, 0)


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        (COMPLETIONS, {"prompt": ["a", "b"]}),
        (COMPLETIONS, {"prompt": [1, 2]}),
        (COMPLETIONS, {"messages": MESSAGES}),
        (CHAT, {"prompt": "Once"}),
        (CHAT, {"messages": MESSAGES, "cache_salt": "s"}),
        ("/v1/responses", {"input": "Once"}),
        ("/v1/messages", {"messages": MESSAGES}),
    ],
)
def test_what_cannot_be_told_is_not_asked(operation: str, body: dict[str, Any]) -> None:
    assert asked(operation, **body) is None


@given(st.binary(max_size=60))
def test_no_bytes_are_an_error(body: bytes) -> None:
    for operation in (CHAT, COMPLETIONS):
        found = tokenizable(operation, body)
        assert found is None or json.loads(found.body)
    assert tokenizable(CHAT, b"[" * 10_000) is None
