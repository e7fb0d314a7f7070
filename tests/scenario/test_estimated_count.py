"""Tokens of a message, of models whose engines count none: estimated, and said to be."""

from __future__ import annotations

import base64
from typing import Any

import anthropic
import pytest

from tests.scenario.gateway import HELLO, KEY, Gateway, one_model, running_gateway
from tests.scenario.upstream import Answer, Upstream, running_upstream

pytestmark = pytest.mark.anyio

COUNT = "/v1/messages/count_tokens"
PICTURE = base64.b64encode(bytes(range(256)) * 256).decode()


def chats(upstream: Upstream) -> dict[str, Any]:
    return one_model({"kind": "openai", "base_url": f"{upstream.url}/v1", "api_key": "k", "operations": ["chat"]})


async def count(gateway: Gateway, content: Any) -> Any:
    body = {"model": "chat", "messages": [{"role": "user", "content": content}]}
    return await gateway.http.post(COUNT, json=body)


async def test_a_model_of_which_nobody_counts_tokens_has_them_estimated_and_nobody_is_asked() -> None:
    async with running_upstream() as upstream, running_gateway(chats(upstream)) as gateway:
        answer = await count(gateway, "w" * 4000)
        assert (200, "estimated") == (answer.status_code, answer.headers["x-penstock-count"])
        told = answer.json()
        assert told["estimated"] is True
        assert 1000 < told["input_tokens"] < 1030  # a quarter of its bytes, its JSON with them
        record = await gateway.records.of(0)
        assert (COUNT, 200, 0, "", None) == (
            record.operation,
            record.status,
            record.attempts,
            record.error,
            record.input_tokens,
        )
        assert [] == upstream.received


async def test_clients_of_anthropics_read_the_estimate() -> None:
    async with running_upstream() as upstream, running_gateway(chats(upstream)) as gateway:
        async with anthropic.AsyncAnthropic(api_key=KEY, base_url=str(gateway.http.base_url)) as client:
            counted = await client.messages.count_tokens(model="chat", messages=HELLO)  # type: ignore[arg-type]
            assert 0 < counted.input_tokens < 100


async def test_a_picture_counts_as_a_picture_and_not_as_its_bytes() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": PICTURE}
    async with running_upstream() as upstream, running_gateway(chats(upstream)) as gateway:
        told = (await count(gateway, [{"type": "image", "source": source}])).json()
        assert 1600 < told["input_tokens"] < 1700


async def test_a_large_request_is_read_in_turns_and_counted() -> None:
    blocks = [{"type": "text", "text": "w" * 100}] * 1000
    async with running_upstream() as upstream, running_gateway(chats(upstream)) as gateway:
        told = (await count(gateway, blocks)).json()
        assert 25_000 < told["input_tokens"] < 40_000


@pytest.mark.parametrize("content", [7, [{"type": 3}], [7] * 20_000])
async def test_what_is_no_request_is_refused_as_an_engine_would(content: Any) -> None:
    async with running_upstream() as upstream, running_gateway(chats(upstream)) as gateway:
        answer = await count(gateway, content)
        assert (400, "invalid_request_error") == (answer.status_code, answer.json()["error"]["type"])
        assert "messages" in answer.json()["error"]["message"]
        assert "invalid_field" == (await gateway.records.of(0)).error


async def test_a_model_that_answers_no_messages_counts_none() -> None:
    async with running_upstream() as upstream:
        config = one_model({"kind": "openai", "base_url": upstream.url, "operations": ["embeddings"]})
        async with running_gateway(config) as gateway:
            answer = await count(gateway, "hi")
            assert 400 == answer.status_code
            assert f"speaks {COUNT}" in answer.json()["error"]["message"]


async def test_where_one_engine_of_a_model_counts_it_is_asked() -> None:
    async with running_upstream(always=Answer([b'{"input_tokens":14}'])) as upstream:
        openai = {"kind": "openai", "base_url": f"{upstream.url}/v1", "operations": ["chat"]}
        config = one_model(openai, {"kind": "anthropic", "base_url": upstream.url, "api_key": "k"})
        async with running_gateway(config) as gateway:
            answer = await count(gateway, "hi")
            assert {"input_tokens": 14} == answer.json()
            assert "x-penstock-count" not in answer.headers


async def test_counts_are_no_evidence_for_an_arm() -> None:
    """Nobody has answered, so they would water down what the arm's answers say of it."""
    async with running_upstream() as upstream:
        config = chats(upstream)
        model = config["models"]["chat"]
        model["experiment"] = {
            "salt": "s",
            "arms": {"control": {}, "canary": {"weight": 50, "targets": model["targets"]}},
        }
        async with running_gateway(config) as gateway:
            answers = [await count(gateway, "hello") for _ in range(8)]
            assert {answer.status_code for answer in answers} == {200}
            assert {"control", "canary"} >= {answer.headers["x-penstock-arm"] for answer in answers}
            record = await gateway.records.of(7)
            assert (record.arm != "", record.unit) == (True, "")
            metrics = await gateway.metrics()
    assert metrics.value("penstock_requests_total", model="chat") == 8
    assert metrics.value("penstock_experiment_requests_total") == 0
