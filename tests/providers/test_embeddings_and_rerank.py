"""Embeddings and rerank in OpenAI's and Jina's words, of providers that have words of their own."""

from __future__ import annotations

import base64
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from tests.engines.fakes.served import fake
from tests.scenario.gateway import Gateway, one_model, running_gateway
from tests.scenario.upstream import Answer, running_upstream

pytestmark = pytest.mark.anyio

EMBEDDERS = {
    "gemini": ("gemini", {"kind": "gemini"}, "/v1beta", "gemini-embedding-001"),
    "cohere": ("cohere", {"kind": "cohere"}, "", "embed-v4.0"),
    "mistral": ("mistral", {"kind": "openai", "provider": "mistral"}, "/v1", "mistral-embed"),
    "titan": ("bedrock", {"kind": "bedrock"}, "", "amazon.titan-embed-text-v2:0"),
    "nova": ("bedrock", {"kind": "bedrock"}, "", "amazon.nova-2-multimodal-embeddings-v1:0"),
    "cohere on bedrock": ("bedrock", {"kind": "bedrock"}, "", "us.cohere.embed-v4:0"),
    "azure": ("azure", {"kind": "azure"}, "", "text-embedding-3-small"),
}
RERANKERS = {
    "cohere": ("cohere", {"kind": "cohere"}, "rerank-v4.0"),
    "cohere on bedrock": ("bedrock", {"kind": "bedrock"}, "cohere.rerank-v3-5:0"),
    "amazon on bedrock": ("bedrock", {"kind": "bedrock"}, "amazon.rerank-v1:0"),
}
TEXTS = ["rain in Oslo", "sun in Rome"]
PETS = ["a dog barks", "a cat sleeps", "the moon"]


@asynccontextmanager
async def behind(provider: str, section: dict[str, Any], base: str, model: str, **more: Any) -> AsyncIterator[Gateway]:
    with fake(provider) as url:
        settings = one_model({**section, "base_url": url + base, "api_key": "k-of-the-engine"})
        settings["models"]["chat"] |= more
        settings["models"]["chat"]["targets"][0]["model"] = model
        async with running_gateway(settings) as gateway:
            yield gateway


async def embed(gateway: Gateway, **fields: Any) -> httpx.Response:
    return await gateway.http.post("/v1/embeddings", json={"model": "chat", "input": TEXTS[0], **fields})


async def rerank(gateway: Gateway, **fields: Any) -> httpx.Response:
    body = {"model": "chat", "query": "a cat", "documents": PETS, **fields}
    return await gateway.http.post("/v1/rerank", json=body)


@pytest.mark.parametrize("name", EMBEDDERS)
async def test_embeddings_are_openais_of_every_provider_that_has_them(name: str) -> None:
    async with behind(*EMBEDDERS[name]) as gateway:
        plain = (await embed(gateway, user="somebody" if name != "azure" else "x")).json()
        packed = (await embed(gateway, encoding_format="base64", dimensions=256 if name != "gemini" else 8)).json()
        (one,) = plain["data"]
        assert ("list", "embedding", 0) == (plain["object"], one["object"], one["index"])
        assert pytest.approx(1.0) == sum(value * value for value in one["embedding"])
        assert 0 < plain["usage"]["prompt_tokens"] == plain["usage"]["total_tokens"]
        values = base64.b64decode(packed["data"][0]["embedding"])
        vector = struct.unpack(f"<{len(values) // 4}f", values)
        assert pytest.approx(1.0) == sum(value * value for value in vector)
        assert (8 if name == "gemini" else 256) == len(vector)
        record = await gateway.records.of(0)
        assert (plain["usage"]["prompt_tokens"], "", 200) == (record.input_tokens, record.error, record.status)
        uncounted = name in ("gemini", "cohere on bedrock", "nova")
        assert ("estimated" if uncounted else "reported") == record.usage_source


@pytest.mark.parametrize("name", [name for name in EMBEDDERS if name not in ("titan", "nova")])
async def test_several_texts_come_in_their_order(name: str) -> None:
    async with behind(*EMBEDDERS[name]) as gateway:
        both = (await embed(gateway, input=TEXTS)).json()["data"]
        each = [(await embed(gateway, input=text)).json()["data"][0] for text in TEXTS]
        assert [one["embedding"] for one in each] == [one["embedding"] for one in both]
        assert [0, 1] == [one["index"] for one in both]


@pytest.mark.parametrize(
    ("name", "fields", "what"),
    [
        ("titan", {"input": TEXTS}, "input (several_inputs)"),
        ("nova", {"input": TEXTS}, "input (several_inputs)"),
        ("gemini", {"input": [1, 2, 3]}, "input (encoded_inputs)"),
        ("cohere", {"input": [[1], [2]]}, "input (encoded_inputs)"),
        ("mistral", {"truncate": "END"}, "truncate"),
    ],
)
async def test_what_a_target_cannot_take_is_told_by_its_name(name: str, fields: Any, what: str) -> None:
    async with behind(*EMBEDDERS[name]) as gateway:
        refused = await embed(gateway, **fields)
        error = refused.json()["error"]
        assert (400, "unsupported_parameter", what.split()[0]) == (refused.status_code, error["code"], error["param"])
        assert error["message"].endswith(f" does not take {what}")


async def test_a_model_that_embeds_nothing_is_known_beforehand() -> None:
    async with behind("bedrock", {"kind": "bedrock"}, "", "anthropic.claude-x") as gateway:
        refused = [await embed(gateway), await rerank(gateway)]
        assert ["embeddings", "rerank"] == [one.json()["error"]["param"] for one in refused]


async def test_a_parameter_is_left_out_and_named_where_that_is_allowed() -> None:
    async with behind(*EMBEDDERS["titan"][:3], "amazon.titan-embed-text-v1", unsupported="drop") as gateway:
        answer = await embed(gateway, dimensions=256, input_type="search_query", user="me")
        assert (200, "dimensions, input_type, user") == (
            answer.status_code,
            answer.headers["x-penstock-dropped-params"],
        )


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": ["a", 1]}, "input"),
        ({"encoding_format": "int8"}, "encoding_format"),
        ({"dimensions": "many"}, "dimensions"),
    ],
)
async def test_a_request_that_is_none_is_refused(fields: Any, param: str) -> None:
    async with behind(*EMBEDDERS["gemini"]) as gateway:
        refused = await embed(gateway, **fields)
        assert (400, "invalid_value", param) == (
            refused.status_code,
            refused.json()["error"]["code"],
            refused.json()["error"]["param"],
        )


@pytest.mark.parametrize("name", RERANKERS)
async def test_rerank_is_jinas_of_every_provider_that_has_it(name: str) -> None:
    provider, section, model = RERANKERS[name]
    async with behind(provider, section, "", model) as gateway:
        answer = (await rerank(gateway, top_n=2)).json()
        first = answer["results"][0]
        assert (1, {"text": PETS[1]}, 2) == (first["index"], first["document"], len(answer["results"]))
        assert first["relevance_score"] >= answer["results"][1]["relevance_score"]
        bare = await rerank(gateway, documents=[{"text": pet} for pet in PETS], return_documents=False)
        assert [["index", "relevance_score"]] * 3 == [sorted(one) for one in bare.json()["results"]]
        asked_as_cohere = await gateway.http.post(
            "/v2/rerank", json={"model": "chat", "query": "a cat", "documents": PETS, "top_n": 1}
        )
        assert [1] == [one["index"] for one in asked_as_cohere.json()["results"]]


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        (b"{}", "engine_bad_answer", "cannot be read"),
        (b'{"embeddings": []}', "engine_bad_answer", "0 vectors for 1 texts"),
        (b'{"embeddings": [{"values": ["x"]}]}', "engine_bad_answer", "cannot be read"),
        (b"\xff", "engine_error", "no JSON"),
    ],
)
async def test_an_answer_that_is_none_is_an_error_of_the_engine(body: bytes, code: str, says: str) -> None:
    async with running_upstream(Answer([body])) as upstream:
        settings = one_model({"kind": "gemini", "base_url": upstream.url, "api_key": "k"})
        async with running_gateway(settings) as gateway:
            answer = await embed(gateway)
            assert (502, code) == (answer.status_code, answer.json()["error"]["code"])
            assert says in answer.json()["error"]["message"]


async def test_an_engines_refusal_is_told_in_openais_shape() -> None:
    async with behind(*EMBEDDERS["cohere"][:3], "embed-fake-rate-limited") as gateway:
        refused = await embed(gateway)
        assert (429, "rate_limit_error") == (refused.status_code, refused.json()["error"]["type"])


async def test_a_target_that_takes_one_text_a_call_is_passed_over_for_several() -> None:
    with fake("bedrock") as bedrock, fake("cohere") as cohere:
        keys = {"api_key": "k-of-the-engine"}
        settings = one_model(
            {"kind": "bedrock", "base_url": bedrock, **keys}, {"kind": "cohere", "base_url": cohere, **keys}
        )
        for target, model in zip(
            settings["models"]["chat"]["targets"], ("amazon.titan-embed-text-v2:0", "embed-v4.0"), strict=True
        ):
            target["model"] = model
        async with running_gateway(settings) as gateway:
            one, two = await embed(gateway), await embed(gateway, input=TEXTS)
            assert ["a", "b"] == [answer.headers["x-penstock-engine"] for answer in (one, two)]
