"""The official `google-genai` client against the fake."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from google import genai
from google.auth.credentials import Credentials
from google.genai import errors, types
from pydantic import BaseModel

from engines.fakes.gemini import shapes
from tests.engines.fakes.test_shapes import ours
from tests.providers.schemas import CITY, TWICE

TOOL = types.Tool(function_declarations=[types.FunctionDeclaration(name="get_weather", parameters_json_schema=CITY)])
ONCE = types.HttpRetryOptions(attempts=1)


class Place(BaseModel):
    city: str
    people: int


@pytest.fixture
def models(gemini_url: str) -> Iterator[Any]:
    options = types.HttpOptions(base_url=gemini_url, retry_options=ONCE)
    with genai.Client(api_key="key", http_options=options) as client:  # which closes when it is collected
        yield client.models


def config(**members: Any) -> types.GenerateContentConfig:
    off = types.AutomaticFunctionCallingConfig(disable=True)
    return types.GenerateContentConfig(automatic_function_calling=off, **members)


def streamed(models: Any, text: str, model: str = "gemini-3-pro", **members: Any) -> list[Any]:
    return list(models.generate_content_stream(model=model, contents=text, config=config(**members)))


def test_plain_and_streamed_text(models: Any) -> None:
    plain = models.generate_content(model="gemini-3-pro", contents="hi there", config=config(temperature=0.5, top_k=4))
    assert (plain.text, plain.candidates[0].finish_reason.value) == ("You said: hi there", "STOP")
    chunks = streamed(models, "hi there")
    assert "".join(chunk.text for chunk in chunks) == "You said: hi there"
    assert chunks[-1].usage_metadata.candidates_token_count == plain.usage_metadata.candidates_token_count == 4


@pytest.mark.parametrize("stream", [False, True])
def test_signed_parallel_calls_and_their_results(models: Any, stream: bool) -> None:
    thinking = types.ThinkingConfig(include_thoughts=True, thinking_level="HIGH")
    if stream:
        answers = streamed(models, TWICE, tools=[TOOL], thinking_config=thinking)
    else:
        cfg = config(tools=[TOOL], thinking_config=thinking)
        answers = [models.generate_content(model="gemini-3-pro", contents=TWICE, config=cfg)]
    parts = [part for answer in answers for part in answer.candidates[0].content.parts]
    calls = [part for part in parts if part.function_call]
    assert [(part.function_call.args, part.thought_signature is not None) for part in calls] == [
        ({"city": "city"}, True),
        ({"city": "city"}, False),
    ]
    assert "".join(part.text for part in parts if part.thought).startswith("The user asks")
    assert answers[-1].usage_metadata.thoughts_token_count == 9
    results = [
        types.Part(function_response=types.FunctionResponse(name=part.function_call.name, response={"output": "sunny"}))
        for part in calls
    ]
    turns = [types.Content(role="user", parts=[types.Part(text=TWICE)]), types.Content(role="model", parts=calls)]
    turns.append(types.Content(role="user", parts=results))
    told = models.generate_content(model="gemini-3-pro", contents=turns, config=config(tools=[TOOL]))
    assert told.text == 'The tools say: {"output":"sunny"}; {"output":"sunny"}'
    unsigned = [types.Part(function_call=part.function_call) for part in calls]
    turns[1] = types.Content(role="model", parts=unsigned)
    with pytest.raises(errors.ClientError, match="missing a thought_signature"):
        models.generate_content(model="gemini-3-pro", contents=turns, config=config(tools=[TOOL]))
    assert models.generate_content(model="gemini-2.5-pro", contents=turns, config=config(tools=[TOOL])).text


def test_images_and_schemas_of_both_kinds(models: Any) -> None:
    image = types.Part.from_bytes(data=b"abc", mime_type="image/png")
    seen = models.generate_content(model="gemini-3-pro", contents=[image, "look"])
    assert seen.text == "You said: look I see 1 image."
    as_json = {"response_mime_type": "application/json"}
    told = models.generate_content(model="m", contents="x", config=config(response_json_schema=CITY, **as_json))
    assert told.text == '{"city": "city"}'
    parsed = models.generate_content(model="m", contents="x", config=config(response_schema=Place, **as_json))
    assert parsed.parsed == Place(city="city", people=1)


@pytest.mark.parametrize(
    ("script", "code", "status"),
    [
        ("bad-key", 401, "UNAUTHENTICATED"),
        ("forbidden", 403, "PERMISSION_DENIED"),
        ("no-model", 404, "NOT_FOUND"),
        ("too-long", 400, "INVALID_ARGUMENT"),
        ("rate-limited", 429, "RESOURCE_EXHAUSTED"),
        ("no-money", 429, "RESOURCE_EXHAUSTED"),
        ("overloaded", 503, "UNAVAILABLE"),
        ("timed-out", 504, "DEADLINE_EXCEEDED"),
        ("failed", 500, "INTERNAL"),
    ],
)
def test_errors_before_the_answer(models: Any, script: str, code: int, status: str) -> None:
    with pytest.raises(errors.APIError) as raised:
        streamed(models, "hi", f"gemini-fake-{script}")
    assert (raised.value.code, raised.value.status) == (code, status)


def test_what_goes_wrong_in_a_stream(models: Any) -> None:
    with pytest.raises(errors.ServerError, match="It broke half-way"):
        streamed(models, "hi", "gemini-fake-error-mid-stream")
    with pytest.raises(httpx2.RemoteProtocolError):
        streamed(models, "hi", "gemini-fake-truncated")
    ends = {
        script: streamed(models, "hi", f"gemini-fake-{script}")[-1].candidates[0].finish_reason
        for script in ("unfinished", "filtered", "broken-call")
    }
    assert {name: end and end.value for name, end in ends.items()} == {
        "unfinished": None,
        "filtered": "SAFETY",
        "broken-call": "MALFORMED_FUNCTION_CALL",
    }
    (blocked,) = streamed(models, "hi", "gemini-fake-blocked")
    assert blocked.prompt_feedback.block_reason.value == "PROHIBITED_CONTENT"


def test_a_bad_request_is_refused(models: Any) -> None:
    with pytest.raises(errors.ClientError, match="response_mime_type"):
        models.generate_content(model="m", contents="x", config=config(response_json_schema=CITY))
    with pytest.raises(errors.ClientError, match="temperature"):
        models.generate_content(model="m", contents="x", config=config(temperature=9))


def test_tokens_and_embeddings(models: Any) -> None:
    assert models.count_tokens(model="m", contents="hi").total_tokens > 0
    answer = models.embed_content(model="e", contents=["a", "b"], config={"output_dimensionality": 8})
    assert [len(one.values) for one in answer.embeddings] == [8, 8]


class Token(Credentials):  # type: ignore[misc]  # the library is not typed
    def __init__(self) -> None:
        super().__init__()
        self.token = "token"

    def refresh(self, request: object) -> None: ...


def test_vertex_speaks_the_same_with_a_token(gemini_url: str) -> None:
    options = types.HttpOptions(base_url=gemini_url, retry_options=ONCE)
    client = genai.Client(vertexai=True, project="p", location="l", credentials=Token(), http_options=options)
    assert client.models.generate_content(model="gemini-3-pro", contents="hi").text == "You said: hi"


@pytest.mark.parametrize(
    ("struct", "model"),
    [
        (shapes.Part, types.Part),
        (shapes.FunctionCall, types.FunctionCall),
        (shapes.FunctionResponse, types.FunctionResponse),
        (shapes.FunctionDeclaration, types.FunctionDeclaration),
        (shapes.Schema, types.Schema),
        (shapes.ThinkingConfig, types.ThinkingConfig),
        (shapes.GenerationConfig, types.GenerationConfig),
    ],
)
def test_every_member_that_is_taken_is_one_of_the_sdk(struct: Any, model: Any) -> None:
    assert ours(struct) - {field.alias or name for name, field in model.model_fields.items()} == set()
