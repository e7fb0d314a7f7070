"""Embeddings and rerank: what each official SDK sends is what we send, and its reading of a fake's answer is ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import cohere
import httpx
import openai
import pytest
from google import genai
from google.auth.credentials import Credentials
from google.genai import types
from mistralai.client import Mistral

from engines.fakes.bedrock.provider import SECRETS
from engines.model import Operation
from engines.wire.bulk import finished
from engines.wire.unary import requests
from engines.wire.unary.forms import FORMS
from engines.wire.unary.port import UnaryForm
from tests.engines.fakes.served import serving
from tests.providers.calls.heard import Ear
from tests.scenario.gateway import KEY, one_model, running_gateway

TEXTS = ["rain in Oslo", "sun in Rome"]
DOCUMENTS = ["a dog barks", "a cat sleeps"]
TITAN = "amazon.titan-embed-text-v2:0"
Say = Callable[[str], Any]
"""Calls the server at a URL, as the SDK's documentation has it, and returns what it reads."""


class Token(Credentials):  # type: ignore[misc]  # the library is not typed
    def __init__(self) -> None:
        super().__init__()
        self.token = "token"

    def refresh(self, request: object) -> None: ...


def google(url: str, **more: Any) -> list[list[float]]:
    vertex = more.pop("vertex", False)
    once = types.HttpRetryOptions(attempts=1)
    options = types.HttpOptions(base_url=url, api_version="v1" if vertex else "v1beta", retry_options=once)
    who: dict[str, Any] = {"api_key": "k"}
    if vertex:
        who = {"vertexai": True, "project": "p", "location": "l", "credentials": Token()}
    with genai.Client(http_options=options, **who) as client:
        told = client.models.embed_content(**more)
    return [one.values for one in told.embeddings or () if one.values is not None]


def of_cohere(url: str) -> cohere.ClientV2:
    return cohere.ClientV2(api_key="k", base_url=url, httpx_client=httpx.Client())


def cohere_embed(url: str) -> Any:
    once: Any = {"max_retries": 0}
    told = of_cohere(url).embed(
        model="m",
        texts=TEXTS,
        input_type="search_query",
        embedding_types=["float"],
        output_dimension=256,
        request_options=once,
    )
    return told.embeddings.float_


def cohere_rerank(url: str) -> Any:
    once: Any = {"max_retries": 0}
    told = of_cohere(url).rerank(model="m", query="a cat", documents=DOCUMENTS, top_n=1, request_options=once)
    return [(one.index, one.relevance_score) for one in told.results]


def mistral_embed(url: str) -> Any:
    with Mistral(api_key="k", server_url=url) as client:
        told = client.embeddings.create(model="m", inputs=TEXTS, output_dimension=8)
    return [one.embedding for one in told.data]


def invoked(url: str, model: str, body: Any) -> Any:
    ((key_id, secret),) = SECRETS.items()
    keys = {"aws_access_key_id": key_id, "aws_secret_access_key": secret}
    client = boto3.client("bedrock-runtime", endpoint_url=url, region_name="r", **keys)
    return json.loads(client.invoke_model(modelId=model, body=json.dumps(body))["body"].read())


CASES: dict[str, tuple[str, str, UnaryForm, str, dict[str, Any], Say]] = {
    "gemini": (
        "gemini",
        "/v1beta",
        FORMS[Operation.EMBEDDINGS]["gemini"],
        "m",
        {"input": TEXTS, "dimensions": 8, "task_type": "CLUSTERING"},
        lambda url: google(
            url, model="m", contents=TEXTS, config={"output_dimensionality": 8, "task_type": "CLUSTERING"}
        ),
    ),
    "vertex": (
        "gemini",
        "/v1/projects/p/locations/l/publishers/google",
        FORMS[Operation.EMBEDDINGS]["vertex"],
        "text-embedding-005",
        {"input": TEXTS, "dimensions": 8, "task_type": "CLUSTERING"},
        lambda url: google(
            url,
            vertex=True,
            model="text-embedding-005",
            contents=TEXTS,
            config={"output_dimensionality": 8, "task_type": "CLUSTERING"},
        ),
    ),
    "cohere": (
        "cohere",
        "",
        FORMS[Operation.EMBEDDINGS]["cohere"],
        "m",
        {"input": TEXTS, "dimensions": 256, "input_type": "search_query"},
        cohere_embed,
    ),
    "cohere rerank": (
        "cohere",
        "",
        FORMS[Operation.RERANK]["cohere"],
        "m",
        {"query": "a cat", "documents": DOCUMENTS, "top_n": 1},
        cohere_rerank,
    ),
    "mistral": (
        "mistral",
        "",
        FORMS[Operation.EMBEDDINGS]["mistral"],
        "m",
        {"input": TEXTS, "dimensions": 8},
        mistral_embed,
    ),
    "titan": (
        "bedrock",
        "",
        FORMS[Operation.EMBEDDINGS]["bedrock"],
        TITAN,
        {"input": TEXTS[0], "dimensions": 256},
        lambda url: [invoked(url, TITAN, {"inputText": TEXTS[0], "dimensions": 256})["embedding"]],
    ),
}


@pytest.fixture(scope="module")
def ear() -> Iterator[Ear]:
    ear = Ear()
    with serving(ear) as ear.url:
        yield ear


@pytest.mark.parametrize("name", CASES)
def test_what_the_sdk_sends_is_what_we_send_and_its_reading_is_ours(
    name: str, ear: Ear, request: pytest.FixtureRequest
) -> None:
    provider, base, form, model, asked, say = CASES[name]
    ranks = "query" in asked
    body_asked = json.dumps({"model": "chat", **asked}).encode()
    wanted = finished(requests.rerank(body_asked)) if ranks else finished(requests.embeddings(body_asked))
    path, body = ear.hear(lambda: say(ear.url))
    assert base + form.path(model, wanted) == path
    assert body == json.loads(form.encode_request(model, wanted, form.takes(model)))

    url = request.getfixturevalue(f"{provider}_url")
    headers = {"authorization": "Bearer k", "x-goog-api-key": "k"}
    with httpx.Client(trust_env=False) as client:
        answer = client.post(url + path, json=body, headers=headers)
    told = json.loads(b"".join(form.decode_answer(model, wanted, answer.content).parts))
    if ranks:
        assert say(url) == [(one["index"], one["relevance_score"]) for one in told["results"]]
    else:
        assert say(url) == [one["embedding"] for one in told["data"]]


@pytest.mark.anyio
async def test_the_openai_and_the_cohere_sdk_ask_the_gateway(cohere_url: str) -> None:
    settings = one_model({"kind": "cohere", "base_url": cohere_url, "api_key": "k"})
    async with running_gateway(settings) as gateway:
        async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0) as client:
            told = await client.embeddings.create(model="chat", input=TEXTS, dimensions=256)
        assert [256, 256] == [len(one.embedding) for one in told.data]
        assert 6 == told.usage.prompt_tokens
        async with cohere.AsyncClientV2(api_key=KEY, base_url=gateway.url, httpx_client=httpx.AsyncClient()) as asker:
            ranked = await asker.rerank(model="chat", query="a cat", documents=DOCUMENTS, top_n=1)
        assert [1] == [one.index for one in ranked.results]
