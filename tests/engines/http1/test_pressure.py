"""A paused answer stops the engine, not only us: what piles up stays bounded, and reading on loses nothing."""

from __future__ import annotations

import ssl
from dataclasses import replace
from typing import Any, cast

import pytest

from engines.errors import ClientStalled
from engines.http1.connection import Connection
from engines.http1.dialing import RECEIVE_BUFFER_BYTES
from engines.http1.slices import BUFFER_BYTES, RECORD_BYTES
from engines.model import Deadlines
from tests.engines.http1.test_dialing import server_tls, trusting
from tests.engines.http1.upstream import Peer, ended, send, until, upstream

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
SIZE = 32 * MIB


class Flood:
    """Writes `SIZE` bytes as fast as the peer's transport lets it, and knows how far it came."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        peer.transport.set_write_buffer_limits(high=64 * 1024)
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % SIZE)
        self.sent = 0

    def pour(self) -> int:
        """Write while the kernel takes it; how many bytes are out of our hands."""
        transport = self.peer.transport
        while self.sent < SIZE and transport.get_write_buffer_size() == 0:
            transport.write(bytes(64 * 1024))
            self.sent += 64 * 1024
        return self.sent - transport.get_write_buffer_size()


@pytest.mark.parametrize("tls", [None, server_tls("127.0.0.1")], ids=["plain", "tls"])
async def test_a_paused_answer_holds_back_the_engine_and_loses_nothing(tls: ssl.SSLContext | None) -> None:
    async with upstream(tls=tls) as up:
        pool = up.pool(origin=replace(up.origin, tls=trusting()) if tls else None)
        call, sink = send(pool)
        peer = await up.peer()
        await peer.request()
        flood = Flood(peer)
        received = 0

        def count() -> None:
            nonlocal received
            received += len(sink.parts[-1])
            sink.parts.clear()
            call.pause()

        sink.on_data = count
        flood.pour()
        await until(sink.begun.is_set)
        # Whole round trips of a second connection: enough turns of the loop for anything to move that can.
        other_peer = await up.warm(pool)
        for _ in range(20):
            flood.pour()
            _, other = send(pool)
            await other_peer.request()
            other_peer.send(b"HTTP/1.1 204 No Content\r\n\r\n")
            await ended(other)
        assert 0 < received <= (BUFFER_BYTES if tls else 2 * RECEIVE_BUFFER_BYTES)
        assert flood.sent < SIZE / 2
        if tls:  # what has come and waits to be decrypted is in our memory too, and a record that is half taken
            transport: Any = cast("Connection", call.line)._transport
            held = received + transport.get_read_buffer_size() + RECORD_BYTES
            assert RECORD_BYTES < held <= 192 * 1024  # with the 64 KiB that wait for the client: 256 KiB
        while not sink.ended.is_set():
            flood.pour()
            call.resume()
            before = received
            await until(lambda: received > before or sink.ended.is_set())  # noqa: B023 -- used at once
        assert (sink.heard.end, received) == ("done", SIZE)
        assert pool.open_connections == 2


async def test_a_client_that_never_reads_on_is_given_up() -> None:
    async with upstream() as up:
        pool = up.pool()
        call, sink = send(pool, Deadlines(idle_s=0.05))
        sink.on_data = call.pause
        peer = await up.peer()
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
        assert type((await ended(sink)).error) is ClientStalled
        await peer.left()
        assert pool.open_connections == 0


async def test_one_read_brings_at_most_what_the_receive_buffer_holds() -> None:
    async with upstream() as up:
        pool = up.pool()
        _, sink = send(pool)
        peer = await up.peer()
        await peer.request()
        flood = Flood(peer)
        flood.pour()
        while not sink.ended.is_set():
            flood.pour()
            seen = len(sink.parts)
            await until(lambda: len(sink.parts) > seen or sink.ended.is_set())  # noqa: B023 -- used at once
        assert max(map(len, sink.parts)) <= 2 * RECEIVE_BUFFER_BYTES
        assert sum(map(len, sink.parts)) == SIZE
