"""A connection that is over is freed at once: nothing waits for the garbage collector, which is off here."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Iterator

import httptools
import pytest

from gateway.http.answers import Answers
from gateway.http.body import Body
from gateway.http.connection import ClientConnection
from gateway.http.reader import RequestReader
from gateway.http.request import Request
from tests.gateway.http.asked import CHAT, LAWFUL, REFUSED
from tests.gateway.http.door import Client, Desk, DoorLimits, request
from tests.gateway.http.test_sockets import PATIENCE_S, SocketDesk, served

OURS = (ClientConnection, RequestReader, Answers, Body, Request, httptools.HttpRequestParser)
MIB = 1 << 20


def alive() -> dict[str, int]:
    """How many objects there are of each kind that a connection is made of."""
    objects = gc.get_objects()
    return {kind.__name__: sum(type(one) is kind for one in objects) for kind in OURS}


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.disable()
    gc.freeze()  # `get_objects` leaves out what was there before; to walk a whole test process costs seconds
    yield
    gc.unfreeze()
    gc.enable()


UPLOAD = CHAT + b"content-length: %d\r\n\r\n" % (2 * MIB)
ENDINGS: dict[str, bytes] = {
    "an abandoned upload": UPLOAD + b"x" * 1000,
    "an abandoned head": b"GET /hea",
    "an abandoned chunked upload": CHAT + b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "an offer to switch protocols": LAWFUL["h2c offered, as Java does"],
    "a request answered": request(body=b"{}"),
    "a pipeline": request(body=b"{}") * 20,
    "a stranger": CHAT + b"x-api-key: stranger\r\ncontent-length: 60000\r\n\r\n",
    "a body too large": request(body=b"x" * 70_000),
    **{f"refused: {name}": wire for name, wire in REFUSED.items()},
}


def forget(client: Client) -> None:
    """What the test itself holds of a connection."""
    client.desk.seen.clear()
    client.desk.works.clear()
    del client.connection
    del client.asker


@pytest.mark.parametrize("holds", [False, True], ids=["answered", "in progress"])
@pytest.mark.parametrize("wire", ENDINGS.values(), ids=ENDINGS)
def test_no_cycle_survives_a_connection_however_it_ends(wire: bytes, *, holds: bool) -> None:
    before = alive()
    client = Client(
        Desk(DoorLimits(body_bytes=4 * MIB if b"content-length: 2097152" in wire else 64 * 1024), holds=holds)
    )
    client.send(*[wire[at : at + 700] for at in range(0, len(wire), 700)])
    client.reset()
    forget(client)
    assert alive() == before


def test_no_cycle_survives_a_connection_that_ran_out_of_time() -> None:
    before = alive()
    client = Client().send(UPLOAD[:40])
    client.loop.step(1000)
    assert client.lost
    forget(client)
    assert alive() == before


@pytest.mark.anyio
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_160_abandoned_uploads_leave_nothing(*, tls: bool) -> None:
    desk = SocketDesk(DoorLimits(body_bytes=4 * MIB))
    loop = asyncio.get_running_loop()

    async def abandon() -> None:
        _, writer = await to.connect()
        losses = desk.losses
        writer.write(UPLOAD + b"x" * 65_536)
        await writer.drain()
        writer.transport.abort()
        async with asyncio.timeout(PATIENCE_S):
            while desk.losses == losses:
                await asyncio.sleep(0)

    async with served(desk, tls=tls) as to:
        for _ in range(8):
            await abandon()  # what is cached for ever is cached now
        before = alive()
        tracemalloc.start()
        start_bytes, _ = tracemalloc.get_traced_memory()
        for _ in range(160):
            await abandon()
        now_bytes, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        after = alive()
    assert after == before
    assert desk.losses == 168
    assert now_bytes - start_bytes < 2 * MIB  # the clients' own garbage, with the collector off
    assert loop.is_running()
