"""SIGTERM: nothing new, what runs may finish, and what does not finish in time is cut, told and accounted for."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from gateway.http.reader import BODY, HEAD
from tests.scenario.gateway import KEY, one_model, running_gateway
from tests.scenario.test_client_leaves import client_of, raw_request
from tests.scenario.test_slow_reader import silent_client, stalled
from tests.scenario.upstream import DONE, WHOLE_STREAM, WORDS, Answer, End, chunk, running_upstream, stream

pytestmark = pytest.mark.anyio


async def test_streams_finish_and_new_connections_are_refused() -> None:
    gate = asyncio.Event()
    async with running_upstream(stream(WORDS[0], gate, *WHOLE_STREAM[1:])) as upstream:
        async with running_gateway(one_model(upstream.url)) as gateway:
            running = asyncio.ensure_future(gateway.chat(stream=True))
            await upstream.request()
            assert gateway.worker.ready
            draining = asyncio.ensure_future(gateway.plane.stop(30))
            await gateway.until(lambda: gateway.worker.draining)
            assert not gateway.worker.ready
            with pytest.raises(httpx.ConnectError):
                async with httpx.AsyncClient(trust_env=False) as http:
                    await http.get(f"{gateway.url}/ready")
            assert not draining.done()
            gate.set()
            answer = await running
            await draining
            record = gateway.records.all[0]
    assert 200 == answer.status_code
    assert answer.content.endswith(WORDS[2] + WHOLE_STREAM[3] + DONE)
    assert (200, "") == (record.status, record.error)


async def test_plain_answers_finish_and_their_connection_is_closed() -> None:
    gate = asyncio.Event()
    async with running_upstream(Answer([b"{}"], before=gate)) as upstream:
        async with running_gateway(one_model(upstream.url)) as gateway:
            running = asyncio.ensure_future(gateway.chat())
            await upstream.request()
            draining = asyncio.ensure_future(gateway.plane.stop(30))
            await gateway.until(lambda: gateway.worker.draining)
            gate.set()
            answer = await running
            await draining
    assert (200, "close") == (answer.status_code, answer.headers["connection"])


async def test_an_idle_connection_is_closed_at_once() -> None:
    async with running_upstream() as upstream, running_gateway(one_model(upstream.url)) as gateway:
        async with client_of(gateway) as (reader, writer):
            writer.write(raw_request(stream=False))
            await reader.readuntil(b"\r\n\r\n")
            await gateway.records.of()
            await gateway.plane.stop(30)
            await reader.read()


async def test_ready_is_false_for_whoever_is_still_connected() -> None:
    async with running_upstream() as upstream, running_gateway(one_model(upstream.url)) as gateway:
        async with client_of(gateway) as (reader, writer):
            writer.write(b"GET /ready HTTP/1.1\r\nhost: x\r\n")
            await gateway.until(lambda: any(one._reader.stage == HEAD for one in gateway.clients))
            draining = asyncio.ensure_future(gateway.plane.stop(30))
            await gateway.until(lambda: gateway.worker.draining)
            writer.write(b"\r\n")
            answer = await reader.read()
            await draining
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert answer.endswith(b'{"status":"draining"}')


async def test_a_request_that_is_on_its_way_in_is_still_served() -> None:
    request = raw_request(stream=False)
    async with running_upstream() as upstream, running_gateway(one_model(upstream.url)) as gateway:
        async with client_of(gateway) as (reader, writer):
            writer.write(request[:-5])
            await gateway.until(lambda: any(one._reader.stage == BODY for one in gateway.clients))
            draining = asyncio.ensure_future(gateway.plane.stop(30))
            await gateway.until(lambda: gateway.worker.draining)
            writer.write(request[-5:])
            answer = await reader.read()
            await draining
    assert answer.startswith(b"HTTP/1.1 200 ")


async def test_what_does_not_finish_in_time_is_cut_and_accounted_for() -> None:
    async with (
        running_upstream(stream(WORDS[0], End.HANG)) as streaming,
        running_upstream(Answer(before=End.HANG)) as plain,
    ):
        config = one_model(streaming.url)
        config["engines"]["b"] = {"kind": "vllm", "replicas": [{"url": plain.url}]}
        config["models"]["slow"] = {"targets": [{"engine": "b"}]}
        async with running_gateway(config) as gateway:
            cut = [asyncio.ensure_future(gateway.chat(stream=True)), asyncio.ensure_future(gateway.chat("slow"))]
            await streaming.request()
            await plain.request()
            await gateway.plane.stop(0.05)
            failures = await asyncio.gather(*cut, return_exceptions=True)
            await streaming.received[0].gone.wait()
            await plain.received[0].gone.wait()
            records = gateway.records.all
            assert {} == gateway.in_flight()
    assert [True, True] == [isinstance(failure, httpx.TransportError) for failure in failures]
    assert [(499, "draining")] * 2 == [(record.status, record.error) for record in records]


async def test_a_reader_that_never_reads_does_not_hold_up_the_end() -> None:
    blocks = [chunk("x" * 50_000)] * 400
    async with running_upstream(stream(*blocks, DONE)) as upstream:
        async with running_gateway(one_model(upstream.url)) as gateway:
            async with silent_client(gateway, raw_request(stream=True)):
                await stalled(gateway, await upstream.request())
                await gateway.plane.stop(0.05)
                await upstream.received[0].gone.wait()


async def test_a_retry_under_way_is_finished_too() -> None:
    gate = asyncio.Event()
    async with running_upstream(Answer([b"no"], 500, before=gate)) as first, running_upstream() as second:
        async with running_gateway(one_model(first.url, second.url)) as gateway:
            running = asyncio.ensure_future(gateway.chat())
            await first.request()
            draining = asyncio.ensure_future(gateway.plane.stop(30))
            await gateway.until(lambda: gateway.worker.draining)
            gate.set()
            answer = await running
            await draining
    assert (200, "b") == (answer.status_code, answer.headers["x-penstock-engine"])


async def test_draining_twice_is_draining_once() -> None:
    async with running_upstream() as upstream, running_gateway(one_model(upstream.url)) as gateway:
        await gateway.plane.stop(1)
        await gateway.plane.stop(1)
        with pytest.raises(httpx.ConnectError):
            await gateway.http.get("/health", headers={"authorization": f"Bearer {KEY}"})
