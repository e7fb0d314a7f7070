"""Embeddings and rerank of engines with words of their own, through the gateway. `tests/providers` has them all."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scenario.gateway import one_model, running_gateway
from tests.scenario.upstream import Answer, running_upstream

pytestmark = pytest.mark.anyio

EMBEDDED = b'{"embeddings":[{"values":[1.0]},{"values":[0.5]}],"usageMetadata":{"promptTokenCount":3}}'


def settings(kind: str, url: str, **more: Any) -> dict[str, Any]:
    tree = one_model({"kind": kind, "base_url": url, "api_key": "k-of-the-engine"})
    tree["models"]["chat"] |= more
    return tree


async def test_embeddings_are_asked_for_and_told_in_both_formats() -> None:
    async with running_upstream(Answer([EMBEDDED])) as upstream:
        async with running_gateway(settings("gemini", upstream.url, unsupported="drop")) as gateway:
            body = {"model": "chat", "input": ["a", "b"], "priority": 1}
            answer = await gateway.http.post("/v1/embeddings", json=body)
            assert [[1.0], [0.5]] == [one["embedding"] for one in answer.json()["data"]]
            assert "priority" == answer.headers["x-penstock-dropped-params"]
            record = await gateway.records.of(0)
            assert (3, "reported", "", 200) == (record.input_tokens, record.usage_source, record.error, record.status)
            request = upstream.received[0]
            assert "/models/upstream-model:batchEmbedContents" == request.path
            assert ["a", "b"] == [one["content"]["parts"][0]["text"] for one in request.json["requests"]]


async def test_what_cannot_be_asked_is_told_by_name_and_what_is_no_answer_is_an_error() -> None:
    async with running_upstream(Answer([b'{"embeddings":[]}'])) as upstream:
        async with running_gateway(settings("gemini", upstream.url)) as gateway:
            wrong: list[dict[str, Any]] = [
                {"input": [1, 2]},
                {"input": "a", "priority": 1},
                {"input": []},
                {"input": "a"},
            ]
            told = [await gateway.http.post("/v1/embeddings", json={"model": "chat", **one}) for one in wrong]
            assert [
                (400, "unsupported_parameter", "input"),
                (400, "unsupported_parameter", "priority"),
                (400, "invalid_value", "input"),
                (502, "engine_error", None),
            ] == [(one.status_code, one.json()["error"]["code"], one.json()["error"].get("param")) for one in told]


async def test_rerank_is_asked_of_cohere() -> None:
    ranked = Answer([b'{"results":[{"index":1,"relevance_score":0.9}]}'])
    async with running_upstream(ranked) as upstream:
        async with running_gateway(settings("cohere", upstream.url)) as gateway:
            body = {"model": "chat", "query": "q", "documents": ["a", "b"], "top_n": 1}
            answer = await gateway.http.post("/v2/rerank", json=body)
            assert [{"index": 1, "document": {"text": "b"}, "relevance_score": 0.9}] == answer.json()["results"]
            assert {**body, "model": "upstream-model"} == upstream.received[0].json
