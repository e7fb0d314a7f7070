"""Replicas that sleep and wake in place of being stopped and started: simulators, launched here and written down."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.engines.simulator.conftest import simulator
from tests.scaling.launched import looked, scaled, standing
from tests.scenario.gateway import LONGEST_S, Gateway, document, running_gateway

pytestmark = pytest.mark.anyio


async def asleep(gateway: Gateway, count: int) -> None:
    """Until so many sleep; the loop looks as often as it can."""
    async with asyncio.timeout(LONGEST_S):
        while standing(gateway)["asleep"] != count:
            await gateway.plane.autoscaling.look()


async def test_written_replicas_sleep_and_the_next_request_waits_for_the_first_to_wake() -> None:
    async with simulator(sleep_mode=True, wake_s=0.1) as one, simulator(sleep_mode=True) as two:
        urls = [str(client.base_url).rstrip("/") for client in (one, two)]
        autoscale = {"min": 0, "max": 2, "zero_after_s": 0.001, "sleep": {"level": 2}}
        config = document(
            engines={"llm": {"kind": "vllm", "replicas": [{"url": url} for url in urls], "autoscale": autoscale}},
            models={"chat": {"targets": [{"engine": "llm", "model": "simulated-model"}]}},
        )
        async with running_gateway(config) as gateway:
            assert (await gateway.chat()).status_code == 200
            await asleep(gateway, 2)
            await gateway.metric(2.0, "penstock_replicas", engine="llm", state="asleep")
            await gateway.metric(2.0, "penstock_replica_sleeps_total", engine="llm", result="slept")
            assert {replica.state for engine in gateway.plane.replicas() for replica in engine} == {"asleep"}
            answers = await asyncio.gather(*(gateway.chat(stream=bool(n % 2)) for n in range(4)))
            assert [answer.status_code for answer in answers] == [200] * 4
            await gateway.metric(1.0, "penstock_replica_sleeps_total", engine="llm", result="woken")


async def test_a_gateway_that_starts_before_sleeping_replicas_wakes_them_for_its_first_request() -> None:
    async with simulator(sleep_mode=True) as one:
        assert (await one.post("/sleep?level=2")).status_code == 200
        autoscale = {"min": 0, "max": 1, "sleep": {"level": 1}}
        url = str(one.base_url).rstrip("/")
        config = document(
            engines={"llm": {"kind": "vllm", "replicas": [{"url": url}], "autoscale": autoscale}},
            models={"chat": {"targets": [{"engine": "llm", "model": "simulated-model"}]}},
        )
        async with running_gateway(config) as gateway:
            await looked(gateway, ready=0, asleep=1)
            assert (await gateway.chat()).status_code == 200


@pytest.mark.slow
async def test_launched_replicas_sleep_when_idle_and_wake_in_place_of_a_start(tmp_path: Any) -> None:
    autoscale = {"max": 1, "zero_after_s": 0.001, "startup_s": 30, "sleep": {"level": 1, "wake_s": 1}}
    async with running_gateway(scaled(tmp_path, startup_s=0.5, wake_s=0.1, autoscale=autoscale)) as gateway:
        assert (await gateway.chat(max_tokens=5)).status_code == 200
        for _ in range(2):
            await looked(gateway, ready=0, starting=0, draining=0, asleep=1)
            launcher = gateway.plane.launches.launcher("sim")
            assert launcher is not None
            assert [each.id for each in launcher.launched] == ["sim-0"], "its process stays"
            # A deadline far below the start-up, which it would not wait for.
            answer = await gateway.chat(max_tokens=5, headers={"x-request-timeout-ms": "10000"})
            assert answer.status_code == 200
        status = standing(gateway)
        assert status["startup_s"] > status["wake_s"]
