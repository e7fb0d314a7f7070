"""The official `cohere` client against the fake."""

from __future__ import annotations

import inspect
from typing import Any

import cohere
import httpx
import pytest
from cohere.v2.client import V2Client

from engines.fakes.cohere import shapes
from tests.engines.fakes.test_shapes import ours
from tests.providers.schemas import CITY, FUNCTION, TWICE

ONCE: Any = {"max_retries": 0}


@pytest.fixture
def client(cohere_url: str) -> Any:
    return cohere.ClientV2(api_key="key", base_url=cohere_url)


def user(content: Any = "hi") -> Any:
    return [{"role": "user", "content": content}]


def events(client: Any, model: str = "command-a", text: str = "hi", **more: Any) -> list[Any]:
    return list(client.chat_stream(model=model, messages=user(text), request_options=ONCE, **more))


def test_plain_and_streamed_text(client: Any) -> None:
    plain = client.chat(model="command-a", messages=user(), k=3, p=0.5, seed=1)
    assert (plain.message.content[0].text, plain.finish_reason) == ("You said: hi", "COMPLETE")
    stream = events(client)
    text = "".join(one.delta.message.content.text for one in stream if one.type == "content-delta")
    assert (text, stream[-1].delta.finish_reason) == ("You said: hi", "COMPLETE")
    assert stream[-1].delta.usage.tokens.output_tokens == plain.usage.tokens.output_tokens == 3.0


def test_thinking_parallel_calls_and_their_results(client: Any) -> None:
    thinking: Any = {"type": "enabled"}
    answer = client.chat(model="m", messages=user(TWICE), tools=[FUNCTION], thinking=thinking).message
    assert (answer.content[0].type, answer.tool_plan) == ("thinking", "I will use the tools.")
    assert [call.function.arguments for call in answer.tool_calls] == ['{"city":"city"}'] * 2
    results = [{"role": "tool", "tool_call_id": call.id, "content": "sunny"} for call in answer.tool_calls]
    turns = [*user(TWICE), answer.model_dump(exclude_none=True), *results]
    told = client.chat(model="m", messages=turns, tools=[FUNCTION], thinking=thinking)
    assert told.message.content[-1].text == "The tools say: sunny; sunny"
    found: dict[int, str] = {}
    for one in events(client, text=TWICE, tools=[FUNCTION]):
        if one.type == "tool-call-delta":
            found[one.index] = found.get(one.index, "") + one.delta.message.tool_calls.function.arguments
    assert found == {0: '{"city":"city"}', 1: '{"city":"city"}'}


def test_images_and_schemas(client: Any) -> None:
    parts = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,YQ=="}},
    ]
    seen = client.chat(model="m", messages=user(parts))
    assert seen.message.content[0].text == "You said: look I see 1 image."
    form: Any = {"type": "json_object", "json_schema": CITY}
    told = client.chat(model="m", messages=user(), response_format=form)
    assert told.message.content[0].text == '{"city": "city"}'


@pytest.mark.parametrize(
    ("script", "status"),
    [
        *(("bad-key", 401), ("forbidden", 403), ("no-model", 404), ("too-long", 400), ("rate-limited", 429)),
        *(("no-money", 402), ("overloaded", 503), ("timed-out", 504), ("failed", 500), ("blocked", 498)),
    ],
)
def test_errors_before_the_answer(client: Any, script: str, status: int) -> None:
    with pytest.raises(cohere.core.ApiError) as raised:
        events(client, f"c-fake-{script}")
    assert (raised.value.status_code, "message" in raised.value.body) == (status, True)


def test_what_goes_wrong_in_a_stream(client: Any) -> None:
    broken = events(client, "c-fake-error-mid-stream")[-1]
    assert (broken.delta.finish_reason, broken.delta.error) == ("ERROR", "It broke half-way.")
    with pytest.raises(httpx.RemoteProtocolError):
        events(client, "c-fake-truncated")
    assert events(client, "c-fake-unfinished")[-1].type == "content-end"
    assert events(client, "c-fake-unknown-finish")[-1].delta.finish_reason == "MOON_PHASE"


@pytest.mark.parametrize(
    "more",
    [
        {"temperature": 2.0},
        {"tool_choice": "REQUIRED"},
        {"response_format": {"type": "json_object"}, "tools": [FUNCTION]},
        {"messages": [*user(), {"role": "tool", "tool_call_id": "x", "content": "y"}]},
    ],
)
def test_a_bad_request_is_refused(client: Any, more: dict[str, Any]) -> None:
    with pytest.raises(cohere.UnprocessableEntityError):
        client.chat(**{"model": "m", "messages": user(), **more})


def test_rerank_and_embed(client: Any) -> None:
    best = client.rerank(model="r", query="a b", documents=["c", "b", "a b"], top_n=2).results
    assert [one.index for one in best] == [2, 1]
    embedded = client.embed(model="e", texts=["a"], input_type="search_query", embedding_types=["float"])
    assert len(embedded.embeddings.float_[0]) == 1024


@pytest.mark.parametrize(
    ("struct", "method"),
    [(shapes.ChatCreate, "chat_stream"), (shapes.EmbedCreate, "embed"), (shapes.RerankCreate, "rerank")],
)
def test_what_is_taken_is_what_the_sdk_sends(struct: Any, method: str) -> None:
    sent = set(inspect.signature(getattr(V2Client, method)).parameters)
    assert ours(struct) - {"stream"} == sent - {"self", "request_options"}
