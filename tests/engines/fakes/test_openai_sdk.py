"""The official `openai` client against the fake."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionChunk

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER: Any = {"type": "function", "function": {"name": "get_weather", "parameters": CITY, "strict": True}}
FLAT: Any = {"type": "function", "name": "get_weather", "parameters": CITY, "strict": True}
PIXEL = "data:image/png;base64,iVBORw0KGgo="


@pytest.fixture
def client(openai_url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{openai_url}/v1", api_key="key", max_retries=0) as client:
        yield client


def user(text: str) -> Any:
    return [{"role": "user", "content": text}]


def streamed(client: OpenAI, text: str, model: str = "gpt-5", **more: Any) -> list[ChatCompletionChunk]:
    options: Any = {"include_usage": True}
    return list(
        client.chat.completions.create(model=model, messages=user(text), stream=True, stream_options=options, **more)
    )


def test_a_plain_chat(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="gpt-5", messages=user("hi"), n=2)
    assert [choice.message.content for choice in answer.choices] == ["You said: hi"] * 2
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 6


def test_a_streamed_chat_says_the_same_and_ends_with_usage(client: OpenAI) -> None:
    chunks = streamed(client, "hi there")
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert (text, chunks[-2].choices[0].finish_reason) == ("You said: hi there", "stop")
    assert [chunk.usage is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


def test_parallel_calls_and_their_results(client: OpenAI) -> None:
    question = user("get_weather and get_weather")
    answer = client.chat.completions.create(model="gpt-5", messages=question, tools=[WEATHER])
    message = answer.choices[0].message
    calls = message.tool_calls or []
    assert [(call.type, call.function.arguments) for call in calls if call.type == "function"] == [
        ("function", '{"city":"city"}')
    ] * 2
    assert answer.choices[0].finish_reason == "tool_calls"
    results = [{"role": "tool", "tool_call_id": call.id, "content": f"sunny {at}"} for at, call in enumerate(calls)]
    turns: Any = [*question, message.model_dump(exclude_none=True, exclude={"annotations"}), *results]
    told = client.chat.completions.create(model="gpt-5", messages=turns, tools=[WEATHER])
    assert told.choices[0].message.content == "The tools say: sunny 0; sunny 1"


def test_streamed_calls(client: OpenAI) -> None:
    found: dict[int, list[str]] = {}
    for chunk in streamed(client, "get_weather and get_weather", tools=[WEATHER]):
        for call in (chunk.choices[0].delta.tool_calls or []) if chunk.choices else []:
            assert call.function is not None
            found.setdefault(call.index, [call.function.name or "", ""])[1] += call.function.arguments or ""
    assert found == {at: ["get_weather", '{"city":"city"}'] for at in (0, 1)}


def test_images_schemas_and_refusals(client: OpenAI) -> None:
    content: Any = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": PIXEL}}]
    seen = client.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": content}])
    assert seen.choices[0].message.content == "You said: look I see 1 image."
    form: Any = {"type": "json_schema", "json_schema": {"name": "place", "schema": CITY, "strict": True}}
    told = client.chat.completions.create(model="gpt-5", messages=user("where"), response_format=form)
    assert told.choices[0].message.content == '{"city": "city"}'
    refused = client.chat.completions.create(model="gpt-fake-refusal", messages=user("x"))
    assert (refused.choices[0].message.content, refused.choices[0].message.refusal) == (
        None,
        "I cannot help with that.",
    )


def test_reasoning_and_a_cached_beginning_are_counted(client: OpenAI) -> None:
    turns: Any = [{"role": "system", "content": "word " * 40}, *user("hi")]
    answers = [
        client.chat.completions.create(model="gpt-cached", messages=turns, reasoning_effort="high") for _ in range(2)
    ]
    details = [answer.usage.prompt_tokens_details for answer in answers if answer.usage]
    assert [detail.cached_tokens for detail in details if detail] == [0, 41]  # with the beginning of the message
    usage = answers[0].usage
    assert usage is not None
    assert usage.completion_tokens_details is not None
    assert usage.completion_tokens_details.reasoning_tokens == 9


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("script", "error", "code"),
    [
        ("bad-key", openai.AuthenticationError, "invalid_api_key"),
        ("forbidden", openai.PermissionDeniedError, None),
        ("no-model", openai.NotFoundError, "model_not_found"),
        ("too-long", openai.BadRequestError, "context_length_exceeded"),
        ("rate-limited", openai.RateLimitError, "rate_limit_exceeded"),
        ("no-money", openai.RateLimitError, "insufficient_quota"),
        ("overloaded", openai.InternalServerError, "overloaded"),
        ("timed-out", openai.InternalServerError, "timeout"),
        ("failed", openai.InternalServerError, None),
    ],
)
def test_errors_before_the_answer(
    client: OpenAI, script: str, error: type[openai.APIStatusError], code: str | None, stream: bool
) -> None:
    with pytest.raises(error) as raised:
        client.chat.completions.create(model=f"gpt-fake-{script}", messages=user("hi"), stream=stream)
    assert raised.value.code == code
    assert raised.value.request_id is not None


def test_what_goes_wrong_in_a_stream(client: OpenAI) -> None:
    with pytest.raises(openai.APIError, match=r"It broke half-way\."):
        streamed(client, "hi", "gpt-fake-error-mid-stream")
    with pytest.raises(openai.APIConnectionError):
        streamed(client, "hi", "gpt-fake-truncated")
    unfinished = streamed(client, "hi", "gpt-fake-unfinished")
    assert [chunk.choices[0].finish_reason for chunk in unfinished] == [None] * len(unfinished)
    odd = streamed(client, "hi", "gpt-fake-unknown-finish")
    assert str(odd[-2].choices[0].finish_reason) == "moon_phase"
    pings = streamed(client, "hi", "gpt-fake-pings")
    assert "".join(chunk.choices[0].delta.content or "" for chunk in pings if chunk.choices) == "You said: hi"


def test_a_plain_and_a_streamed_response(client: OpenAI) -> None:
    plain = client.responses.create(model="gpt-5", input="hi", store=False)
    with client.responses.stream(model="gpt-5", input="hi", store=False) as stream:
        assert (plain.output_text, stream.get_final_response().output_text) == ("You said: hi", "You said: hi")
    cut = client.responses.create(model="gpt-5", input="many words are here " * 9, max_output_tokens=16)
    assert (cut.status, cut.incomplete_details and cut.incomplete_details.reason) == ("incomplete", "max_output_tokens")


def test_a_response_with_reasoning_and_calls_goes_on(client: OpenAI) -> None:
    more: Any = {"tools": [FLAT], "reasoning": {"effort": "high"}, "store": False, "model": "gpt-5"}
    with client.responses.stream(input="get_weather and get_weather", **more) as stream:
        answer = stream.get_final_response()
    assert [item.type for item in answer.output] == ["reasoning", "function_call", "function_call"]
    calls = [item for item in answer.output if item.type == "function_call"]
    assert [call.arguments for call in calls] == ['{"city":"city"}'] * 2
    turns: Any = [
        {"role": "user", "content": "get_weather"},
        *(item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in answer.output),
        *({"type": "function_call_output", "call_id": call.call_id, "output": "sunny"} for call in calls),
    ]
    assert client.responses.create(input=turns, **more).output_text == "The tools say: sunny; sunny"


def test_errors_of_a_streamed_response(client: OpenAI) -> None:
    events = list(client.responses.create(model="gpt-fake-error-mid-stream", input="hi", stream=True))
    assert (events[-1].type, events[-1].type == "error" and events[-1].message) == ("error", "It broke half-way.")
    broken = client.responses.create(model="gpt-fake-broken-call", input="hi")
    assert (broken.status, broken.error and broken.error.code) == ("failed", "server_error")


def test_completions_embeddings_and_models(client: OpenAI) -> None:
    assert client.completions.create(model="gpt-5", prompt="hi").choices[0].text == "You said: hi"
    chunks = client.completions.create(model="gpt-5", prompt="hi", stream=True)
    assert "".join(chunk.choices[0].text for chunk in chunks) == "You said: hi"
    packed = client.embeddings.create(model="e", input=["a b", "a"], dimensions=8)
    plain = client.embeddings.create(model="e", input=["a b", "a"], dimensions=8, encoding_format="float")
    assert [[round(value, 6) for value in one.embedding] for one in packed.data] == [
        [round(value, 6) for value in one.embedding] for one in plain.data
    ]
    assert "gpt-5-mini" in [model.id for model in client.models.list()]


def test_the_input_of_a_response_is_counted(client: OpenAI) -> None:
    short = client.responses.input_tokens.count(model="gpt-5", input="hi")
    tool: Any = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}
    long = client.responses.input_tokens.count(model="gpt-5", input="hi", tools=[tool])
    assert 0 < short.input_tokens < long.input_tokens


@pytest.mark.parametrize(
    ("wish", "param"),
    [
        ({"conversation": "c"}, "conversation"),
        ({"tool_choice": {"type": "function", "name": "weather"}}, "tool_choice"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}, "input"),
    ],
)
def test_what_cannot_be_counted_is_refused(client: OpenAI, wish: Any, param: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.responses.input_tokens.count(**{"model": "gpt-5", "input": "hi", **wish})
    assert refused.value.param == param
