"""Sleep mode, over the socket, as vLLM's own is asked."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.engines.simulator.conftest import simulator
from tests.engines.simulator.test_server import metric

pytestmark = pytest.mark.anyio

HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "one two three"}], "max_tokens": 3}


async def asleep(client: httpx.AsyncClient) -> bool:
    told: bool = (await client.get("/is_sleeping")).json()["is_sleeping"]
    return told


async def state(client: httpx.AsyncClient) -> list[float]:
    text = (await client.get("/metrics")).text
    lines = [line for line in text.splitlines() if line.startswith("vllm:engine_sleep_state{")]
    return [float(line.rsplit(" ", 1)[1]) for line in lines]


async def test_without_the_development_mode_there_are_no_such_endpoints() -> None:
    async with simulator() as client:
        for path in ("/sleep", "/wake_up", "/collective_rpc"):
            assert (await client.post(path)).status_code == 404
        assert (await client.get("/is_sleeping")).status_code == 404


async def test_a_request_to_a_server_that_sleeps_waits_until_it_is_woken() -> None:
    async with simulator(sleep_mode=True) as client:
        assert not await asleep(client)
        assert await state(client) == [1.0, 0.0, 0.0]
        assert (await client.post("/sleep?level=1")).status_code == 200
        assert await asleep(client)
        assert await state(client) == [0.0, 1.0, 0.0]
        waits = asyncio.ensure_future(client.post("/v1/chat/completions", json=HELLO))
        while metric((await client.get("/metrics")).text, "vllm:num_requests_running"):
            pass
        assert not waits.done()
        assert (await client.post("/wake_up")).status_code == 200
        assert (await waits).status_code == 200
        assert not await asleep(client)
        assert await state(client) == [1.0, 0.0, 0.0]


async def test_level_2_needs_its_weights_again() -> None:
    async with simulator(sleep_mode=True) as client:
        await client.post("/sleep?level=2")
        assert await state(client) == [0.0, 0.0, 1.0]
        assert (await client.post("/collective_rpc", json={"method": "reload_weights"})).status_code == 500
        await client.post("/wake_up")
        assert (await client.post("/v1/chat/completions", json=HELLO)).status_code == 500
        await client.post("/sleep?level=1")
        assert await state(client) == [0.0, 0.0, 1.0], "its weights are gone still"
        await client.post("/wake_up?tags=weights")
        assert await asleep(client)
        assert (await client.post("/collective_rpc", json={"method": "reload_weights"})).status_code == 200
        await client.post("/wake_up?tags=kv_cache")
        assert not await asleep(client)
        assert (await client.post("/v1/chat/completions", json=HELLO)).status_code == 200


async def test_what_it_had_cached_is_gone() -> None:
    prompt = {"messages": [{"role": "user", "content": "a long prompt " * 50}], "max_tokens": 1}
    async with simulator(sleep_mode=True) as client:
        for _ in range(2):
            await client.post("/v1/chat/completions", json=prompt)
        hits = metric((await client.get("/metrics")).text, "vllm:prefix_cache_hits_total")
        assert hits > 0
        await client.post("/sleep")
        await client.post("/wake_up")
        await client.post("/v1/chat/completions", json=prompt)
        assert metric((await client.get("/metrics")).text, "vllm:prefix_cache_hits_total") == hits


@pytest.mark.parametrize(("mode", "whole"), [("abort", False), ("wait", True)])
async def test_what_runs_is_cut_or_waited_for(mode: str, whole: bool) -> None:
    async with simulator(sleep_mode=True, itl_ms=10) as client:
        body = {**HELLO, "max_tokens": 20, "stream": True}
        async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
            lines = answer.aiter_lines()
            await anext(lines)
            sleeps = asyncio.ensure_future(client.post(f"/sleep?mode={mode}"))
            got: list[str] = []
            if whole:
                got = [line async for line in lines if line]
            else:
                with pytest.raises(httpx.RemoteProtocolError):
                    got = [line async for line in lines if line]
        assert (await sleeps).status_code == 200
        assert (got[-1:] == ["data: [DONE]"]) is whole
        assert await asleep(client)


@pytest.mark.parametrize("path", ["/sleep?level=3", "/sleep?mode=keep", "/wake_up?tags=brain"])
async def test_what_it_does_not_know_it_refuses(path: str) -> None:
    async with simulator(sleep_mode=True) as client:
        assert (await client.post(path)).status_code == 400
        assert (await client.post("/collective_rpc", json={"method": "rm"})).status_code == 400
        assert not await asleep(client)


async def test_a_client_that_leaves_while_it_waits_leaves_nothing_behind() -> None:
    async with simulator(sleep_mode=True) as client:
        await client.post("/sleep")
        with pytest.raises(httpx.ReadTimeout):
            await client.post("/v1/chat/completions", json=HELLO, timeout=httpx.Timeout(60, read=0.1))
        await client.post("/wake_up")
        assert (await client.get("/load")).json() == {"server_load": 0}
        assert (await client.post("/v1/chat/completions", json=HELLO)).status_code == 200
