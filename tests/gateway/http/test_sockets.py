"""The same promises over real sockets, where a kernel and TLS stand between: above all, that a refusal is received."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import trustme

from gateway.http.connection import USUAL, ClientConnection
from gateway.http.handler import Visitor
from gateway.http.patience import Patience
from gateway.http.request import Request
from tests.gateway.http.door import Answer, Desk, DoorLimits, FakeWork, read_answers, request

pytestmark = pytest.mark.anyio
PATIENCE_S = 20.0
"""Bounds a test that has failed; none that passes waits for it."""


class SignallingWork(FakeWork):
    def __init__(self, request: Request) -> None:
        super().__init__(request)
        self.gone = asyncio.Event()
        self.paused = asyncio.Event()
        self.resumed = asyncio.Event()

    def client_gone(self) -> None:
        super().client_gone()
        self.gone.set()

    def client_paused(self) -> None:
        super().client_paused()
        self.paused.set()

    def client_resumed(self) -> None:
        super().client_resumed()
        self.resumed.set()


class SocketDesk(Desk):
    """A desk that tests can wait at."""

    def __init__(self, limits: DoorLimits | None = None, *, holds: bool = False) -> None:
        super().__init__(limits or DoorLimits(), holds=holds)
        self.begun: asyncio.Queue[SignallingWork] = asyncio.Queue()
        self.emptied = asyncio.Event()

    def other(self, request: Request) -> FakeWork | None:
        return self._hold(request) if self.holds else super().other(request)

    def inference(self, request: Request, operation: object) -> FakeWork | None:
        return self._hold(request) if self.holds else super().other(request)

    def _hold(self, request: Request) -> SignallingWork:
        work = SignallingWork(request)
        self.begun.put_nowait(work)
        return work

    def lost(self, visitor: Visitor) -> None:
        super().lost(visitor)
        if not list(self.open):
            self.emptied.set()


@dataclass
class Served:
    host: str
    port: int
    tls: ssl.SSLContext | None = None

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        name = "localhost" if self.tls is not None else None
        return await asyncio.open_connection(self.host, self.port, ssl=self.tls, server_hostname=name)


@asynccontextmanager
async def served(desk: SocketDesk, *, tls: bool = False, patience: Patience = USUAL) -> AsyncIterator[Served]:
    loop = asyncio.get_running_loop()
    ours = theirs = None
    if tls:
        authority = trustme.CA()
        ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(ours)
        theirs = ssl.create_default_context()
        authority.configure_trust(theirs)
    listening = await loop.create_server(lambda: ClientConnection(desk, loop, patience), "127.0.0.1", 0, ssl=ours)
    try:
        host, port = listening.sockets[0].getsockname()
        yield Served(host, port, theirs)
    finally:
        listening.close()
        for visitor in list(desk.open):
            visitor.hang_up()
        if list(desk.open):
            await asyncio.wait_for(desk.emptied.wait(), PATIENCE_S)


async def talk(to: Served, wire: bytes) -> list[Answer]:
    """Send all, and only then read until the server ends the connection: a client that does not look up."""
    reader, writer = await to.connect()
    try:
        writer.write(wire)
        await asyncio.wait_for(writer.drain(), PATIENCE_S)
        return read_answers(await asyncio.wait_for(reader.read(), PATIENCE_S), ended=True)
    finally:
        writer.transport.abort()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("framing", ["content-length", "chunked"])
async def test_a_client_that_sends_far_too_much_still_receives_its_413(framing: str, *, tls: bool) -> None:
    body = b"x" * (4 * 1024 * 1024)
    wire = request(body=body)
    if framing == "chunked":
        chunks = b"".join(b"10000\r\n%b\r\n" % body[at : at + 65536] for at in range(0, len(body), 65536))
        wire = request(fields=b"transfer-encoding: chunked\r\n") + chunks + b"0\r\n\r\n"
    async with served(SocketDesk(), tls=tls) as to:
        (answer,) = await talk(to, wire)
    assert (answer.status, answer.error["code"]) == (413, "request_too_large")


async def test_a_client_with_a_head_far_too_long_still_receives_its_431() -> None:
    async with served(SocketDesk()) as to:
        (answer,) = await talk(to, request(fields=b"x: " + b"x" * 2_000_000 + b"\r\n"))
    assert (answer.status, answer.error["code"]) == (431, "headers_too_large")


async def test_a_client_too_many_still_receives_its_503() -> None:
    desk = SocketDesk(DoorLimits(connections=1), holds=True)
    async with served(desk) as to:
        _, writer = await to.connect()
        writer.write(request())
        await asyncio.wait_for(desk.begun.get(), PATIENCE_S)
        (answer,) = await talk(to, request(body=b"x" * 60_000))
        writer.transport.abort()
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")


async def test_a_client_that_stays_after_its_refusal_is_cut_off() -> None:
    desk = SocketDesk()
    async with served(desk, patience=Patience(linger_s=0.05)) as to:
        reader, writer = await to.connect()
        writer.write(request(body=b"x" * 70_000)[:-60_000])
        answer = await asyncio.wait_for(reader.read(), PATIENCE_S)
        await asyncio.wait_for(desk.emptied.wait(), PATIENCE_S)
        writer.transport.abort()
    assert [one.status for one in read_answers(answer, ended=True)] == [413]


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize("hung_up", [False, True], ids=["cut", "hung up"])
async def test_who_is_told_a_part_of_an_answer_sees_that_it_is_none(version: bytes, *, hung_up: bool) -> None:
    """A close would be the end of an answer that HTTP/1.0 is told."""
    desk = SocketDesk(holds=True)
    async with served(desk) as to:
        reader, writer = await to.connect()
        writer.write(request(version=version, body=b"{}"))
        work = await asyncio.wait_for(desk.begun.get(), PATIENCE_S)
        work.request.connection.begin_stream(200, b"", b"a part")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
        if hung_up:
            for visitor in list(desk.open):
                visitor.hang_up()
        else:
            work.request.connection.cut()
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)) as told:
            await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), PATIENCE_S)
        writer.transport.abort()
    assert head.startswith(b"HTTP/1.1 200")
    assert version == b"1.1" or told.type is ConnectionResetError


async def test_a_head_that_stops_is_a_408() -> None:
    async with served(SocketDesk(), patience=Patience(head_s=0.05)) as to:
        assert [answer.status for answer in await talk(to, b"GET / HTTP/1.1\r\nhost:")] == [408]


async def test_a_body_that_stops_is_a_408() -> None:
    async with served(SocketDesk(), patience=Patience(body_idle_s=0.05)) as to:
        assert [answer.status for answer in await talk(to, request(body=b"12345")[:-1])] == [408]


async def test_an_idle_connection_is_closed() -> None:
    answers: list[Answer] = []
    async with served(SocketDesk(), patience=Patience(keep_alive_s=0.05)) as to, asyncio.timeout(PATIENCE_S):
        while not answers:
            with contextlib.suppress(ConnectionError):  # it was idle for too long before it could send anything
                answers = await talk(to, request())
    assert [answer.status for answer in answers] == [200]


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_pipelined_requests_are_answered_in_order_and_the_last_one_closes(*, tls: bool) -> None:
    wires = [request(body=b"%d" % number * 5000) for number in range(9)]
    desk = SocketDesk()
    async with served(desk, tls=tls) as to:
        answers = await talk(to, b"".join(wires) + request(fields=b"connection: close\r\n"))
    assert [answer.status for answer in answers] == [200] * 10
    assert [b"%d" % number * 5000 for number in range(9)] + [b""] == [seen.body for seen in desk.seen]


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_client_that_leaves_is_told_to_the_work_exactly_once(how: str, *, tls: bool) -> None:
    desk = SocketDesk(holds=True)
    async with served(desk, tls=tls) as to:
        _, writer = await to.connect()
        writer.write(request())
        work = await asyncio.wait_for(desk.begun.get(), PATIENCE_S)
        if how == "reset" and not tls:
            linger = struct.pack("ii", 1, 0)  # close() sends RST
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        if how == "close":
            writer.close()
        else:
            writer.transport.abort()
        await asyncio.wait_for(work.gone.wait(), PATIENCE_S)
        await asyncio.wait_for(desk.emptied.wait(), PATIENCE_S)
        assert work.told == ["gone"]
        writer.transport.abort()
    assert desk.losses == 1


async def test_a_client_that_ends_only_its_side_is_answered() -> None:
    desk = SocketDesk(holds=True)
    async with served(desk) as to:
        reader, writer = await to.connect()
        writer.write(request())
        writer.write_eof()
        work = await asyncio.wait_for(desk.begun.get(), PATIENCE_S)
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)).startswith(b"HTTP/1.1 100 ")
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)  # the second probe met no reset
        work.answer(b"here you are")
        (answer,) = (one for one in read_answers(await reader.read(), ended=True) if one.status == 200)
        writer.close()
    assert (answer.body, answer.headers["connection"]) == (b"here you are", "close")
    assert work.told == []


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_a_client_that_does_not_read_pauses_the_work_and_reading_resumes_it(*, tls: bool) -> None:
    desk = SocketDesk(DoorLimits(stream_buffer_bytes=64 * 1024), holds=True)
    async with served(desk, tls=tls) as to:
        reader, writer = await to.connect()
        writer.write(request())
        work = await asyncio.wait_for(desk.begun.get(), PATIENCE_S)
        connection = work.request.connection
        (visitor,) = desk.open
        assert isinstance(visitor, ClientConnection)
        connection.begin_stream(200, b"", b"begin")
        sent_bytes = len(b"begin")
        while not work.paused.is_set():
            connection.write(b"x" * 65536)
            sent_bytes += 65536
            await asyncio.sleep(0)
            assert sent_bytes < 100_000_000
        assert work.told == ["paused"]
        assert 0 < visitor.unsent_bytes <= (16 + 65) * 1024  # the mark, and the write that passed it
        received = [await asyncio.wait_for(reader.read(1 << 20), PATIENCE_S)]
        while not work.resumed.is_set():
            received.append(await asyncio.wait_for(reader.read(1 << 20), PATIENCE_S))
        connection.end_stream()
        while not received[-1].endswith(b"0\r\n\r\n"):
            received.append(await asyncio.wait_for(reader.read(1 << 20), PATIENCE_S))
        (answer,) = read_answers(b"".join(received))
        assert sent_bytes == len(answer.body)
        assert work.told == ["paused", "resumed"]
        writer.transport.abort()
