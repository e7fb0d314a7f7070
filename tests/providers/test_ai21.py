"""The official `ai21` client against the fake."""

from __future__ import annotations

import inspect
from typing import Any

import ai21
import httpx
import pydantic
import pytest
from ai21.clients.studio.resources.chat.base_chat_completions import BaseChatCompletions
from ai21.errors import AI21APIError, UnprocessableEntity
from ai21.models.chat import ToolMessage, UserMessage

from engines.fakes.ai21 import shapes
from tests.engines.fakes.test_shapes import ours
from tests.providers.schemas import FUNCTION, TWICE


@pytest.fixture
def chat(ai21_url: str) -> Any:
    return ai21.AI21Client(api_key="key", api_host=f"{ai21_url}/studio/v1", num_retries=1).chat.completions


def user(text: str = "hi") -> Any:
    return [UserMessage(content=text)]


def chunks(chat: Any, model: str = "jamba-mini", text: str = "hi", **more: Any) -> list[Any]:
    return list(chat.create(model=model, messages=user(text), stream=True, **more))


def test_plain_and_streamed_text(chat: Any) -> None:
    plain = chat.create(model="jamba-mini", messages=user(), n=2)
    assert [choice.message.content for choice in plain.choices] == ["You said: hi"] * 2
    stream = chunks(chat)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "You said: hi"
    assert (stream[-1].choices[0].finish_reason, stream[-1].usage.completion_tokens) == ("stop", 3)


def test_parallel_calls_and_their_results(chat: Any) -> None:
    message = chat.create(model="m", messages=user(TWICE), tools=[FUNCTION]).choices[0].message
    assert [call.function.arguments for call in message.tool_calls] == ['{"city":"city"}'] * 2
    results = [ToolMessage(tool_call_id=call.id, content="sunny") for call in message.tool_calls]
    told = chat.create(model="m", messages=[*user(TWICE), message, *results], tools=[FUNCTION])
    assert told.choices[0].message.content == "The tools say: sunny; sunny"


def test_json_objects_alone(chat: Any) -> None:
    told = chat.create(model="m", messages=user("x"), response_format={"type": "json_object"})
    assert told.choices[0].message.content == '{"answer": "x"}'
    with pytest.raises(UnprocessableEntity):
        chat.create(model="m", messages=user("x"), response_format={"type": "json_schema"})


@pytest.mark.parametrize(
    ("script", "status"),
    [
        *(("bad-key", 401), ("forbidden", 403), ("no-model", 404), ("too-long", 422), ("rate-limited", 429)),
        *(("no-money", 402), ("overloaded", 503), ("timed-out", 408), ("failed", 500)),
    ],
)
def test_errors_before_the_answer(chat: Any, script: str, status: int) -> None:
    with pytest.raises(AI21APIError) as raised:
        chunks(chat, f"m-fake-{script}")
    assert raised.value.status_code == status


def test_what_goes_wrong_in_a_stream(chat: Any) -> None:
    with pytest.raises(pydantic.ValidationError):
        chunks(chat, "m-fake-error-mid-stream")
    with pytest.raises(httpx.RemoteProtocolError):
        chunks(chat, "m-fake-truncated")
    assert chunks(chat, "m-fake-unfinished")[-1].choices[0].finish_reason is None


@pytest.mark.parametrize(
    "more",
    [
        {"top_k": 3},
        {"temperature": 3.0},
        {"stream": True, "n": 2},
        {"messages": [*user(), ToolMessage(tool_call_id="x", content="y")]},
    ],
)
def test_a_bad_request_is_refused(chat: Any, more: dict[str, Any]) -> None:
    with pytest.raises(UnprocessableEntity):
        chat.create(**{"model": "m", "messages": user(), **more})


def test_what_is_taken_is_what_the_sdk_sends() -> None:
    sent = set(inspect.signature(BaseChatCompletions._create_body).parameters)
    assert ours(shapes.ChatCreate) == sent - {"self", "kwargs"}
