"""A replica that is slow to begin costs its clients a moment, and its engine nothing more."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.engines.simulator.conftest import simulator
from tests.scenario.gateway import LONGEST_S, Exposition, events_of, one_model, running_gateway
from tests.scenario.test_retry import ROUND_ROBIN
from tests.scenario.upstream import End, running_upstream, stream

pytestmark = pytest.mark.anyio

AN_HOUR_MS = 600_000.0


def hedging(*urls: str, **settings: Any) -> dict[str, Any]:
    config = one_model(list(urls))
    config["models"]["chat"] |= ROUND_ROBIN | {"hedging": {"enabled": True, **settings}}
    return config


def url_of(engine: httpx.AsyncClient) -> str:
    return str(engine.base_url).rstrip("/")


async def running(engine: httpx.AsyncClient) -> float:
    """What a simulator says of the requests that it computes or lets wait."""
    page = Exposition((await engine.get("/metrics")).text)
    return page.value("vllm:num_requests_running") + page.value("vllm:num_requests_waiting")


async def test_a_replica_that_does_not_begin_is_outrun_and_its_engine_is_freed() -> None:
    async with (
        simulator(models=("upstream-model",), ttft_ms=AN_HOUR_MS) as slow,
        simulator(models=("upstream-model",)) as quick,
    ):
        async with running_gateway(hedging(url_of(slow), url_of(quick), after_ms=20)) as gateway:
            answers = [await gateway.chat(stream=True, max_tokens=3) for _ in range(4)]
            metrics = await gateway.metrics()
            async with asyncio.timeout(LONGEST_S):
                while await running(slow):
                    pass
    assert [answer.status_code for answer in answers] == [200] * 4
    assert {answer.headers["x-penstock-replica"] for answer in answers} == {url_of(quick).removeprefix("http://")}
    assert [answer.headers["x-penstock-attempts"] for answer in answers] == [
        "2"
    ] * 4  # the hedge takes the turn of the other
    assert all(events_of(answer.content)[-1] == "[DONE]" for answer in answers)
    assert metrics.labelled("penstock_hedges_total", "model", "result") == {("chat", "won"): 4.0}


async def test_the_p95_is_learned_of_the_streams_that_came_before() -> None:
    hung = stream(End.HANG)
    async with running_upstream(stream()) as one, running_upstream(stream()) as two:
        async with running_gateway(hedging(one.url, two.url)) as gateway:
            for _ in range(40):
                await gateway.chat(stream=True)
            assert (await gateway.metrics()).value("penstock_hedges_total") <= 10  # a twentieth, and luck
            one.then(hung)
            for _ in range(2):
                assert (await gateway.chat(stream=True)).status_code == 200
            assert (await gateway.metrics()).value("penstock_hedges_total", result="won") >= 1


async def test_without_it_nothing_is_sent_twice() -> None:
    gate = asyncio.Event()
    async with running_upstream(stream(gate, *stream().pieces)) as one, running_upstream(stream()) as two:
        config = one_model([one.url, two.url])
        config["models"]["chat"] |= ROUND_ROBIN
        async with running_gateway(config) as gateway:
            asked = asyncio.ensure_future(gateway.chat(stream=True))
            await one.request()
            for _ in range(200):
                await asyncio.sleep(0)
            gate.set()
            assert (await asked).headers["x-penstock-attempts"] == "1"
            assert len(two.received) == 0
