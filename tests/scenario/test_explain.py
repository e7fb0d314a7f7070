"""Why this replica? Asked of a running gateway by its admin API, by a header, and by the command."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import structlog
from typer.testing import CliRunner

from gateway.cli.app import app
from tests.scenario.gateway import AUTH, Gateway, document, running_gateway
from tests.scenario.upstream import Answer, End, running_upstream, stream

pytestmark = pytest.mark.anyio

ADMIN = "sk-of-the-admin"
OPS = {"id": "ops", "sha256": hashlib.sha256(ADMIN.encode()).hexdigest(), "admin": True}
KEY = {"authorization": f"Bearer {ADMIN}"}
ASKING = KEY | {"x-penstock-explain": "1"}
PATH = "/admin/v1/routing/explain"


def served_by(*urls: str, **sections: Any) -> dict[str, Any]:
    replicas = [{"id": str(number), "url": url} for number, url in enumerate(urls)]
    return document(
        engines={"e": {"kind": "openai", "replicas": replicas}},
        models={"chat": {"targets": [{"engine": "e"}], "policy": {"name": "prefix"}}},
        **{"auth": {"keys": [*AUTH["keys"], OPS]}, **sections},
    )


async def asked(gateway: Gateway, **query: str | int) -> Any:
    with structlog.testing.capture_logs():
        answer = await gateway.http.get(PATH, params={"model": "chat", **query}, headers=KEY)
    assert answer.status_code == 200
    (worker,) = answer.json()["workers"]
    return worker


async def test_the_admin_api_says_what_each_replica_would_cost_and_what_was_decided() -> None:
    async with running_upstream() as a, running_upstream() as b:
        async with running_gateway(served_by(a.url, b.url)) as gateway:
            await gateway.chat()  # nobody has asked yet
            told = await asked(gateway, prompt_tokens=500, max_tokens=20)
            assert (told["worker"], told["policy"], told["prompt_tokens"]) == ("0", "prefix", 500)
            assert [one["replica"] for one in told["candidates"]] == ["0", "1"]
            assert {one["state"] for one in told["candidates"]} == {"ready"}
            assert "decisions" not in told
            answered = [(await gateway.chat()).headers for _ in range(3)]
            assert {"x-penstock-routing" in headers for headers in answered} == {False}
            decisions = (await asked(gateway))["decisions"]
            said = [(one["request_id"], one["replica"]) for one in reversed(decisions)]
            assert said == [(each["x-request-id"], each["x-penstock-replica"]) for each in answered]
            assert decisions[0]["candidates"][0]["cost_ms"] > 0


async def test_a_body_is_explained_with_what_caches_hold_of_it() -> None:
    async with running_upstream() as a, running_upstream() as b:
        async with running_gateway(served_by(a.url, b.url)) as gateway:
            messages = [{"role": "user", "content": "A long story. " * 300}]
            home = (await gateway.chat(messages=messages)).headers["x-penstock-replica"]
            body = {"model": "chat", "messages": messages}
            with structlog.testing.capture_logs():
                answer = await gateway.http.post(PATH, params={"model": "chat"}, json=body, headers=KEY)
            (worker,) = answer.json()["workers"]
            cached = {one["replica"]: one["cached_tokens"] for one in worker["candidates"]}
            assert worker["replica"] == home
            assert cached.pop(home) > 400
            assert list(cached.values()) == [0]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_header_tells_whoever_may_ask_of_each_attempt(stream: bool) -> None:
    async with running_upstream() as a, running_upstream() as b:
        a.always = b.always = Answer(status=503, pieces=[b'{"error": {"message": "no"}}'])
        async with running_gateway(served_by(a.url, b.url)) as gateway:
            answer = await gateway.chat(stream=stream, headers=ASKING)
            assert answer.status_code == 503
            told = json.loads(answer.headers["x-penstock-routing"])
            assert told["attempt"] == int(answer.headers["x-penstock-attempts"])
            assert told["replica"] == answer.headers["x-penstock-replica"]
            assert {one["replica"] for one in told["candidates"]} == {"0", "1"}
            failing = [one["terms_ms"].get("failures", 0) for one in told["candidates"]]
            assert max(failing) > 0
            for headers in ({"x-penstock-explain": "1"}, KEY, KEY | {"x-penstock-explain": "0"}):
                quiet = await gateway.chat(stream=stream, headers=headers)
                assert "x-penstock-routing" not in quiet.headers
            assert not any("x-penstock-explain" in dict(request.headers) for request in a.received)


async def test_the_header_is_of_the_attempt_that_answers_though_a_hedge_was_decided_after_it() -> None:
    gate = asyncio.Event()
    async with running_upstream(stream(before=gate)) as a, running_upstream(stream(before=End.HANG)) as b:
        config = served_by(a.url, b.url)
        config["models"]["chat"] |= {
            "policy": {"name": "round_robin"},
            "hedging": {"enabled": True, "after_ms": 20},
        }
        async with running_gateway(config) as gateway:
            asking = asyncio.ensure_future(gateway.chat(stream=True, headers=ASKING))
            await b.request()
            gate.set()
            answer = await asking
    told = json.loads(answer.headers["x-penstock-routing"])
    assert ("0", "2") == (answer.headers["x-penstock-replica"], answer.headers["x-penstock-attempts"])
    assert ("0", 1) == (told["replica"], told["attempt"])


async def test_without_keys_a_gateway_explains_to_whoever_is_on_its_machine() -> None:
    async with running_upstream() as a:
        async with running_gateway(served_by(a.url, auth={"keys": []})) as gateway:
            answer = await gateway.chat(headers={"x-penstock-explain": "1"})
            assert json.loads(answer.headers["x-penstock-routing"])["replica"] == "0"


@pytest.mark.parametrize(
    ("query", "status", "says"),
    [
        ({}, 400, "`model` is missing"),
        ({"model": "chta"}, 400, "the model 'chta' does not exist"),
        ({"model": "chat", "operation": "/v1/rerank"}, 400, "no engine of the model speaks '/v1/rerank'"),
        ({"model": "chat", "prompt_tokens": "-1"}, 400, "`prompt_tokens` must be a whole number"),
    ],
)
async def test_a_question_without_an_answer_says_why(query: dict[str, str], status: int, says: str) -> None:
    async with running_upstream() as a:
        async with running_gateway(served_by(a.url)) as gateway:
            with structlog.testing.capture_logs():
                answer = await gateway.http.get(PATH, params=query, headers=KEY)
                refused = await gateway.http.get(PATH, params={"model": "chat"})
            assert (answer.status_code, answer.json()["error"]["message"][: len(says)]) == (status, says)
            assert refused.status_code == 403


async def test_the_command_prints_a_table_and_json(tmp_path: Path) -> None:
    async def run(*words: str) -> tuple[int, str]:
        command = ["routing", "explain", "chat", "--url", url, "--key", ADMIN, *words]
        result = await asyncio.to_thread(CliRunner().invoke, app, command)
        return result.exit_code, result.output

    async with running_upstream() as a, running_upstream() as b:
        async with running_gateway(served_by(a.url, b.url)) as gateway:
            url = gateway.url
            with structlog.testing.capture_logs():
                code, text = await run("--prompt-tokens", "800")
                assert code == 0
                lines = text.splitlines()
                assert lines[0] == "model chat"
                assert lines[1].startswith("policy prefix; a request of 800 prompt and ")
                assert lines[2].startswith("  would go to e/")
                assert next(line.split()[-1] for line in lines if "others" in line) == "others"
                assert "no decisions recorded yet" in text
                answer = await gateway.chat()
                code, text = await run()
                assert (code, answer.headers["x-request-id"] in text) == (0, True)
                code, text = await run("--json", "--watch", "0.01")
                assert (code, json.loads(text)["object"]) == (0, "routing.explanation")
                body = tmp_path / "body.json"
                body.write_text('{"model": "chat", "messages": [{"role": "user", "content": "hi"}]}')
                assert (await run("--body", str(body)))[0] == 0
                assert (await run("--body", str(tmp_path / "none")))[0] == 1
                code, text = await run("--url", "http://127.0.0.1:9")
                assert (code, "does not answer" in text) == (1, True)
                code, text = await run("--key", "sk-other")
                assert (code, "answered 401" in text) == (1, True)
                code, text = await run("--url", "nonsense")
                assert (code, "is no address of a gateway" in text) == (2, True)
