"""Cancellation, overload and injected failures through a real socket, and the process from outside."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import socket
from typing import Any

import httpx
import pytest

from engines.simulator import FailureKind, SimulatorSettings, command
from engines.simulator.delivery import step
from engines.simulator.failures import draw
from engines.simulator.server import serve
from loadtests.processes.launched import free_port
from tests.engines.simulator.conftest import simulator
from tests.engines.simulator.test_server import HELLO, events, metric

pytestmark = pytest.mark.anyio

STREAM: dict[str, Any] = {**HELLO, "stream": True, "max_tokens": 8}
SLOW = {"ttft_ms": 60_000}


async def reads(client: httpx.AsyncClient, name: str, value: float) -> None:
    """Scrape until the metric has the value."""
    async with asyncio.timeout(60):
        while metric((await client.get("/metrics")).text, name) != value:
            pass


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_frees_its_seat(stream: bool) -> None:
    async with simulator(**SLOW) as client, asyncio.TaskGroup() as group:
        leaving = group.create_task(client.post("/v1/chat/completions", json={**HELLO, "stream": stream}))
        await reads(client, "vllm:num_requests_running", 1)
        assert (await client.get("/load")).json() == {"server_load": 1}
        leaving.cancel()
        await reads(client, "vllm:num_requests_running", 0)
        text = (await client.get("/metrics")).text
        assert 'finished_reason="abort",model_name="simulated-model"} 1.0' in text
        assert metric(text, "vllm:kv_cache_usage_perc") == 0


async def test_stream_headers_come_before_prefill() -> None:
    async with simulator(**SLOW) as client, client.stream("POST", "/v1/chat/completions", json=STREAM) as answer:
        assert answer.status_code == 200
        await reads(client, "vllm:num_requests_running", 1)


async def test_a_full_queue_answers_503_and_takes_no_seat() -> None:
    async with simulator(**SLOW, max_num_seqs=1, max_waiting_queue_length=1) as client:
        async with asyncio.TaskGroup() as group:
            held = [group.create_task(client.post("/v1/chat/completions", json=STREAM)) for _ in range(2)]
            await reads(client, "vllm:num_requests_waiting", 1)
            refused = await client.post("/v1/chat/completions", json=STREAM)
            for task in held:
                task.cancel()
        await reads(client, "vllm:num_requests_running", 0)
        text = (await client.get("/metrics")).text
    assert (refused.status_code, refused.json()["error"]["type"]) == (503, "ServiceUnavailableError")
    assert metric(text, "vllm:admission_rejections_total") == 1


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("rate_limit", 429),
        ("invalid_api_key", 401),
        ("context_length", 400),
        ("model_not_found", 404),
        ("server_error", 500),
        ("overload", 503),
    ],
)
async def test_an_injected_http_error_has_its_status_and_shape(kind: str, status: int) -> None:
    async with simulator(failure_rate=1, failure_kinds=(FailureKind(kind),)) as client:
        answer = await client.post("/v1/chat/completions", json=STREAM)
        embedding = await client.post("/v1/embeddings", json={"input": "x"})
        health = await client.get("/health")
    assert [status, status, 200] == [answer.status_code, embedding.status_code, health.status_code]
    assert answer.json()["error"]["code"] == status
    assert answer.headers.get("retry-after") == ("1" if status == 429 else None)


def failing(kind: FailureKind) -> Any:
    return simulator(failure_rate=1, failure_kinds=(kind,))


async def collected(client: httpx.AsyncClient, body: dict[str, Any]) -> tuple[int, bytes, bool]:
    """Status, body so far, and whether the connection broke."""
    data = b""
    try:
        async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
            try:
                async for piece in answer.aiter_raw():
                    data += piece
            except httpx.RemoteProtocolError:
                return answer.status_code, data, True
            return answer.status_code, data, False
    except httpx.RemoteProtocolError:
        return 0, data, True


async def test_disconnect_closes_before_the_first_body_byte() -> None:
    async with failing(FailureKind.DISCONNECT) as client:
        assert await collected(client, STREAM) == (200, b"", True)
        assert await collected(client, {**STREAM, "stream": False}) == (0, b"", True)
        await reads(client, "vllm:num_requests_running", 0)


async def test_disconnect_mid_stream_breaks_off_after_half_the_tokens() -> None:
    async with failing(FailureKind.DISCONNECT_MID_STREAM) as client:
        status, data, broken = await collected(client, STREAM)
        plain_status, plain, plain_broken = await collected(client, {**STREAM, "stream": False})
        await reads(client, "vllm:num_requests_running", 0)
    assert (status, broken, data.count(b"data: ")) == (200, True, 1 + 4)
    assert b"[DONE]" not in data
    assert (plain_status, plain_broken) == (200, True)
    assert plain.startswith(b'{"id":"chatcmpl-')


async def test_a_stream_error_is_an_error_event_and_then_done_as_vllm_sends_it() -> None:
    async with failing(FailureKind.STREAM_ERROR) as client:
        got = events(await client.post("/v1/chat/completions", json=STREAM))
        plain = await client.post("/v1/chat/completions", json=HELLO)
        message = events(await client.post("/v1/messages", json=STREAM))
        response = events(await client.post("/v1/responses", json={"input": "x", "stream": True}))
    assert len(got) == 1 + 4 + 2
    assert (got[-2]["error"]["type"], got[-1]) == ("InternalServerError", "[DONE]")
    assert (plain.status_code, plain.json()["error"]["code"]) == (500, 500)
    assert (message[-1]["type"], response[-1]["type"]) == ("error", "error")


async def test_a_truncated_stream_ends_cleanly_without_finish_reason_or_done() -> None:
    async with failing(FailureKind.TRUNCATED) as client:
        got = events(await client.post("/v1/chat/completions", json=STREAM))
        plain = (await client.post("/v1/chat/completions", json=HELLO)).json()
    assert [event["choices"][0]["finish_reason"] for event in got] == [None] * (1 + 4)
    assert plain["choices"][0]["finish_reason"] is None


async def test_malformed_json_comes_once_in_a_stream_and_as_a_whole_plain_body() -> None:
    async with failing(FailureKind.MALFORMED) as client:
        answer = await client.post("/v1/chat/completions", json=STREAM)
        plain = await client.post("/v1/chat/completions", json=HELLO)
    lines = [line[6:] for line in answer.text.splitlines() if line.startswith("data: {")]
    assert lines.count('{"choices":[{"delta":{"content":') == 1
    assert len(lines) == 1 + 8 + 1 + 1
    assert plain.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        plain.json()


async def test_a_hanging_request_gets_nothing_and_holds_no_seat() -> None:
    async with failing(FailureKind.HANG) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post("/v1/chat/completions", json=STREAM, timeout=httpx.Timeout(5, read=0.05))
        await reads(client, "vllm:num_requests_running", 0)


def test_failures_come_at_their_rate_and_of_their_kinds() -> None:
    rng = random.Random(3)
    kinds = (FailureKind.HANG, FailureKind.OVERLOAD)
    drawn = [draw(0.25, kinds, rng) for _ in range(4000)]
    assert set(drawn) == {None, *kinds}
    assert 900 < sum(kind is not None for kind in drawn) < 1100
    assert draw(0.0, kinds, rng) is None
    assert {draw(1.0, (), rng) for _ in range(1000)} == set(FailureKind)


async def test_a_send_that_would_wait_is_undone_whole() -> None:
    sent: list[object] = []
    room = asyncio.Event()

    async def send(message: object) -> None:
        await room.wait()
        sent.append(message)

    assert not step(send, {"n": 1})
    assert sent == []
    room.set()
    assert step(send, {"n": 2})
    assert sent == [{"n": 2}]


async def test_a_slow_reader_gets_every_token_in_order_when_it_reads_at_last() -> None:
    body = json.dumps({**HELLO, "stream": True, "max_tokens": 20_000}).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(
        body
    )
    async with simulator(ttft_ms=1, itl_ms=0.001) as client:
        url = client.base_url
        narrow = socket.socket()
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        narrow.setblocking(False)
        await asyncio.get_running_loop().sock_connect(narrow, (url.host, url.port))
        reader, writer = await asyncio.open_connection(sock=narrow, limit=1024)
        writer.write(head + body)
        await reads(client, "vllm:generation_tokens_total", 20_000)  # all made while nothing is read
        async with asyncio.timeout(20):
            data = await reader.read(-1)
        writer.close()
        await writer.wait_closed()
    assert data.count(b'"finish_reason":null') == 20_001
    assert data.count(b"data: [DONE]\n\n") == 1


async def test_the_command_serves_and_ends_on_sigterm() -> None:
    process = await asyncio.create_subprocess_exec(
        *command(SimulatorSettings(models=("m",))), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            line = (await process.stdout.readline()).decode()
        assert line.startswith("listening on http://127.0.0.1:")
        async with httpx.AsyncClient(base_url=line.split()[-1], trust_env=False) as client:
            assert (await client.get("/v1/models")).json()["data"][0]["id"] == "m"
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_connections_are_refused_until_the_start_up_delay_is_over() -> None:
    stop = asyncio.Event()
    heard: list[str] = []
    port = free_port()
    settings = SimulatorSettings(startup_delay_s=600)
    async with asyncio.TaskGroup() as group:
        group.create_task(serve(settings, port=port, on_listening=heard.append, stop=stop))
        with socket.socket() as other:
            await asyncio.sleep(0)  # the server binds in its first step
            with pytest.raises(OSError, match="Address already in use"):
                other.bind(("127.0.0.1", port))
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        stop.set()
    assert heard == []


async def test_connections_are_taken_after_the_start_up_delay() -> None:
    async with simulator(startup_delay_s=0.01) as client:
        assert (await client.get("/health")).status_code == 200


async def test_an_address_in_use_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        with pytest.raises(OSError, match="Address already in use"):
            await serve(SimulatorSettings(), port=other.getsockname()[1])


async def test_a_unix_socket_serves_too(tmp_path: Any) -> None:
    path = str(tmp_path / "sim.sock")
    process = await asyncio.create_subprocess_exec(
        *command(SimulatorSettings(), uds=path), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert (await process.stdout.readline()).decode() == f"listening on unix:{path}\n"
        transport = httpx.AsyncHTTPTransport(uds=path)
        async with httpx.AsyncClient(transport=transport, base_url="http://sim") as client:
            assert (await client.get("/health")).status_code == 200
    finally:
        process.terminate()
        await process.wait()


async def test_a_bad_option_is_one_sentence_and_status_2() -> None:
    words = [*command(SimulatorSettings()), "--max-num-seqs", "0"]
    process = await asyncio.create_subprocess_exec(*words, stderr=asyncio.subprocess.PIPE)
    _, error = await process.communicate()
    assert process.returncode == 2
    assert error.decode() == "python -m engines.simulator: max_num_seqs is 0: it must be 1 or more\n"
