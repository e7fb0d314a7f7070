"""The official `mistralai` client against the fake."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from mistralai.client import Mistral, errors, models

from engines.fakes.mistral import shapes
from tests.engines.fakes.test_shapes import ours
from tests.providers.schemas import CITY, FUNCTION, TWICE


@pytest.fixture
def client(mistral_url: str) -> Any:
    return Mistral(api_key="key", server_url=mistral_url)


def user(content: Any = "hi") -> Any:
    return [{"role": "user", "content": content}]


def chunks(client: Any, model: str = "m", text: str = "hi", **more: Any) -> list[Any]:
    return [event.data for event in client.chat.stream(model=model, messages=user(text), **more)]


def test_plain_and_streamed_text(client: Any) -> None:
    plain = client.chat.complete(model="m", messages=user(), random_seed=3)
    assert (plain.choices[0].message.content, plain.choices[0].finish_reason) == ("You said: hi", "stop")
    stream = chunks(client)
    assert "".join(chunk.choices[0].delta.content for chunk in stream) == "You said: hi"
    assert stream[-1].usage.completion_tokens == plain.usage.completion_tokens == 3


def test_thinking_parallel_calls_and_their_results(client: Any) -> None:
    more = {"tools": [FUNCTION], "prompt_mode": "reasoning", "model": "m"}
    message = client.chat.complete(messages=user(TWICE), **more).choices[0].message
    assert message.content[0].thinking[0].text.startswith("The user asks")
    assert [call.function.arguments for call in message.tool_calls] == ['{"city":"city"}'] * 2
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": "sunny", "name": "get_weather"}
        for call in message.tool_calls
    ]
    told = client.chat.complete(messages=[*user(TWICE), message, *results], **more).choices[0].message
    assert told.content[-1].text == "The tools say: sunny; sunny"
    streamed = [
        call
        for chunk in chunks(client, text=TWICE, tools=[FUNCTION])
        for call in chunk.choices[0].delta.tool_calls or ()
    ]
    assert [(call.index, call.function.arguments) for call in streamed] == [
        (0, '{"city":"city"}'),
        (1, '{"city":"city"}'),
    ]


def test_images_and_schemas(client: Any) -> None:
    parts = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": "https://example.com/a.png"}]
    seen = client.chat.complete(model="m", messages=user(parts)).choices[0].message
    assert seen.content == "You said: look I see 1 image."
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": CITY}}
    told = client.chat.complete(model="m", messages=user(), response_format=form).choices[0].message
    assert told.content == '{"city": "city"}'


@pytest.mark.parametrize(
    ("script", "status"),
    [
        *(("bad-key", 401), ("forbidden", 403), ("no-model", 400), ("too-long", 400), ("rate-limited", 429)),
        *(("no-money", 402), ("overloaded", 503), ("timed-out", 504), ("failed", 500)),
    ],
)
def test_errors_before_the_answer(client: Any, script: str, status: int) -> None:
    with pytest.raises(errors.SDKError) as raised:
        chunks(client, f"m-fake-{script}")
    assert raised.value.status_code == status


def test_what_goes_wrong_in_a_stream(client: Any) -> None:
    for script in ("error-mid-stream", "unknown-event"):
        with pytest.raises(errors.ResponseValidationError):
            chunks(client, f"m-fake-{script}")
    with pytest.raises(httpx2.RemoteProtocolError):
        chunks(client, "m-fake-truncated")
    assert chunks(client, "m-fake-unfinished")[-1].choices[0].finish_reason is None
    assert chunks(client, "m-fake-broken-call")[-1].choices[0].finish_reason == "error"


@pytest.mark.parametrize(
    "more",
    [
        {"temperature": 7.0},
        {"messages": [*user(), {"role": "assistant", "content": "x"}]},
        {"messages": [*user(), {"role": "tool", "tool_call_id": "x", "content": "y"}]},
        {"tool_choice": {"type": "function", "function": {"name": "nobody"}}},
    ],
)
def test_a_bad_request_is_refused(client: Any, more: dict[str, Any]) -> None:
    with pytest.raises(errors.HTTPValidationError):
        client.chat.complete(**{"model": "m", "messages": user(), **more})


def test_embeddings_and_models(client: Any) -> None:
    assert len(client.embeddings.create(model="e", inputs=["a"]).data[0].embedding) == 1024
    assert "mistral-embed" in [model.id for model in client.models.list().data]


@pytest.mark.parametrize(
    ("struct", "model"),
    [
        (shapes.ChatCreate, models.ChatCompletionRequest),
        (shapes.EmbeddingCreate, models.EmbeddingRequest),
        (shapes.AssistantMessage, models.AssistantMessage),
        (shapes.ToolMessage, models.ToolMessage),
        (shapes.ToolCall, models.ToolCall),
        (shapes.Function, models.Function),
        (shapes.JsonSchema, models.JSONSchema),
        (shapes.ThinkChunk, models.ThinkChunk),
    ],
)
def test_what_is_taken_is_what_the_sdk_sends(struct: Any, model: Any) -> None:
    assert ours(struct) == {
        field.serialization_alias or field.alias or name for name, field in model.model_fields.items()
    }
