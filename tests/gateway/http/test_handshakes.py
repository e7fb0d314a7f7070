"""A TLS handshake in progress takes a seat: who never finishes one cannot take more than there are."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import trustme

from gateway.http.connection import ClientConnection
from gateway.http.handshakes import TlsListener
from tests.gateway.http.door import DoorLimits, read_answers, request
from tests.gateway.http.test_sockets import PATIENCE_S, SocketDesk

pytestmark = pytest.mark.anyio


class Counted(SocketDesk):
    """A desk that is asked for seats too."""

    def arriving(self) -> bool:
        return self.open.arriving(self.limits.connections)

    def arrived(self) -> None:
        self.open.arrived()


@asynccontextmanager
async def listening(desk: Counted, *, handshake_s: float = 60.0) -> AsyncIterator[tuple[int, ssl.SSLContext]]:
    loop = asyncio.get_running_loop()
    authority = trustme.CA()
    ours = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(ours)
    theirs = ssl.create_default_context()
    authority.configure_trust(theirs)
    tasks: set[asyncio.Task[None]] = set()

    def spawn(name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        tasks.add(loop.create_task(work()))

    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    listener = TlsListener(sock, ours, lambda: ClientConnection(desk, loop), desk, spawn, handshake_s=handshake_s)
    try:
        yield sock.getsockname()[1], theirs
    finally:
        listener.close()
        for visitor in list(desk.open):
            visitor.hang_up()
        if list(desk.open):
            await asyncio.wait_for(desk.emptied.wait(), PATIENCE_S)
        await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE_S)


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not what():
            await asyncio.sleep(0)


async def ask(port: int, trust: ssl.SSLContext) -> int:
    """The status of one request, on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust, server_hostname="localhost")
    writer.write(request(fields=b"connection: close\r\n"))
    (answer,) = read_answers(await asyncio.wait_for(reader.read(), PATIENCE_S), ended=True)
    writer.close()
    return answer.status


async def test_a_handshake_in_progress_takes_a_seat_and_gives_it_back() -> None:
    desk = Counted(DoorLimits(connections=2))
    async with listening(desk) as (port, trust):
        assert await ask(port, trust) == 200
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        await until(lambda: desk.open.handshakes == 2)
        with pytest.raises((ConnectionError, ssl.SSLError)):  # closed before a word
            await ask(port, trust)
        for _, writer in silent:
            writer.close()
        await until(lambda: desk.open.handshakes == 0)
        assert await ask(port, trust) == 200
        await until(lambda: desk.open.handshakes == 0)


async def test_a_handshake_that_does_not_come_is_given_up() -> None:
    desk = Counted(DoorLimits(connections=1))
    async with listening(desk, handshake_s=0.05) as (port, trust):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
        await until(lambda: desk.open.handshakes == 0)
        async with asyncio.timeout(PATIENCE_S):
            status = 0
            while not status:
                with suppress(ConnectionError, ssl.SSLError):  # on a slow machine its own is given up, too
                    status = await ask(port, trust)
        assert status == 200
        writer.close()


async def test_what_is_no_handshake_costs_nobody_a_seat() -> None:
    desk = Counted(DoorLimits(connections=1))
    async with listening(desk) as (port, trust):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await asyncio.wait_for(reader.read(), PATIENCE_S)
        await until(lambda: desk.open.handshakes == 0)
        assert await ask(port, trust) == 200
        writer.close()
