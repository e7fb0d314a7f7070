"""A connection that has ended is freed at once, with all it held: no cycle waits for the collector."""

from __future__ import annotations

import gc
import ssl
from collections.abc import Iterator
from dataclasses import replace

import httptools
import pytest

from engines.errors import ConnectFailed
from engines.http1.answer import Answer
from engines.http1.call import Call
from engines.http1.connection import Connection
from engines.http1.origin import Origin
from engines.http1.slices import Slices
from engines.lazy_timer import LazyTimer
from engines.model import Deadlines
from engines.pool import Pool
from tests.engines.http1.recorder import Recorder
from tests.engines.http1.test_dialing import full_backlog, server_tls, trusting
from tests.engines.http1.upstream import ANSWER, CLOSING, Upstream, ended, nobody_home, send, until, upstream

pytestmark = pytest.mark.anyio

OURS = (Answer, Call, Connection, LazyTimer, Recorder, Slices, httptools.HttpResponseParser)
BODY = b"x" * 300_000
ENDINGS = {
    "closed": CLOSING,
    "cut short": ANSWER[:-1],
    "not HTTP": b"junk\r\n\r\n",
    "refused": b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n",
    "until close": b"HTTP/1.1 200 OK\r\n\r\nhello",
    "unanswered": b"",
}


@pytest.fixture
def collector_off() -> Iterator[None]:
    gc.disable()
    gc.freeze()  # `get_objects` leaves out what was there before; to walk a whole test process costs seconds
    yield
    gc.unfreeze()
    gc.enable()


def alive() -> list[str]:
    """What is left of us. The types that the collector does not know of are reached through those it does."""
    return sorted(type(each).__name__ for each in gc.get_objects() if isinstance(each, OURS))


async def turns() -> None:
    """A few turns of the loop: transports are closed in the next one, and TLS says so in the one after."""
    for _ in range(5):
        await until(lambda: True)
        await until(iter([False, True]).__next__)


async def exchange(up: Upstream, pool: Pool, wire: bytes) -> None:
    call, sink = send(pool, body=BODY)
    peer = await up.peer()
    await peer.request()
    peer.send(wire)
    if wire != b"junk\r\n\r\n":
        peer.close()
    await ended(sink)
    assert call.finished


@pytest.mark.parametrize("tls", [None, server_tls("127.0.0.1")], ids=["plain", "tls"])
@pytest.mark.parametrize("wire", ENDINGS.values(), ids=ENDINGS.keys())
async def test_nothing_is_left_of_a_call_that_ended(
    tls: ssl.SSLContext | None, wire: bytes, collector_off: None
) -> None:
    async with upstream(tls=tls) as up:
        pool = up.pool(origin=replace(up.origin, tls=trusting()) if tls else None)
        for _ in range(3):
            await exchange(up, pool, wire)
            await until(lambda: pool.open_connections == 0)
        up.tasks.clear()
        await turns()
        assert alive() == []


@pytest.mark.parametrize("tls", [None, server_tls("127.0.0.1")], ids=["plain", "tls"])
async def test_nothing_is_left_of_a_call_that_was_aborted(tls: ssl.SSLContext | None, collector_off: None) -> None:
    async with upstream(tls=tls) as up:
        pool = up.pool(origin=replace(up.origin, tls=trusting()) if tls else None)
        for wire in (b"", ANSWER[:20], ANSWER[:-1]):
            call, sink = send(pool, body=BODY)
            peer = await up.peer()
            await peer.request()
            peer.send(wire)
            if wire.endswith(b"o"):
                await until(sink.begun.is_set)
            call.abort()
            await peer.left()
        del call, sink
        up.tasks.clear()
        await turns()
        assert alive() == []


async def test_nothing_is_left_of_a_call_that_never_connected(collector_off: None) -> None:
    with nobody_home() as origin, full_backlog() as silent:
        async with upstream() as up:
            for where, deadlines in ((origin, Deadlines()), (silent, Deadlines(connect_s=0.01))):
                pool = up.pool(origin=where)
                _, sink = send(pool, deadlines, BODY)
                assert type((await ended(sink)).error) is ConnectFailed
            named = up.pool(origin=Origin("no such host", 1))
            call, sink = send(named, body=BODY)
            await ended(sink)
            del call, sink, _
            await until(lambda: all(task.done() for task in up.tasks))
            up.tasks.clear()
            await turns()
            assert alive() == []


async def test_an_idle_connection_holds_nothing_of_the_call_it_served(collector_off: None) -> None:
    async with upstream() as up:
        pool = up.pool()
        call, sink = send(pool, body=BODY)
        peer = await up.peer()
        await peer.request()
        peer.send(ANSWER)
        await ended(sink)
        del sink
        assert (call.head, call.body) == (b"", b"")
        up.tasks.clear()
        await turns()
        assert "Recorder" not in alive()


async def test_the_request_is_let_go_at_the_first_body_byte() -> None:
    async with upstream() as up:
        pool = up.pool()
        call, sink = send(pool, body=BODY)
        peer = await up.peer()
        await peer.request(len(BODY))
        assert len(call.body) == len(BODY)
        peer.send(ANSWER[:-1])
        await until(sink.begun.is_set)
        assert (call.head, call.body, call.finished) == (b"", b"", False)
