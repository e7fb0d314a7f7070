"""The official `anthropic` client against the fake."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic import Anthropic

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER: Any = {"name": "get_weather", "input_schema": CITY}
MODEL = "claude-opus-5"
THINK: Any = {"type": "enabled", "budget_tokens": 1024}


@pytest.fixture
def client(anthropic_url: str) -> Iterator[Anthropic]:
    with Anthropic(base_url=anthropic_url, api_key="key", max_retries=0) as client:
        yield client


def user(content: Any) -> Any:
    return [{"role": "user", "content": content}]


def ask(client: Anthropic, content: Any, model: str = MODEL, stream: bool = False, **more: Any) -> Any:
    arguments: Any = {"model": model, "max_tokens": 2048, "messages": user(content), **more}
    if not stream:
        return client.messages.create(**arguments)
    with client.messages.stream(**arguments) as events:
        return events.get_final_message()


@pytest.mark.parametrize("stream", [False, True])
def test_plain_and_streamed_text(client: Anthropic, stream: bool) -> None:
    answer = ask(client, "hi", stream=stream)
    assert [block.text for block in answer.content] == ["You said: hi"]
    assert (answer.stop_reason, answer.usage.output_tokens) == ("end_turn", 3)


@pytest.mark.parametrize("stream", [False, True])
def test_thinking_and_parallel_calls_go_there_and_back(client: Anthropic, stream: bool) -> None:
    answer = ask(client, "get_weather and get_weather", stream=stream, tools=[WEATHER], thinking=THINK)
    assert [block.type for block in answer.content] == ["thinking", "tool_use", "tool_use"]
    assert [block.input for block in answer.content[1:]] == [{"city": "city"}] * 2
    assert (answer.stop_reason, answer.usage.output_tokens_details.thinking_tokens) == ("tool_use", 9)
    results = [{"type": "tool_result", "tool_use_id": block.id, "content": "sunny"} for block in answer.content[1:]]
    content = [block.model_dump(exclude_none=True) for block in answer.content]
    turns = [*user("get_weather"), {"role": "assistant", "content": content}, *user(results)]
    told = client.messages.create(model=MODEL, max_tokens=2048, messages=turns, tools=[WEATHER], thinking=THINK)
    assert told.content[-1].model_dump()["text"] == "The tools say: sunny; sunny"


def test_images_schemas_stops_and_refusals(client: Anthropic) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    seen = ask(client, [{"type": "text", "text": "look"}, {"type": "image", "source": source}])
    assert seen.content[0].text == "You said: look I see 1 image."
    schema = ask(client, "where", output_config={"format": {"type": "json_schema", "schema": CITY}})
    assert schema.content[0].text == '{"city": "city"}'
    stopped = ask(client, "one two", stop_sequences=["two"])
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "two")
    assert ask(client, "one two three", max_tokens=2).stop_reason == "max_tokens"
    refused = ask(client, "x", model="claude-fake-refusal", stream=True)
    assert (refused.stop_reason, refused.stop_details.category) == ("refusal", "general_harms")


def test_a_marked_beginning_is_written_and_then_read(client: Anthropic) -> None:
    system: Any = [{"type": "text", "text": "word " * 40, "cache_control": {"type": "ephemeral"}}]
    first, second = (ask(client, "hi", model="claude-cached", system=system) for _ in range(2))
    assert (first.usage.cache_creation_input_tokens, first.usage.cache_read_input_tokens) == (41, 0)
    assert (second.usage.cache_creation_input_tokens, second.usage.cache_read_input_tokens) == (0, 41)
    assert first.usage.input_tokens == second.usage.input_tokens


def test_interleaved_reasoning(client: Anthropic) -> None:
    answer = ask(client, "x", model="claude-fake-interleaved", stream=True, tools=[WEATHER])
    assert [block.type for block in answer.content] == ["thinking", "text", "thinking", "text", "tool_use"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("script", "status", "kind"),
    [
        ("bad-key", 401, "authentication_error"),
        ("forbidden", 403, "permission_error"),
        ("no-model", 404, "not_found_error"),
        ("too-long", 400, "invalid_request_error"),
        ("rate-limited", 429, "rate_limit_error"),
        ("no-money", 402, "billing_error"),
        ("overloaded", 529, "overloaded_error"),
        ("timed-out", 504, "timeout_error"),
        ("failed", 500, "api_error"),
    ],
)
def test_errors_before_the_answer(client: Anthropic, script: str, status: int, kind: str, stream: bool) -> None:
    with pytest.raises(anthropic.APIStatusError) as raised:
        ask(client, "hi", model=f"claude-fake-{script}", stream=stream)
    assert (raised.value.status_code, raised.value.type) == (status, kind)
    assert raised.value.request_id is not None


def test_what_goes_wrong_in_a_stream(client: Anthropic) -> None:
    with pytest.raises(anthropic.APIStatusError, match="api_error"):
        ask(client, "hi", model="claude-fake-error-mid-stream", stream=True)
    with pytest.raises(anthropic.APIStatusError, match="overloaded_error"):
        ask(client, "hi", model="claude-fake-overloaded-mid-stream", stream=True)
    with pytest.raises(httpx2.RemoteProtocolError):
        ask(client, "hi", model="claude-fake-truncated", stream=True)
    assert ask(client, "hi", model="claude-fake-unfinished", stream=True).stop_reason is None
    assert ask(client, "hi", model="claude-fake-unknown-finish", stream=True).stop_reason == "moon_phase"
    for script in ("pings", "unknown-event"):
        assert ask(client, "hi", model=f"claude-fake-{script}", stream=True).content[0].text == "You said: hi"


def test_tokens_are_counted_and_models_listed(client: Anthropic) -> None:
    assert client.messages.count_tokens(model=MODEL, messages=user("hi")).input_tokens > 0
    assert MODEL in [model.id for model in client.models.list()]
