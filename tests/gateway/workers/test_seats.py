"""A worker accepts on its own socket, and on those of others only while it is told to."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator

import pytest
import structlog

from gateway.http.listen import Listener
from gateway.process.supervisor import Supervisor
from gateway.workers.seats import Seats

pytestmark = pytest.mark.anyio


class Acceptor:
    """Answers every connection with a byte; has no descriptors while `full`."""

    def __init__(self) -> None:
        self.draining = self.full = False
        self.open: list[Listener] = []

    async def accept(self, sock: socket.socket) -> Listener:
        if self.full:
            sock.close()
            raise OSError(errno.EMFILE, "Too many open files")

        async def hello(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"!")
            writer.close()

        listener = await asyncio.start_server(hello, sock=sock)
        self.open.append(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        self.open.remove(listener)
        listener.close()


@pytest.fixture
def sockets() -> Iterator[list[socket.socket]]:
    made = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    yield made
    for sock in made:
        sock.close()


async def answered(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        return await reader.read()
    finally:
        writer.close()


async def spawned() -> None:
    """Let what was spawned end: it waits for nothing but turns of the loop."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_connection_that_waits_in_an_empty_seat_is_answered_and_later_ones_are_left(
    sockets: list[socket.socket],
) -> None:
    supervisor, worker = Supervisor(), Acceptor()
    seats = Seats(worker, [sock.dup() for sock in sockets], 0, supervisor.spawn)
    port = sockets[1].getsockname()[1]
    waiting = asyncio.ensure_future(answered(port))
    for on, expected in ((True, 1), (True, 1), (False, 0), (False, 0), (True, 1)):
        seats.cover(1, on)
        await spawned()
        assert len(worker.open) == expected
    async with asyncio.timeout(60):
        assert await waiting == b"!"
    seats.cover(1, False)
    await spawned()
    late = socket.create_connection(("127.0.0.1", port))
    sockets[1].setblocking(True)
    successor, _ = sockets[1].accept()  # it is still in the queue
    assert successor.getpeername() == late.getsockname()
    for sock in (successor, late, seats.own):
        sock.close()
    seats.close()
    await supervisor.close()


async def test_a_worker_that_drains_lets_go_of_all_sockets_but_its_own(sockets: list[socket.socket]) -> None:
    supervisor, worker = Supervisor(), Acceptor()
    seats = Seats(worker, [sock.dup() for sock in sockets], 0, supervisor.spawn)
    port = sockets[1].getsockname()[1]
    seats.close()
    sockets[1].close()
    seats.cover(1, True)
    await spawned()
    assert worker.open == []
    with pytest.raises(ConnectionRefusedError):
        await answered(port)
    seats.own.close()
    await supervisor.close()


async def test_a_seat_that_cannot_be_covered_is_told_of(sockets: list[socket.socket]) -> None:
    supervisor, worker = Supervisor(), Acceptor()
    seats = Seats(worker, [sock.dup() for sock in sockets], 0, supervisor.spawn)
    worker.full = True
    with structlog.testing.capture_logs() as lines:
        seats.cover(1, True)
        await spawned()
    assert [(line["event"], line["seat"]) for line in lines] == [("seat_not_covered", 1)]
    seats.close()
    seats.own.close()
    await supervisor.close()
