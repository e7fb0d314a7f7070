"""A large request is written as fast as the engine reads, and no copy of it piles up on our side."""

from __future__ import annotations

import ssl
from dataclasses import replace
from typing import cast

import pytest

from engines.http1.connection import SMALL_BODY_BYTES, Connection
from engines.http1.upload import PIECE_BYTES
from tests.engines.http1.bench import HEAD, Bench
from tests.engines.http1.test_dialing import server_tls, trusting
from tests.engines.http1.upstream import ANSWER, ended, send, until, upstream

pytestmark = pytest.mark.anyio

BODY = bytes(range(256)) * 65536
"""16 MiB."""


@pytest.mark.parametrize("tls", [None, server_tls("127.0.0.1")], ids=["plain", "tls"])
async def test_a_large_request_waits_for_a_slow_engine_and_arrives_whole(tls: ssl.SSLContext | None) -> None:
    async with upstream(tls=tls) as up:
        pool = up.pool(origin=replace(up.origin, tls=trusting()) if tls else None)
        call, sink = send(pool, body=BODY)
        peer = await up.peer()
        await peer.request(1)
        peer.transport.pause_reading()
        transport = cast("Connection", call.line)._transport
        assert transport is not None
        held = []

        def look() -> bool:
            held.append(transport.get_write_buffer_size())
            return len(held) == 200

        await until(look)
        assert held[-1] > 0  # it does wait
        assert max(held) <= 2 * PIECE_BYTES
        peer.transport.resume_reading()
        request = HEAD[1:] + BODY
        await until(lambda: len(peer.received) == len(request))
        assert peer.received == request
        peer.send(ANSWER)
        assert (await ended(sink)).body == b"ok"
        assert pool.idle_connections == 1


def test_a_large_body_is_handed_over_piece_by_piece_while_the_transport_takes_it() -> None:
    bench = Bench()
    body = b"x" * (3 * PIECE_BYTES + 1)
    bench.send(body=body, turn_ends=False)
    bench.connection.pause_writing()
    bench.loop.end_turn()
    assert bench.transport.written == HEAD
    bench.connection.resume_writing()
    assert (bench.transport.written == HEAD + body, bench.transport.writes) == (True, 5)


def test_an_answer_before_the_request_was_wholly_handed_over_costs_the_connection() -> None:
    bench = Bench()
    _, sink = bench.send(body=b"x" * (SMALL_BODY_BYTES + 1), turn_ends=False)
    bench.connection.pause_writing()
    bench.loop.end_turn()
    bench.feed(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
    assert (sink.heard.end, bench.pool.released, bench.transport.aborted) == ("done", 0, True)
    bench.connection.resume_writing()
    assert bench.transport.written == HEAD


@pytest.mark.parametrize("how", ["abandoned", "reset"])
async def test_how_much_of_a_request_has_left_is_known_when_it_is_cut(how: str) -> None:
    async with upstream() as up:
        call, sink = send(up.pool(), body=BODY)
        peer = await up.peer()
        await peer.request(1)
        peer.transport.pause_reading()
        transport = cast("Connection", call.line)._transport
        assert transport is not None
        seen: list[int] = []

        def stands() -> bool:
            seen.append(len(peer.received))
            return len(seen) > 200 and transport.get_write_buffer_size() > 0

        await until(stands)
        received = len(peer.received)
        if how == "abandoned":
            call.abort()
        else:
            peer.transport.abort()
            await ended(sink)
        assert received < len(BODY)
        left = len(BODY) * (1.0 - call.unsent_share)
        # What the kernels of both sides hold has left, and the peer has not read it: of 16 MiB they hold a few.
        assert received - len(HEAD) <= left < len(BODY)


async def test_a_request_that_has_left_whole_is_no_cut_one() -> None:
    async with upstream() as up:
        call, sink = send(up.pool(), body=BODY)
        peer = await up.peer()
        await until(lambda: len(peer.received) == len(HEAD + BODY))
        peer.transport.abort()
        await ended(sink)
        assert call.unsent_share == 0.0
