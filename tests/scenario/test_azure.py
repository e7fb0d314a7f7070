"""Azure OpenAI behind the gateway, at both kinds of its URLs, and engines that are asked with access tokens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.engines.fakes.served import fake
from tests.engines.providers.test_tokens import service_account
from tests.engines.providers.token_server import token_server
from tests.engines.simulator.conftest import simulator
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
    with fake("azure", keys=frozenset({"the-key-of-azure", "the-token-of-entra"})) as url:
        written = {"kind": "azure", "base_url": url, "api_key": "the-key-of-azure", **keys}
        engine = {name: value for name, value in written.items() if value is not None}
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


async def test_what_openais_models_refuse_is_not_sent_to_them_here_either() -> None:
    """`max_tokens`, and what another model thought."""
    thoughts = {"type": "thinking", "thinking": "hm", "signature": "of-another"}
    turns = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [thoughts, {"type": "text", "text": "so"}]},
        {"role": "user", "content": "and now?"},
    ]
    with azure() as (url, settings):
        async with running_gateway(settings) as gateway:
            answer = await gateway.http.post(
                "/v1/messages", json={"model": "chat", "max_tokens": 50, "messages": turns}
            )
            assert answer.status_code == 200, answer.text
        body = (await seen(url))[0]["body"]
    assert (50, None) == (body["max_completion_tokens"], body.get("max_tokens"))
    assert {"role": "assistant", "content": "so"} == body["messages"][1]


async def test_a_bad_key_is_not_told() -> None:
    with azure(api_key="another-key-of-azure") as (_, settings):
        async with running_gateway(settings) as gateway:
            answer = await gateway.chat()
    assert answer.status_code >= 400
    assert "another-key-of-azure" not in answer.text


async def test_an_application_of_entras_asks_with_a_token_in_place_of_a_key() -> None:
    secret = "the-secret-of-the-application"
    with token_server((200, {"access_token": "the-token-of-entra", "expires_in": 3600})) as entra:
        application = {"tenant": "t", "client_id": "c", "client_secret": secret, "authority": entra.url}
        with azure(api_key=None, entra=application) as (url, settings):
            async with running_gateway(settings) as gateway:
                await gateway.until(gateway.plane._tokens.known)
                answer = await gateway.chat()
                left_s = (await gateway.metrics()).value("penstock_access_token_seconds", engine="a")
            requests = await seen(url)
    assert answer.status_code == 200
    assert 3500 < left_s <= 3600
    assert [form["client_secret"] for form in entra.forms] == [secret]
    assert {"authorization", "api-key"} & set(requests[0]["header_names"]) == {"authorization"}


async def test_without_a_token_the_next_tier_answers_and_the_client_of_one_alone_is_told(tmp_path: Path) -> None:
    with token_server((401, {"error": "invalid_client"})) as entra:
        application = {"tenant": "t", "client_id": "c", "client_secret": "s", "authority": entra.url}
        with azure(api_key=None, entra=application) as (_, settings):
            async with running_gateway(settings) as gateway:
                alone = await gateway.chat()
            async with simulator(models=("upstream-model",)) as server:
                with azure(api_key=None, entra=application) as (url, _):
                    tokenless = {"kind": "azure", "base_url": url, "entra": application}
                    second = str(server.base_url).rstrip("/")
                    async with running_gateway(one_model(tokenless, second)) as gateway:
                        answer = await gateway.chat()
    assert alone.status_code == 502
    assert "no access token for the engine" in alone.json()["error"]["message"]
    assert (answer.status_code, answer.headers["x-penstock-engine"]) == (200, "b")


async def test_vertex_ranks_at_a_host_of_its_own_with_a_token(tmp_path: Path) -> None:
    with (
        token_server((200, {"access_token": "the-token-of-google", "expires_in": 3600})) as google,
        fake("gemini", keys=frozenset({"the-token-of-google"})) as url,
    ):
        key = service_account(tmp_path / "key.json", google.url)
        base = f"{url}/v1/projects/p/locations/global/rankingConfigs"
        vertex = {"project": "p", "credentials_file": key, "ranking": True}
        config = one_model({"kind": "gemini", "base_url": base, "vertex": vertex})
        config["models"]["chat"]["targets"][0]["model"] = "semantic-ranker-default-004"
        async with running_gateway(config) as gateway:
            await gateway.until(gateway.plane._tokens.known)
            body = {"model": "chat", "query": "cat", "documents": ["a dog", "the cat sleeps", "moon"], "top_n": 2}
            ranked = (await gateway.http.post("/v1/rerank", json=body)).json()["results"]
            assert [1, 2] == [ranked[0]["index"], len(ranked)]
            assert "the cat sleeps" == ranked[0]["document"]["text"]
            gaps = await gateway.http.post("/v1/rerank", json={**body, "documents": ["", "the cat sleeps", ""]})
            assert [(1, True), (0, False)] == [(r["index"], r["relevance_score"] > 0) for r in gaps.json()["results"]]
            many = await gateway.http.post("/v1/rerank", json={**body, "documents": ["a"] * 201})
            assert (400, "documents") == (many.status_code, many.json()["error"]["param"])
            chat = await gateway.chat()
            assert (400, "unsupported_operation") == (chat.status_code, (await gateway.records.of(3)).error)


async def test_vertex_is_asked_at_its_own_urls_with_a_token(tmp_path: Path) -> None:
    with (
        token_server((200, {"access_token": "the-token-of-google", "expires_in": 3600})) as google,
        fake("gemini", keys=frozenset({"the-token-of-google"})) as url,
    ):
        key = service_account(tmp_path / "key.json", google.url)
        vertex = {"project": "p", "location": "europe-west4", "credentials_file": key}
        base = f"{url}/v1/projects/p/locations/europe-west4/publishers/google"
        async with running_gateway(one_model({"kind": "gemini", "base_url": base, "vertex": vertex})) as gateway:
            await gateway.until(gateway.plane._tokens.known)
            answer = await gateway.chat()
        requests = await seen(url)
    assert (answer.status_code, answer.json()["choices"][0]["message"]["content"]) == (200, "You said: hello")
    assert requests[0]["path"] == (
        "/v1/projects/p/locations/europe-west4/publishers/google/models/upstream-model:generateContent"
    )
