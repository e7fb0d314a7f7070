"""Azure OpenAI behind the gateway, at both kinds of its URLs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.engines.fakes.served import fake
from tests.scenario.gateway import events_of, one_model, running_gateway

pytestmark = pytest.mark.anyio

SHAPES = {
    "classic": ({"deployment": "mine"}, "/openai/deployments/mine/chat/completions", "api-version=2024-10-21"),
    "dated": (
        {"deployment": "mine", "api_version": "2025-01-01-preview"},
        "/openai/deployments/mine/chat/completions",
        "api-version=2025-01-01-preview",
    ),
    "new": ({}, "/openai/v1/chat/completions", ""),
    "preview": ({"api_version": "preview"}, "/openai/v1/chat/completions", "api-version=preview"),
}


@contextmanager
def azure(**keys: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    with fake("azure", keys=frozenset({"the-key-of-azure"})) as url:
        engine = {"kind": "azure", "base_url": url, "api_key": "the-key-of-azure", **keys}
        yield url, one_model(engine)


async def seen(url: str) -> list[dict[str, Any]]:
    async with httpx.AsyncClient(trust_env=False) as client:
        listed: list[dict[str, Any]] = (await client.get(f"{url}/fake/requests")).json()
    return listed


@pytest.mark.parametrize("shape", SHAPES)
async def test_chats_plain_and_streamed_go_to_the_url_that_is_asked_for(shape: str) -> None:
    keys, path, query = SHAPES[shape]
    with azure(**keys) as (url, settings):
        async with running_gateway(settings) as gateway:
            plain = await gateway.chat()
            streamed = await gateway.chat(stream=True)
        requests = await seen(url)
    said = "".join(
        choice["delta"].get("content") or "" for event in events_of(streamed.text)[:-1] for choice in event["choices"]
    )
    assert (plain.status_code, plain.json()["choices"][0]["message"]["content"]) == (200, said)
    assert [(one["path"], one["query"]) for one in requests] == [(path, query)] * 2
    assert "api-key" in requests[0]["header_names"]
    assert "authorization" not in requests[0]["header_names"]


async def test_a_client_of_anthropics_is_translated_for_and_what_a_filter_stops_is_told() -> None:
    with azure() as (_, settings):
        async with running_gateway(settings) as gateway:
            message = {"role": "user", "content": "hi"}
            body = {"model": "chat", "max_tokens": 50, "messages": [message]}
            answer = await gateway.http.post("/v1/messages", json=body)
    assert (answer.status_code, answer.json()["content"][0]["text"]) == (200, "You said: hi")


async def test_a_bad_key_is_not_told() -> None:
    with azure(api_key="another-key-of-azure") as (_, settings):
        async with running_gateway(settings) as gateway:
            answer = await gateway.chat()
    assert answer.status_code >= 400
    assert "another-key-of-azure" not in answer.text
