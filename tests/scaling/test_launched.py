"""Launched simulators that follow their traffic: from zero, up, down, and nothing lost on the way."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.scaling.launched import looked, scaled, standing
from tests.scenario.gateway import Gateway, document, running_gateway

pytestmark = [pytest.mark.anyio, pytest.mark.scaling]

STREAM = {"model": "chat", "messages": [{"role": "user", "content": "hi"}], "stream": True, "max_tokens": 5}


async def leave_early(gateway: Gateway) -> None:
    """A client that gives up before any replica serves."""
    with pytest.raises(httpx.ReadTimeout):
        await gateway.http.post("/v1/chat/completions", json=STREAM, timeout=0.2)


async def test_the_first_answer_comes_within_a_second_of_the_start(tmp_path: Any) -> None:
    loop = asyncio.get_running_loop()
    async with running_gateway(scaled(tmp_path, startup_s=2.0)) as gateway:
        began_s = loop.time()
        assert (await gateway.chat(max_tokens=5)).status_code == 200
        took_s = loop.time() - began_s
    assert 2.0 <= took_s


async def test_a_provider_of_a_later_tier_serves_meanwhile_and_the_model_wakes_all_the_same(tmp_path: Any) -> None:
    models = {"chat": {"targets": [{"engine": "sim"}, {"engine": "other"}]}}
    other = {"other": {"kind": "simulator", "ttft_ms": 5, "itl_ms": 1, "tokens": 5}}
    async with running_gateway(scaled(tmp_path, models, other)) as gateway:
        await gateway.until(lambda: len(gateway.worker.fleet.states("other")) == 1)
        assert (await gateway.chat()).headers["x-penstock-engine"] == "other"
        await looked(gateway, ready=1)
        assert (await gateway.chat()).headers["x-penstock-engine"] == "sim"


async def test_wakes_whose_clients_leave_lose_nobody_else(tmp_path: Any) -> None:
    config = scaled(tmp_path, startup_s=0.2, autoscale={"zero_after_s": 0.001, "startup_s": 0.5})
    async with running_gateway(config) as gateway:
        for _ in range(4):
            waits = [gateway.chat(stream=True, max_tokens=5) for _ in range(8)]
            answers = await asyncio.gather(*waits, *(leave_early(gateway) for _ in range(8)))
            assert [answer.status_code for answer in answers if answer is not None] == [200] * 8
            assert gateway.worker.dispatcher.room.busy == {}
            await looked(gateway, ready=0, starting=0, draining=0)
        woken = [one for one in gateway.plane.autoscaling.decisions() if one.why == "woken"]
        assert len(woken) == 4


async def test_load_brings_more_and_its_end_takes_them_away_without_a_cut_stream(tmp_path: Any) -> None:
    # One that stays is for one replica of four places, and would be for two of two: arrivals vary.
    autoscale = {"min": 1, "down_after_s": 1, "startup_s": 1, "concurrency": 4}
    config = scaled(tmp_path, itl_ms=20, autoscale=autoscale)
    async with running_gateway(config) as gateway:
        over, fewer = asyncio.Event(), asyncio.Event()
        ends: list[tuple[int, bool]] = []

        async def load(until: asyncio.Event) -> None:
            while not until.is_set():
                answer = await gateway.chat(stream=True, max_tokens=30)
                ends.append((answer.status_code, answer.text.endswith("data: [DONE]\n\n")))

        running = [asyncio.ensure_future(load(fewer if n else over)) for n in range(8)]
        await looked(gateway, ready=3)
        fewer.set()
        async with asyncio.timeout(120):
            while standing(gateway)["ready"] > 1:
                await asyncio.sleep(0.05)
        over.set()
        await asyncio.gather(*running)
        assert set(ends) == {(200, True)}
        assert len(ends) > 8, "each client was served more than once"


async def test_one_that_drains_stays_when_it_is_wanted_again(tmp_path: Any) -> None:
    config = scaled(tmp_path, itl_ms=50, tokens=60, autoscale={"min": 2, "max": 2})
    async with running_gateway(config) as gateway:
        await looked(gateway, ready=2)
        streams = [asyncio.ensure_future(gateway.chat(stream=True, max_tokens=60)) for _ in range(4)]
        await gateway.until(lambda: len(gateway.in_flight()) > 2)
        actuator = gateway.plane.autoscaling._actuator
        actuator.scale("sim", 1, {}, asyncio.get_running_loop().time())
        assert (standing(gateway)["ready"], standing(gateway)["draining"]) == (1, 1)
        actuator.scale("sim", 2, {}, asyncio.get_running_loop().time())
        assert (standing(gateway)["ready"], standing(gateway)["draining"]) == (2, 0)
        assert [(await one).text.endswith("data: [DONE]\n\n") for one in streams] == [True] * 4


async def test_a_start_that_fails_is_told_to_who_waits_and_shown_with_its_reason(tmp_path: Any) -> None:
    launch = {"model": "m", "python": "/nonexistent/python"}
    config = document(
        engines={"llm": {"kind": "vllm", "launch": launch, "autoscale": {"min": 0, "max": 2}}},
        models={"chat": {"targets": [{"engine": "llm"}]}},
        data_dir=str(tmp_path),
    )
    async with running_gateway(config) as gateway:
        answer = await gateway.chat()
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "no_replica_available")
        assert "its first replica failed to start, and is tried again" in answer.json()["error"]["message"]
        assert int(answer.headers["retry-after"]) >= 1
        async with asyncio.timeout(30):  # and not held for `hold_s`, by a start that is tried again and again
            again = await asyncio.gather(*(gateway.chat() for _ in range(3)))
        assert [answer.status_code for answer in again] == [503] * 3
        assert standing(gateway)["failing"] == 1
        assert "/nonexistent/python cannot be run" in standing(gateway)["failure"]
