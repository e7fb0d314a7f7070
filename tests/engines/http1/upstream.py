"""An upstream that the test plays by hand over real sockets, and the pools that talk to it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

from engines.http1.call import Call
from engines.http1.origin import Origin
from engines.model import Deadlines
from engines.pool import Pool
from tests.engines.http1.bench import BODY, HEAD, PATIENT
from tests.engines.http1.recorder import Recorder

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CLOSING = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"
PATIENCE_S = 60.0
"""Only a test that fails waits this long."""


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop turn until `condition` holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0)


class Peer(asyncio.Protocol):
    """The server's end of one connection."""

    def __init__(self, accepted: asyncio.Queue[Peer]) -> None:
        self._accepted = accepted
        self._arrived = asyncio.Event()
        self.transport: asyncio.Transport
        self.received = b""
        self.gone = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._accepted.put_nowait(self)

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._arrived.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()

    async def request(self, size: int = len(HEAD + BODY)) -> bytes:
        """The next request of `size` bytes."""
        async with asyncio.timeout(PATIENCE_S):
            while len(self.received) < size:
                self._arrived.clear()
                await self._arrived.wait()
        request, self.received = self.received[:size], self.received[size:]
        return request

    def send(self, data: bytes) -> None:
        self.transport.write(data)

    def close(self) -> None:
        self.transport.close()

    def reset(self) -> None:
        self.transport.abort()

    async def left(self) -> None:
        """Wait until the client has closed the connection."""
        async with asyncio.timeout(PATIENCE_S):
            await self.gone.wait()


class Upstream:
    """A listening socket, every connection to it, and the pools made for it."""

    def __init__(self) -> None:
        self.origin = Origin("127.0.0.1", 0)
        self.peers: asyncio.Queue[Peer] = asyncio.Queue()
        self.accepted = 0
        self.pools: list[Pool] = []
        self.tasks: list[asyncio.Task[None]] = []
        self._all: list[Peer] = []

    def peer_made(self) -> Peer:
        self.accepted += 1
        self._all.append(Peer(self.peers))
        return self._all[-1]

    @property
    def latest(self) -> Peer | None:
        """The connection made last."""
        return self._all[-1] if self._all else None

    async def peer(self) -> Peer:
        """The next connection."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.peers.get()

    def spawn(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(work(), name=name))

    def pool(self, *, origin: Origin | None = None, limit: int = 100, idle_s: float = 1000.0) -> Pool:
        self.pools.append(Pool(origin or self.origin, self.spawn, limit=limit, idle_s=idle_s))
        return self.pools[-1]

    async def warm(self, pool: Pool) -> Peer:
        """A connection that has served once and is idle."""
        sink = send(pool)[1]
        peer = await self.peer()
        await peer.request()
        peer.send(ANSWER)
        await ended(sink)
        return peer

    async def over(self) -> None:
        """Close everything. Asserts that no pool holds a connection and no task of theirs failed."""
        for pool in self.pools:
            pool.close()
        for peer in self._all:
            if not peer.gone.is_set() and hasattr(peer, "transport"):
                peer.reset()
        await until(lambda: all(pool.open_connections == 0 == pool.idle_connections for pool in self.pools))
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*self.tasks)


def send(pool: Pool, deadlines: Deadlines = PATIENT, body: bytes = BODY) -> tuple[Call, Recorder]:
    sink = Recorder()
    return pool.send(HEAD, body, deadlines, sink), sink


async def ended(sink: Recorder) -> Recorder:
    """Wait until the answer has ended either way."""
    async with asyncio.timeout(PATIENCE_S):
        await sink.ended.wait()
    assert sink.lawful
    return sink


@asynccontextmanager
async def upstream(
    host: str = "127.0.0.1", *, uds: str | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Upstream]:
    """An upstream on a free port of `host`, or on a unix socket."""
    loop = asyncio.get_running_loop()
    one = Upstream()
    if uds is not None:
        server = await loop.create_unix_server(one.peer_made, uds)
        one.origin = Origin("localhost", 80, uds=uds)
    else:
        server = await loop.create_server(one.peer_made, host, 0, ssl=tls)
        one.origin = Origin(host, server.sockets[0].getsockname()[1])
    try:
        yield one
    finally:
        server.close()  # first, or a call whose connection is reset now could be replayed on a fresh one
        await one.over()
        await server.wait_closed()


@contextmanager
def nobody_home() -> Iterator[Origin]:
    """An address that refuses connections for as long as this is open."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield Origin("127.0.0.1", bound.getsockname()[1])
