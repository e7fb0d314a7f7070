"""The OpenAI SDK against real vLLM through the gateway: what an app developer does after changing one `base_url`."""

from __future__ import annotations

import json
from typing import Any

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

from tests.vllm.stack import KEY

pytestmark = pytest.mark.vllm

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]
# Greedy and never ended by a random end-of-sequence token: token counts are exact.
EXACT = {"ignore_eos": True, "top_k": 1}
# Greedy would repeat white space, which the grammar allows, for ever.
TOOL_CALL: Any = {"max_tokens": 1000, "temperature": 1, "seed": 4}
CITY: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather of a city",
        "strict": True,  # else vLLM leaves the schema to the model, and a random one says `null`
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


def test_a_plain_answer_is_vllms_own(client: openai.OpenAI, vllm_url: str) -> None:
    ours = client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=8, extra_body=EXACT)
    body = {"model": "tiny", "messages": HELLO, "max_tokens": 8, **EXACT}
    theirs = httpx.post(f"{vllm_url}/v1/chat/completions", json=body, timeout=60).raise_for_status().json()
    passed = {**ours.model_dump(), "id": theirs["id"], "created": theirs["created"]}
    assert passed["choices"][0]["message"]["content"] == theirs["choices"][0]["message"]["content"]
    assert {key: passed[key] for key in theirs if key not in {"choices", "usage"}} == {
        key: value for key, value in theirs.items() if key not in {"choices", "usage"}
    }
    assert ours.usage
    assert ours.usage.completion_tokens == 8


def test_the_answer_tells_where_it_came_from(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="tiny", messages=HELLO, max_tokens=1, extra_headers={"x-request-id": "real-vllm-1"}
    )
    assert raw.headers["x-request-id"] == "real-vllm-1"
    assert raw.headers["x-penstock-engine"] == "local"
    assert raw.headers["x-penstock-attempts"] == "1"
    assert float(raw.headers["x-penstock-overhead-ms"]) >= 0


def test_a_stream_without_usage_asked_for_shows_none(client: openai.OpenAI) -> None:
    with client.chat.completions.create(
        model="tiny", messages=HELLO, max_tokens=5, stream=True, extra_body=EXACT
    ) as stream:
        chunks = list(stream)
    assert [chunk for chunk in chunks if chunk.usage is not None or not chunk.choices] == []
    assert chunks[-1].choices[0].finish_reason == "length"
    assert sum(bool(chunk.choices[0].delta.content) for chunk in chunks) <= 5


def test_a_stream_with_usage_asked_for_ends_with_it(client: openai.OpenAI) -> None:
    with client.chat.completions.create(
        model="tiny",
        messages=HELLO,
        max_tokens=5,
        stream=True,
        stream_options={"include_usage": True},
        extra_body=EXACT,
    ) as stream:
        chunks = list(stream)
    assert chunks[-1].choices == []
    assert chunks[-1].usage
    assert chunks[-1].usage.completion_tokens == 5
    assert chunks[-2].choices[0].finish_reason == "length"


def test_streamed_and_plain_answers_say_the_same(client: openai.OpenAI) -> None:
    plain = client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=20, extra_body=EXACT)
    with client.chat.completions.create(
        model="tiny", messages=HELLO, max_tokens=20, stream=True, extra_body=EXACT
    ) as stream:
        streamed = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    assert streamed == plain.choices[0].message.content


@pytest.mark.anyio
async def test_the_async_client_streams(gateway_url: str) -> None:
    async with (
        openai.AsyncOpenAI(base_url=f"{gateway_url}/v1", api_key=KEY, max_retries=0, timeout=60) as client,
        await client.chat.completions.create(
            model="tiny", messages=HELLO, max_tokens=5, stream=True, extra_body=EXACT
        ) as stream,
    ):
        chunks = [chunk async for chunk in stream]
    assert chunks[-1].choices[0].finish_reason == "length"


def test_completions(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="tiny", prompt="hello", max_tokens=4, extra_body=EXACT)
    assert answer.object == "text_completion"
    assert answer.usage
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3, 4)


def test_streamed_completions(client: openai.OpenAI) -> None:
    with client.completions.create(model="tiny", prompt="hello", max_tokens=4, stream=True, extra_body=EXACT) as stream:
        chunks = list(stream)
    assert [chunk for chunk in chunks if not chunk.choices] == []
    assert chunks[-1].choices[0].finish_reason == "length"


def test_responses(client: openai.OpenAI) -> None:
    answer = client.responses.create(model="tiny", input="hello", max_output_tokens=4, extra_body=EXACT)
    assert answer.object == "response"
    assert answer.usage
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (5, 4)
    assert answer.output_text != ""


def test_streamed_responses(client: openai.OpenAI) -> None:
    with client.responses.create(
        model="tiny", input="hello", max_output_tokens=4, stream=True, extra_body=EXACT
    ) as stream:
        events = list(stream)
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    assert events[-1].response.usage
    assert events[-1].response.usage.output_tokens == 4
    assert [event.sequence_number for event in events] == list(range(len(events)))


def test_a_tool_that_is_asked_for_is_called(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="tiny",
        messages=HELLO,
        tools=[CITY],
        tool_choice={"type": "function", "function": {"name": "weather"}},
        **TOOL_CALL,
    )
    (call,) = answer.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert call.function.name == "weather"
    assert json.loads(call.function.arguments)["city"] in {"Paris", "Rome"}


def test_a_tool_call_is_streamed(client: openai.OpenAI) -> None:
    with client.chat.completions.create(
        model="tiny",
        messages=HELLO,
        tools=[CITY],
        tool_choice={"type": "function", "function": {"name": "weather"}},
        **TOOL_CALL,
        stream=True,
    ) as stream:
        deltas = [chunk.choices[0].delta for chunk in stream]
    calls = [call.function for delta in deltas for call in delta.tool_calls or [] if call.function]
    assert [call.name for call in calls if call.name] == ["weather"]
    assert json.loads("".join(call.arguments or "" for call in calls))["city"] in {"Paris", "Rome"}


def test_vllms_own_fields_pass(client: openai.OpenAI) -> None:
    extras: dict[str, Any] = {
        "min_p": 0.01,
        "chat_template_kwargs": {"enable_thinking": False},
        "structured_outputs": {"choice": ["yes", "no"]},
        "return_token_ids": True,
        "a_field_nobody_knows": {"nested": [1, 2]},
    }
    answer = client.chat.completions.create(model="tiny", messages=HELLO, max_tokens=20, extra_body=extras)
    assert answer.choices[0].message.content in {"yes", "no"}
    assert (answer.choices[0].model_extra or {})["token_ids"]  # and what they ask for comes back


def test_tokenize_and_detokenize(gateway_url: str) -> None:
    with httpx.Client(base_url=gateway_url, headers={"authorization": f"Bearer {KEY}"}) as http:
        answer = http.post("/tokenize", json={"model": "tiny", "prompt": "hello"}).raise_for_status().json()
        assert (answer["count"], answer["max_model_len"]) == (3, 4096)
        back = http.post("/detokenize", json={"model": "tiny", "tokens": answer["tokens"]}).raise_for_status()
    assert back.json() == {"prompt": "hello"}


def test_the_model_is_listed(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").id == "tiny"
