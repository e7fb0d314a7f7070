"""A client that leaves takes its work with it, at whatever moment: the engine is told by a closed connection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.scenario.gateway import HELLO, KEY, LONGEST_S, Gateway, one_model, running_gateway
from tests.scenario.test_deadlines import port_that_never_answers
from tests.scenario.upstream import WORDS, Answer, End, refusal, running_upstream, stream

pytestmark = pytest.mark.anyio


def raw_request(*, stream: bool, path: str = "/v1/chat/completions") -> bytes:
    body = json.dumps({"model": "chat", "messages": HELLO, "stream": stream}).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


@asynccontextmanager
async def client_of(gateway: Gateway) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A bare connection, closed at the end of the block."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def left(gateway: Gateway) -> dict[str, Any]:
    """What the record of the request says, and what the gauges do."""
    record = await gateway.records.of()
    metrics = await gateway.metrics()
    return {
        "status": record.status,
        "error": record.error,
        "in flight": metrics.value("penstock_in_flight"),
        "state": gateway.in_flight(),
        "breaker": metrics.value("penstock_breaker_open"),
    }


GONE = {"status": 499, "error": "client_gone", "in flight": 0, "state": {}, "breaker": 0}
STRICT = {"breaker": {"min_failures": 1}}


@pytest.mark.parametrize("behind", [raw_request(stream=True), b"GET / HTTP/1.1\r\n\r\n"], ids=["another", "nonsense"])
async def test_with_something_behind_its_request(behind: bytes) -> None:
    async with running_upstream(stream(End.HANG)) as upstream:
        async with running_gateway(one_model(upstream.url, **STRICT)) as gateway:
            async with client_of(gateway) as (_, writer):
                writer.write(raw_request(stream=True) + behind)
                received = await upstream.request()
            await asyncio.wait_for(received.gone.wait(), LONGEST_S)
            assert GONE == await left(gateway)
    assert 1 == len(upstream.received)


@pytest.mark.parametrize("reset", [False, True])
async def test_while_its_stream_runs(reset: bool) -> None:
    async with running_upstream(stream(WORDS[0], End.HANG)) as upstream:
        async with running_gateway(one_model(upstream.url, **STRICT)) as gateway:
            async with client_of(gateway) as (reader, writer):
                writer.write(raw_request(stream=True))
                await reader.readuntil(WORDS[0])
                if reset:
                    writer.transport.abort()
            await upstream.received[0].gone.wait()
            assert GONE == await left(gateway)


@pytest.mark.parametrize("streaming", [False, True])
async def test_while_it_waits_for_the_first_byte(streaming: bool) -> None:
    async with running_upstream(Answer(before=End.HANG)) as upstream:
        async with running_gateway(one_model(upstream.url, **STRICT)) as gateway:
            async with client_of(gateway) as (_, writer):
                writer.write(raw_request(stream=streaming))
                await upstream.request()
            await upstream.received[0].gone.wait()
            assert GONE == await left(gateway)


async def test_in_the_middle_of_a_plain_answer() -> None:
    async with running_upstream(Answer([b'{"id":', End.HANG], length=100)) as upstream:
        async with running_gateway(one_model(upstream.url, **STRICT)) as gateway:
            async with client_of(gateway) as (_, writer):
                writer.write(raw_request(stream=False))
                await upstream.request()
            await upstream.received[0].gone.wait()
            assert GONE == await left(gateway)


async def test_while_a_large_plain_answer_passes_through() -> None:
    async with running_upstream(Answer([b"x" * 300_000, End.HANG], length=10**9)) as upstream:
        async with running_gateway(one_model(upstream.url, **STRICT)) as gateway:
            async with client_of(gateway) as (reader, writer):
                writer.write(raw_request(stream=False))
                await reader.readuntil(b"\r\n\r\n")
            await upstream.received[0].gone.wait()
            assert GONE == await left(gateway)


async def test_in_the_middle_of_an_error_answer() -> None:
    async with running_upstream(Answer([b'{"error":', End.HANG], 500, length=100)) as upstream:
        async with running_gateway(one_model(upstream.url, **STRICT)) as gateway:
            async with client_of(gateway) as (_, writer):
                writer.write(raw_request(stream=False))
                await upstream.request()
            await upstream.received[0].gone.wait()
            assert GONE == await left(gateway)


async def test_while_the_gateway_connects() -> None:
    with port_that_never_answers() as hung:
        async with running_gateway(one_model(hung, **STRICT)) as gateway:
            async with client_of(gateway) as (_, writer):
                writer.write(raw_request(stream=False))
                await gateway.until(gateway.in_flight)
            assert GONE == await left(gateway)


async def test_while_it_waits_for_a_free_connection() -> None:
    async with running_upstream(Answer(before=End.HANG)) as upstream:
        engine = {"kind": "openai", "base_url": upstream.url, "connections": 1}
        async with running_gateway(one_model(engine, **STRICT)) as gateway:
            async with client_of(gateway) as (_, holding):
                holding.write(raw_request(stream=False))
                await upstream.request()
                async with client_of(gateway) as (_, writer):
                    writer.write(raw_request(stream=False))
                    await gateway.until(lambda: gateway.in_flight().get("series ('chat', 'a', '')") == 2)
                record = await gateway.records.of()
                assert (499, "client_gone") == (record.status, record.error)
            await gateway.records.of(1)
    assert 1 == len(upstream.received)


async def test_while_a_retry_waits_its_turn() -> None:
    async with running_upstream(refusal(429, "wait", ("retry-after", "9"))) as upstream:
        async with running_gateway(one_model(upstream.url, retry={"max_retry_after_s": 10}, **STRICT)) as gateway:
            async with client_of(gateway) as (_, writer):
                writer.write(raw_request(stream=False))
                await gateway.metric(1, "penstock_retries_total")
            assert GONE == await left(gateway)
    assert 1 == len(upstream.received)


async def test_a_probe_whose_client_leaves_gives_its_place_back() -> None:
    async with running_upstream() as upstream:
        upstream.then(refusal(500), Answer(before=End.HANG))
        async with running_gateway(one_model(upstream.url, retry={"max_attempts": 1}, **STRICT)) as gateway:
            await gateway.chat()
            (state,) = gateway.worker.fleet.table
            state.breaker.open_until = 0.0
            async with client_of(gateway) as (_, writer):
                writer.write(raw_request(stream=False))
                await upstream.request(1)
            await gateway.records.of(1)
            assert 200 == (await gateway.chat()).status_code


async def test_a_hundred_at_once_leave_nothing_behind() -> None:
    async with running_upstream(stream(WORDS[0], End.HANG)) as upstream:
        async with running_gateway(one_model({"kind": "openai", "base_url": upstream.url})) as gateway:
            clients = []
            for _ in range(100):
                reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
                writer.write(raw_request(stream=True))
                clients.append((reader, writer))
            for reader, _ in clients:
                await reader.readuntil(WORDS[0])
            assert 100 == (await gateway.metrics()).value("penstock_in_flight", model="chat", engine="a")
            assert 100 == upstream.open_connections
            for _, writer in clients:
                writer.close()
            await upstream.connections(0)
            await gateway.records.of(99)
            metrics = await gateway.metrics()
            assert {} == gateway.in_flight()
    assert 100 == metrics.value("penstock_requests_total", code="499")
    assert 0 == metrics.value("penstock_in_flight")
