"""A client that reads slower than its engine writes: the engine is made to wait, and we hold almost nothing."""

from __future__ import annotations

import array
import asyncio
import fcntl
import json
import pathlib
import socket
import ssl
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trustme

from gateway.relay import StreamRelay
from gateway.relay.transcript import Overheard
from gateway.relay.translated import MAX_BYTES
from tests.scenario.gateway import LONGEST_S, Gateway, one_model, running_gateway
from tests.scenario.stopped_time import Time, stoppable
from tests.scenario.test_client_leaves import raw_request
from tests.scenario.upstream import DONE, Answer, Received, chunk, plain, running_upstream, stream

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

KIB = 1024
MIB = 1024 * KIB
OFFERED = 24 * MIB
"""Far more than all kernel buffers on the way may hold (Linux lets a send buffer grow to 4 MiB)."""
FINISH = chunk(finish_reason="stop")


@asynccontextmanager
async def silent_client(gateway: Gateway, request: bytes) -> AsyncIterator[socket.socket]:
    """A client with a small receive buffer that has sent its request and reads nothing by itself."""
    loop = asyncio.get_running_loop()
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await loop.sock_connect(sock, ("127.0.0.1", gateway.port))
        await loop.sock_sendall(sock, request)
        yield sock


async def stalled(gateway: Gateway, received: Received) -> Any:
    """The exchange with the engine, once it is paused and the engine can write no more."""
    await gateway.until(lambda: any(connection.paused for connection in gateway.clients))
    (connection,) = (connection for connection in gateway.clients if connection.paused)
    flight: Any = connection.work
    await gateway.until(lambda: flight.attempt.exchange.line._pausing)
    last = -1
    while received.written_bytes != last:
        last = received.written_bytes
        for _ in range(300):
            await asyncio.sleep(0)
    return connection, flight


def relay_of(flight: Any) -> Any:
    """Who takes its answer; a sample of the answers is heard by another before."""
    sink = flight.attempt.exchange.sink
    return sink._relay if isinstance(sink, Overheard) else sink


def held_bytes(connection: Any, flight: Any) -> int:
    """Everything of the answer that is in our memory."""
    relay = relay_of(flight)
    held = (
        len(relay._held or b"") + sum(map(len, relay._out))
        if isinstance(relay, StreamRelay)
        else len(relay._held) + len(relay._more or b"") + sum(map(len, relay._parts))
    )
    return held + int(connection.unsent_bytes)


async def read_all(sock: socket.socket) -> bytes:
    """The whole chunked body of the answer that `sock` has been sent."""
    loop = asyncio.get_running_loop()
    parts = []
    while True:
        parts.append(await loop.sock_recv(sock, MIB))
        if parts[-1].endswith(b"0\r\n\r\n") and b"".join(parts[-4:]).endswith(b"\r\n0\r\n\r\n"):
            break
    _, _, rest = b"".join(parts).partition(b"\r\n\r\n")
    body: list[bytes] = []
    at = 0
    while True:
        end = rest.index(b"\r\n", at)
        size = int(rest[at:end], 16)
        if not size:
            return b"".join(body)
        body.append(rest[end + 2 : end + 2 + size])
        at = end + 2 + size + 2


class TlsClient:
    """TLS over a socket, decrypted only as far as the test says: what is in the kernel is told from what we hold."""

    def __init__(self, sock: socket.socket, trust: ssl.SSLContext) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = trust.wrap_bio(self._in, self._out, server_hostname="127.0.0.1")

    async def send(self, data: bytes) -> None:
        """Shake hands, and send."""
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self._loop.sock_sendall(self._sock, self._out.read())
                self._in.write(await self._loop.sock_recv(self._sock, MIB))
        self._tls.write(data)
        await self._loop.sock_sendall(self._sock, self._out.read())

    async def read(self, encrypted: int | None = None) -> bytes:
        """The clear text of so many more encrypted bytes, or of all until the answer ends."""
        clear, left = bytearray(), encrypted
        while left != 0 and not (left is None and clear.endswith(b"\r\n0\r\n\r\n")):
            data = await self._loop.sock_recv(self._sock, MIB if left is None else min(left, MIB))
            assert data
            left = None if left is None else left - len(data)
            self._in.write(data)
            try:
                while True:
                    clear += self._tls.read(MIB)
            except ssl.SSLWantReadError:
                pass
        return bytes(clear)


def in_kernel(client: socket.socket, connection: Any) -> int:
    """Bytes on the way to the client that are no longer the gateway's: in either socket."""
    server = connection._slices._inner.get_extra_info("socket").fileno()
    total = 0
    for fd, request in ((client.fileno(), termios.FIONREAD), (server, termios.TIOCOUTQ)):
        count = array.array("i", [0])
        fcntl.ioctl(fd, request, count)
        total += count[0]
    return total


def dechunked(answer: bytes) -> bytes:
    """The body of a chunked answer, as far as it goes."""
    rest = answer.partition(b"\r\n\r\n")[2]
    body, at = bytearray(), 0
    while (end := rest.find(b"\r\n", at)) >= 0 and (size := int(rest[at:end], 16)):
        body += rest[end + 2 : end + 2 + size]
        at = end + 2 + size + 2
    return bytes(body)


@pytest.mark.parametrize("event_bytes", [300, 5_000, 60_000])
async def test_over_tls_no_more_is_held_than_the_documents_say(event_bytes: int, tmp_path: pathlib.Path) -> None:
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1")
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    leaf.private_key_pem.write_to_path(tmp_path / "key.pem")
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    server = {"tls": {"cert": str(tmp_path / "cert.pem"), "key": str(tmp_path / "key.pem")}}
    event = chunk("x" * (event_bytes - 160))
    events = [event] * (OFFERED // event_bytes)
    batch = max(1, 50_000 // event_bytes)
    blocks = [b"".join(events[at : at + batch]) for at in range(0, len(events), batch)]
    async with running_upstream(stream(*blocks, FINISH, DONE)) as upstream:
        async with running_gateway(one_model(upstream.url, server=server)) as gateway:
            async with silent_client(gateway, b"") as sock:
                client = TlsClient(sock, trust)
                await client.send(raw_request(stream=True))
                received = await upstream.request()
                connection, flight = await stalled(gateway, received)
                relay = relay_of(flight)
                came = flight.attempt.content_events * len(event) + len(relay._held or b"")
                written = received.written_bytes
                told = await client.read(in_kernel(sock, connection))
                whole = told + await asyncio.wait_for(client.read(), LONGEST_S)
            record = await gateway.records.of()
    held = came - len(dechunked(told))
    assert 0 < held <= 256 * KIB
    assert written < OFFERED * 2 // 3
    assert b"".join([*events, FINISH, DONE]) == dechunked(whole)
    assert (200, "", "stop") == (record.status, record.error, record.finish_reason)


@pytest.mark.parametrize("event_bytes", [300, 5_000, 60_000])
async def test_its_engine_waits_and_it_misses_nothing(event_bytes: int) -> None:
    events = [chunk("x" * (event_bytes - 160))] * (OFFERED // event_bytes)
    # Many events in a write, as an engine that runs ahead sends them.
    batch = max(1, 50_000 // event_bytes)
    blocks = [b"".join(events[at : at + batch]) for at in range(0, len(events), batch)]
    async with running_upstream(stream(*blocks, FINISH, DONE)) as upstream:
        async with running_gateway(one_model(upstream.url)) as gateway:
            async with silent_client(gateway, raw_request(stream=True)) as sock:
                received = await upstream.request()
                connection, flight = await stalled(gateway, received)
                held = held_bytes(connection, flight)
                written = received.written_bytes
                whole = await asyncio.wait_for(read_all(sock), LONGEST_S)
            record = await gateway.records.of()
    assert 0 < held <= 256 * KIB
    assert written < OFFERED * 2 // 3
    assert b"".join([*events, FINISH, DONE]) == whole
    assert (200, "", "stop") == (record.status, record.error, record.finish_reason)


async def test_a_large_plain_answer_waits_too() -> None:
    body = b'{"data": "' + b"x" * OFFERED + b'", "usage": {"prompt_tokens": 7}}'
    pieces = [body[at : at + 100_000] for at in range(0, len(body), 100_000)]
    answer = Answer(pieces, headers=[("content-type", "application/json")], length=len(body))
    async with running_upstream(answer) as upstream, running_gateway(one_model(upstream.url)) as gateway:
        async with silent_client(gateway, raw_request(stream=False)) as sock:
            received = await upstream.request()
            connection, flight = await stalled(gateway, received)
            held = held_bytes(connection, flight)
            written = received.written_bytes
            whole = await asyncio.wait_for(read_all(sock), LONGEST_S)
        record = await gateway.records.of()
    # What is held back until an answer's size is known, and one read beyond it.
    assert 0 < held <= (256 + 128) * KIB
    assert written < OFFERED * 2 // 3
    assert body == whole
    assert 7 == record.input_tokens


async def test_of_a_translated_answer_as_much_is_held_as_it_has_and_once() -> None:
    """It is there as a whole before its first byte can leave, so a pause of its engine would come too late."""
    text = b"x" * (MAX_BYTES - 1_000)
    parts = b'{"parts":[{"text":"%b"}],"role":"model"}' % text
    said = Answer((b'{"candidates":[{"content":%b,"finishReason":"STOP","index":0}]}' % parts,))
    async with running_upstream(said) as upstream:
        engine = {"kind": "gemini", "base_url": upstream.url, "api_key": "k-of-the-engine"}
        async with running_gateway(one_model(engine)) as gateway:
            async with silent_client(gateway, raw_request(stream=False)) as sock:
                await gateway.until(lambda: any(connection.paused for connection in gateway.clients))
                record = await gateway.records.of()
                (connection,) = gateway.clients
                held = int(connection.unsent_bytes)
                assert connection.work is None  # nothing but what is left to send
                whole = await asyncio.wait_for(read_sized(sock), LONGEST_S)
    assert 0 < held <= MAX_BYTES
    assert text == json.loads(whole)["choices"][0]["message"]["content"].encode()
    assert (200, "", "stop") == (record.status, record.error, record.finish_reason)


async def read_sized(sock: socket.socket) -> bytes:
    """The body of an answer that says its length."""
    loop = asyncio.get_running_loop()
    answer = bytearray()
    while b"\r\n\r\n" not in answer:
        answer += await loop.sock_recv(sock, MIB)
    head, _, body = bytes(answer).partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    while len(body) < length:
        body += await loop.sock_recv(sock, MIB)
    return body


async def test_others_are_served_meanwhile() -> None:
    blocks = [chunk("x" * 50_000)] * (OFFERED // 50_000)
    async with running_upstream() as upstream:
        upstream.then(stream(*blocks, FINISH, DONE))
        async with running_gateway(one_model(upstream.url)) as gateway:
            async with silent_client(gateway, raw_request(stream=True)):
                await stalled(gateway, await upstream.request())
                answers = [await gateway.chat() for _ in range(5)]
            await upstream.received[0].gone.wait()
            await gateway.records.of(5)
    assert [200] * 5 == [answer.status_code for answer in answers]


@stoppable
async def test_one_that_reads_nothing_for_the_idle_time_costs_the_engine_no_more_and_is_not_its_fault(
    time: Time,
) -> None:
    blocks = [chunk("x" * 50_000)] * (OFFERED // 50_000)
    async with running_upstream(stream(*blocks, FINISH, DONE)) as upstream:
        engine = {"replicas": [{"url": upstream.url}], "timeouts": {"idle_s": 2.0}}
        async with running_gateway(one_model(engine, breaker={"min_failures": 1})) as gateway:
            async with silent_client(gateway, raw_request(stream=True)):
                with time.stopped():
                    await stalled(gateway, await upstream.request())
                    time.passes(2.0)
                    record = await gateway.records.of()
                await upstream.received[0].gone.wait()
                metrics = await gateway.metrics()
    assert (200, "client_stalled") == (record.status, record.error)
    assert 0 == metrics.value("penstock_breaker_open")


async def test_requests_in_the_pipe_wait_until_the_answers_before_them_are_read() -> None:
    big = plain(b'{"data": "%b"}' % (b"x" * 250_000))
    async with running_upstream(big) as upstream, running_gateway(one_model(upstream.url)) as gateway:
        async with silent_client(gateway, raw_request(stream=False) * 100) as sock:
            await gateway.until(lambda: any(one.paused and one.request is None for one in gateway.clients))
            (connection,) = gateway.clients
            before = len(upstream.received)
            held = int(connection.unsent_bytes)
            for _ in range(500):
                await asyncio.sleep(0)
            assert before == len(upstream.received)
            loop = asyncio.get_running_loop()
            answers = 0
            while answers < 100:
                answers += (await loop.sock_recv(sock, MIB)).count(b"HTTP/1.1 200 OK")
        await gateway.records.of(99)
    assert before < 100
    assert held <= (64 + 256) * KIB
    assert 100 == len(upstream.received)
