"""Requests that wait for room, over real connections: by priority, told when there is no use, gone when they leave."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.scenario.gateway import document, running_gateway
from tests.scenario.upstream import DONE, WHOLE_STREAM, Received, running_upstream, stream

pytestmark = pytest.mark.anyio


def served_by(url: str, **admission: Any) -> dict[str, Any]:
    return document(
        engines={"e": {"kind": "openai", "replicas": [{"id": "one", "url": url}]}},
        models={"chat": {"targets": [{"engine": "e"}], "admission": {"in_flight": 1, **admission}}},
    )


async def test_whoever_finds_the_replica_full_waits_and_the_more_important_goes_first() -> None:
    gate = asyncio.Event()
    async with running_upstream() as up:
        async with running_gateway(served_by(up.url)) as gateway:
            none = (await gateway.http.get("/metrics")).text
            up.then(stream(WHOLE_STREAM[0], gate, *WHOLE_STREAM[1:]))
            first = asyncio.ensure_future(gateway.chat(stream=True))
            await up.request(0)
            waiting = []
            for number, priority in enumerate(("-5", "0", "-1")):
                headers = {"x-penstock-priority": priority}
                chat = gateway.chat(user=priority, headers=headers)
                waiting.append(asyncio.ensure_future(chat))
                await gateway.until(lambda: line(gateway).waiting > number)  # noqa: B023 - it is awaited here
            metrics = await gateway.metrics()
            gate.set()
            answers = [await answer for answer in (first, *waiting)]
            served = [one.json.get("user") for one in up.received]
            after = await gateway.metrics()
    assert [answer.status_code for answer in answers] == [200] * 4
    assert answers[0].content.endswith(DONE)
    assert served == [None, "0", "-1", "-5"]
    # Were it absent, a queue that is there now and again would look like one without an end.
    assert 'penstock_queue_tokens{model="chat"} 0.0' in none.splitlines()
    assert metrics.value("penstock_queue_tokens", model="chat") > 0
    assert after.value("penstock_queue_tokens", model="chat") == 0
    assert after.value("penstock_queue_seconds_count", model="chat") == 3


async def test_a_client_that_leaves_the_line_is_recorded_and_never_sent() -> None:
    gate = asyncio.Event()
    async with running_upstream() as up:
        async with running_gateway(served_by(up.url)) as gateway:
            up.then(stream(WHOLE_STREAM[0], gate, *WHOLE_STREAM[1:]))
            first = asyncio.ensure_future(gateway.chat(stream=True))
            await up.request(0)
            leaves = asyncio.ensure_future(gateway.chat())
            await gateway.until(lambda: line(gateway).waiting)
            leaves.cancel()
            record = await gateway.records.of(0)
            gate.set()
            await first
            received: list[Received] = up.received
    assert (record.status, record.error) == (499, "client_gone")
    assert len(received) == 1


async def test_when_nobody_may_wait_the_answer_is_a_503_that_says_when() -> None:
    gate = asyncio.Event()
    async with running_upstream() as up:
        async with running_gateway(served_by(up.url, queue_tokens=0)) as gateway:
            up.then(stream(WHOLE_STREAM[0], gate, *WHOLE_STREAM[1:]))
            first = asyncio.ensure_future(gateway.chat(stream=True))
            await up.request(0)
            refused = await gateway.chat()
            gate.set()
            await first
            metrics = await gateway.metrics()
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert refused.json()["error"]["code"] == "overloaded"
    assert metrics.value("penstock_shed_total", model="chat", reason="queue_full") == 1


async def test_what_would_miss_the_objective_is_a_503_that_says_when_until_it_would_not() -> None:
    gate = asyncio.Event()
    tree = served_by("http://127.0.0.1:9")
    tree["models"]["chat"] |= {"policy": {"name": "slo"}, "slo": {"ttft_ms": 500, "refuse_late": True}}
    async with running_upstream() as up:
        tree["engines"]["e"]["replicas"][0]["url"] = up.url
        tree["models"]["chat"]["admission"] = {"in_flight": 0}
        async with running_gateway(tree) as gateway:
            route = gateway.worker.dispatcher.snapshot.fleet.models["chat"]
            prefill = next(route.endpoints()).state.prefill
            prefill.learn(1000.0, 120.0, 0.0)
            prefill.ms_per_token = 3.0
            up.then(stream(gate, *WHOLE_STREAM))
            long = [{"role": "user", "content": "x" * 8000}]  # some 2,000 tokens, 6 s by what was learned
            first = asyncio.ensure_future(gateway.chat(stream=True, messages=long))
            await up.request(0)
            refused = await gateway.chat()
            batch = asyncio.ensure_future(gateway.chat(headers={"x-penstock-priority": "-1"}))
            await up.request(1)
            gate.set()
            answers = [await first, await batch, await gateway.chat()]
            metrics = await gateway.metrics()
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "overloaded")
    assert 3 <= int(refused.headers["retry-after"]) <= 8
    assert "within the objective of the model" in refused.json()["error"]["message"]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert metrics.value("penstock_shed_total", model="chat", reason="misses_objective") == 1


@pytest.mark.parametrize("priority", ["high", "", "1e3", "99999", "-"])
async def test_a_priority_that_is_none_is_told(priority: str) -> None:
    async with running_upstream() as up:
        async with running_gateway(served_by(up.url)) as gateway:
            answer = await gateway.chat(headers={"x-penstock-priority": priority})
    assert answer.status_code == 400
    assert "x-penstock-priority" in answer.json()["error"]["message"]


def line(gateway: Any) -> Any:
    """The line of the only model."""
    return gateway.worker.dispatcher.snapshot.fleet.models["chat"].line
