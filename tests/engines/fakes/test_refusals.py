"""What each fake refuses, in the provider's own shape."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from engines.fakes.anthropic.reading import signature
from engines.fakes.limits import Limits
from tests.engines.fakes.asking import KEYS, ask
from tests.engines.fakes.served import fake

USER = {"role": "user", "content": "hi"}
CHAT: dict[str, Any] = {"model": "gpt-5", "messages": [USER]}
MESSAGES: dict[str, Any] = {"model": "claude-opus-5", "max_tokens": 100, "messages": [USER]}
RESPONSES: dict[str, Any] = {"model": "gpt-5", "input": "hi"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
USE = {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}]}
TOOL = {"type": "function", "function": {"name": "f"}}
OPEN = {"type": "object", "properties": {"a": {"type": "string"}}}


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("chat/completions", b"{", "Invalid request"),
        ("chat/completions", b'{"metadata":' + b"[" * 10_000, "metadata"),
        ("chat/completions", b'{"audio":{"a":' + b"[" * 100_000, "nested too deeply"),
        ("chat/completions", {**CHAT, "top_k": 3}, "top_k"),
        ("chat/completions", {**CHAT, "temperature": "1"}, "temperature"),
        ("chat/completions", {**CHAT, "temperature": 2.5}, "temperature"),
        ("chat/completions", {"messages": [USER]}, "model"),
        ("chat/completions", {**CHAT, "messages": []}, "messages"),
        ("chat/completions", {**CHAT, "messages": [{"role": "robot", "content": "x"}]}, "role"),
        ("chat/completions", {**CHAT, "max_tokens": 5, "max_completion_tokens": 5}, "at the same time"),
        ("chat/completions", {**CHAT, "stream_options": {"include_usage": True}}, "stream_options"),
        ("chat/completions", {**CHAT, "tool_choice": "auto"}, "only allowed when 'tools'"),
        ("chat/completions", {**CHAT, "parallel_tool_calls": False}, "only allowed when 'tools'"),
        ("chat/completions", {**CHAT, "top_logprobs": 2}, "top_logprobs"),
        ("chat/completions", {**CHAT, "messages": [USER, CALLED]}, "c1"),
        ("chat/completions", {**CHAT, "messages": [USER, CALLED, USER]}, "c1"),
        (
            "chat/completions",
            {**CHAT, "messages": [USER, {"role": "tool", "tool_call_id": "c1", "content": ""}]},
            "must be a response",
        ),
        ("chat/completions", {**CHAT, "messages": [USER, {"role": "assistant"}]}, "expected a string"),
        (
            "chat/completions",
            {**CHAT, "tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}},
            "'g' not found",
        ),
        (
            "chat/completions",
            {**CHAT, "tools": [{"type": "function", "function": {"name": "f", "strict": True, "parameters": OPEN}}]},
            "additionalProperties",
        ),
        (
            "chat/completions",
            {
                **CHAT,
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "n", "strict": True, "schema": {**OPEN, "additionalProperties": False}},
                },
            },
            "'required'",
        ),
        (
            "chat/completions",
            {**CHAT, "response_format": {"type": "json_schema", "json_schema": {"name": "n"}}},
            "Missing required parameter",
        ),
        ("completions", {"model": "m", "prompt": "x", "stream_options": {}}, "stream_options"),
        ("embeddings", {"model": "m", "input": ""}, "input"),
        ("responses", {**RESPONSES, "messages": []}, "messages"),
        ("responses", {**RESPONSES, "previous_response_id": "r"}, "previous_response_id"),
        ("responses", {**RESPONSES, "max_output_tokens": 3}, "max_output_tokens"),
        (
            "responses",
            {**RESPONSES, "input": [{"type": "function_call_output", "call_id": "c", "output": ""}]},
            "No tool call found for function call output with call_id c",
        ),
        ("responses", {**RESPONSES, "input": [{"type": "nonsense"}]}, "input[0]"),
        ("responses", {**RESPONSES, "tool_choice": {"type": "function", "name": "g"}}, "'g' not found"),
        ("chat/completions", {**CHAT, "model": "gpt-fake-nonsense"}, "no script 'nonsense'"),
    ],
)
def test_openai_refuses_with_400_and_its_error_object(openai_url: str, path: str, body: Any, says: str) -> None:
    answer = ask(openai_url, f"/v1/{path}", body, KEYS["openai"])
    error = answer.json()["error"]
    assert (answer.status_code, error["type"], sorted(error)) == (
        *(400, "invalid_request_error", ["code", "message", "param", "type"]),
    )
    assert says in error["message"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"stop": ["x"]}, "stop"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, 'must use the "user" role'),
        ({"temperature": 0.5}, "Extra inputs are not permitted"),
        ({"model": "claude-sonnet-4-5", "temperature": 1.5}, "temperature"),
        ({"tool_choice": {"type": "auto"}}, "while providing tools"),
        ({"thinking": {"type": "enabled", "budget_tokens": 10}}, "budget_tokens"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}}, "`max_tokens` must be greater"),
        (
            {
                "thinking": {"type": "adaptive"},
                "tool_choice": {"type": "any"},
                "tools": [{"name": "f", "input_schema": {}}],
            },
            "Thinking may not be enabled when tool_choice forces",
        ),
        ({"tools": [{"name": "f", "input_schema": {}}] * 2}, "must be unique"),
        (
            {"tools": [{"name": "f", "input_schema": {}}], "tool_choice": {"type": "tool", "name": "g"}},
            "'g' not found",
        ),
        ({"messages": [USER, USE]}, "nobody has answered"),
        ({"messages": [USER, USE, USER]}, "without `tool_result` blocks"),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1"}]}]},
            "unexpected `tool_use_id`",
        ),
        (
            {
                "messages": [
                    *(USER, USE),
                    {
                        "role": "user",
                        "content": [{"type": "text", "text": "x"}, {"type": "tool_result", "tool_use_id": "t1"}],
                    },
                ]
            },
            "must come first",
        ),
        (
            {
                "messages": [
                    USER,
                    {"role": "assistant", "content": [{"type": "thinking", "thinking": "a", "signature": "b"}]},
                    USER,
                ]
            },
            "Invalid `signature`",
        ),
        ({"messages": [{"role": "user", "content": USE["content"]}]}, "`tool_use` blocks are the assistant's"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]}, "text"),
    ],
)
def test_anthropic_refuses_with_400_and_its_error_object(anthropic_url: str, change: dict[str, Any], says: str) -> None:
    answer = ask(anthropic_url, "/v1/messages", {**MESSAGES, **change}, KEYS["anthropic"])
    body = answer.json()
    assert (answer.status_code, body["type"], body["error"]["type"]) == (400, "error", "invalid_request_error")
    assert (body["request_id"], says in body["error"]["message"]) == (answer.headers["request-id"], True)


def test_anthropic_takes_thinking_back_as_it_was() -> None:
    block = {"type": "thinking", "thinking": "a", "signature": signature("a")}
    turns = [USER, {"role": "assistant", "content": [block, {"type": "text", "text": "b"}]}, USER]
    with fake("anthropic") as url:
        assert ask(url, "/v1/messages", {**MESSAGES, "messages": turns}, KEYS["anthropic"]).status_code == 200


@pytest.mark.parametrize(
    ("name", "path", "headers", "status"),
    [
        ("openai", "/v1/chat/completions", {}, 401),
        ("openai", "/v1/chat/completions", {"authorization": "Basic key"}, 401),
        ("openai", "/v1/nothing", KEYS["openai"], 404),
        ("anthropic", "/v1/messages", {"anthropic-version": "2023-06-01"}, 401),
        ("anthropic", "/v1/messages", {"x-api-key": "key"}, 400),
        ("anthropic", "/v1/nothing", KEYS["anthropic"], 404),
    ],
)
def test_what_every_call_needs(name: str, path: str, headers: dict[str, str], status: int) -> None:
    with fake(name) as url:
        assert ask(url, path, {}, headers).status_code == status


def test_only_named_keys_are_let_in() -> None:
    with fake("openai", keys=frozenset({"good"})) as url:
        assert ask(url, "/v1/chat/completions", CHAT, {"authorization": "Bearer good"}).status_code == 200
        assert ask(url, "/v1/chat/completions", CHAT, {"authorization": "Bearer bad"}).status_code == 401


def test_a_limit_is_told_before_and_when_it_is_reached() -> None:
    with fake("openai", Limits(requests_per_minute=1)) as url:
        first = ask(url, "/v1/chat/completions", CHAT, KEYS["openai"])
        second = ask(url, "/v1/chat/completions", CHAT, KEYS["openai"])
    assert (first.headers["x-ratelimit-remaining-requests"], first.headers["x-ratelimit-reset-requests"]) == (
        "0",
        "1m0s",
    )
    assert (second.status_code, second.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert 1 <= int(second.headers["retry-after"]) <= 60
    with fake("anthropic", Limits(requests_per_minute=1)) as url:
        first = ask(url, "/v1/messages", MESSAGES, KEYS["anthropic"])
        second = ask(url, "/v1/messages", MESSAGES, KEYS["anthropic"])
    assert first.headers["anthropic-ratelimit-requests-remaining"] == "0"
    assert (second.status_code, "retry-after" in second.headers) == (429, True)


def test_a_plain_answer_is_cut_in_its_middle() -> None:
    body = {**CHAT, "model": "gpt-fake-truncated"}
    with fake("openai") as url, pytest.raises(httpx.RemoteProtocolError):
        ask(url, "/v1/chat/completions", body, KEYS["openai"])


def test_what_was_asked_is_listed_without_the_values_of_headers() -> None:
    with fake("openai") as url:
        ask(url, "/v1/chat/completions?a=b", {**CHAT, "user": "u"}, {"authorization": "Bearer secret"})
        with httpx.Client(trust_env=False) as client:
            listed = client.get(f"{url}/fake/requests")
    (seen,) = listed.json()
    assert (seen["method"], seen["path"], seen["query"]) == ("POST", "/v1/chat/completions", "a=b")
    assert seen["body"] == {**CHAT, "user": "u"}
    assert "authorization" in seen["header_names"]
    assert "secret" not in listed.text
