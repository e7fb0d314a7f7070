"""Embeddings and rerank of engines with words of their own, through the gateway. `tests/providers` has them all."""

from __future__ import annotations

import asyncio
import base64
import json
from array import array
from collections.abc import Iterator
from typing import Any

import pytest

from engines.wire.unary.gemini import GeminiEmbeddings
from engines.wire.unary.port import Told, UnaryRequest
from gateway.relay.unary import AT_ONCE_BYTES
from tests.scenario.gateway import KEY, LONGEST_S, Gateway, one_model, running_gateway
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
                (502, "engine_bad_answer", None),
            ] == [(one.status_code, one.json()["error"]["code"], one.json()["error"].get("param")) for one in told]


async def test_rerank_is_asked_of_cohere() -> None:
    ranked = Answer([b'{"results":[{"index":1,"relevance_score":0.9}]}'])
    async with running_upstream(ranked) as upstream:
        async with running_gateway(settings("cohere", upstream.url)) as gateway:
            body = {"model": "chat", "query": "q", "documents": ["a", "b"], "top_n": 1}
            answer = await gateway.http.post("/v2/rerank", json=body)
            assert [{"index": 1, "document": {"text": "b"}, "relevance_score": 0.9}] == answer.json()["results"]
            assert {**body, "model": "upstream-model"} == upstream.received[0].json


VECTOR = [0.5] * AT_ONCE_BYTES
"""Written as numbers or packed, it is more than is written at once."""


@pytest.mark.parametrize("encoding", ["float", "base64"])
async def test_a_large_answer_is_told_whole(encoding: str) -> None:
    embedded = json.dumps({"embeddings": [{"values": VECTOR}, {"values": [1.0]}, {"values": VECTOR}]}).encode()
    async with running_upstream(Answer([embedded])) as upstream:
        async with running_gateway(settings("gemini", upstream.url)) as gateway:
            body = {"model": "chat", "input": ["a", "b", "c"], "encoding_format": encoding}
            told = (await gateway.http.post("/v1/embeddings", json=body)).json()["data"]
            found = [one["embedding"] for one in told]
            if encoding == "base64":
                found = [list(array("f", base64.b64decode(one))) for one in found]
            assert [VECTOR, [1.0], VECTOR] == found


async def test_a_large_answer_may_turn_out_to_be_none() -> None:
    embedded = json.dumps({"embeddings": [{"values": VECTOR}, {"values": "x"}]}).encode()
    async with running_upstream(Answer([embedded])) as upstream:
        async with running_gateway(settings("gemini", upstream.url)) as gateway:
            answer = await gateway.http.post("/v1/embeddings", json={"model": "chat", "input": ["a", "b"]})
            assert (502, "engine_bad_answer") == (answer.status_code, answer.json()["error"]["code"])


class Endless(GeminiEmbeddings):
    """Has more to write for as long as anybody wants it, up to 512 MiB."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.parts = 0

    def decode_answer(self, model: str, request: UnaryRequest, body: bytes) -> Told:
        return Told(self._parts(), super().decode_answer(model, request, body).usage)

    def _parts(self) -> Iterator[bytes]:
        self.begun.set()
        for self.parts in range(1, 8192):
            yield b" " * (AT_ONCE_BYTES + 1)


def write_by(gateway: Gateway, form: Endless) -> None:
    serving = gateway.worker.dispatcher.snapshot.find("chat")
    assert serving is not None
    for endpoint in serving.route.endpoints():
        serving.upstreams[endpoint].unary = {"/v1/embeddings": form}


async def test_others_are_seen_to_while_a_large_answer_is_written_and_its_client_may_leave() -> None:
    embedded = b'{"embeddings":[{"values":[1.0]}],"usageMetadata":{"promptTokenCount":3}}'
    async with running_upstream(Answer([embedded])) as upstream:
        async with running_gateway(settings("gemini", upstream.url)) as gateway:
            form = Endless()
            write_by(gateway, form)
            body = json.dumps({"model": "chat", "input": "a"}).encode()
            head = f"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
            _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(head.encode() + b"content-length: %d\r\n\r\n" % len(body) + body)
            await asyncio.wait_for(form.begun.wait(), LONGEST_S)
            writer.close()
            record = await gateway.records.of(0)
            assert (499, "client_gone", 3, "reported") == (
                record.status,
                record.error,
                record.input_tokens,
                record.usage_source,
            )
            written = form.parts
            assert 200 == (await gateway.http.get("/health")).status_code
            assert written == form.parts < 8191


class Mistaken(Endless):
    """Has a mistake in what it writes in a later turn."""

    def _parts(self) -> Iterator[bytes]:
        yield b" " * (AT_ONCE_BYTES + 1)
        raise KeyError("odd")


async def test_a_mistake_in_a_later_turn_of_writing_is_told_and_hangs_nobody() -> None:
    embedded = b'{"embeddings":[{"values":[1.0]}]}'
    async with running_upstream(Answer([embedded])) as upstream:
        async with running_gateway(settings("gemini", upstream.url)) as gateway:
            write_by(gateway, Mistaken())
            answer = await gateway.http.post("/v1/embeddings", json={"model": "chat", "input": "a"})
            assert (502, "engine_bad_answer") == (answer.status_code, answer.json()["error"]["code"])
