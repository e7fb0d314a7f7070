"""The floor: what a relay costs in this language and does nothing but relay. It is a reference row, not a product.

asyncio protocols on uvloop with httptools on both sides, one typed parse of the body, one keep-alive pool to one
upstream. No keys, no limits, no timers, no retry, no metrics, no usage, no log, and no back-pressure: what a gateway
costs above this row is its features.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import cast
from urllib.parse import urlsplit

import httptools
import msgspec
import uvloop


class Body(msgspec.Struct):
    """The fields a gateway has to look at."""

    model: str
    stream: bool = False
    user: str | None = None


_decode = msgspec.json.Decoder(Body).decode
_UNREACHABLE = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n"
_UNREADABLE = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Upstream(asyncio.Protocol):
    """A connection to the engine; idle in the pool, or lent to one client."""

    transport: asyncio.Transport

    def __init__(self, pool: list[Upstream]) -> None:
        self.pool = pool
        self.client: Client | None = None
        self.feed = httptools.HttpResponseParser(self).feed_data

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is not derived from it

    def data_received(self, data: bytes) -> None:
        client = self.client
        if client is not None:
            client.transport.write(data)
            self.feed(data)

    def on_message_complete(self) -> None:
        client, self.client = self.client, None
        if client is not None:
            client.upstream = None
        self.pool.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.client is not None:
            self.client.transport.close()
        elif self in self.pool:
            self.pool.remove(self)


class Client(asyncio.Protocol):
    """A connection from an application."""

    transport: asyncio.Transport

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.upstream: Upstream | None = None
        self.url = b""
        self.body = b""
        self.feed = httptools.HttpRequestParser(self).feed_data

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is not derived from it

    def connection_lost(self, exc: Exception | None) -> None:
        if self.upstream is not None:
            self.upstream.client = None
            self.upstream.transport.close()

    def data_received(self, data: bytes) -> None:
        try:
            self.feed(data)
        except (httptools.HttpParserError, msgspec.MsgspecError):
            self.transport.write(_UNREADABLE)
            self.transport.close()

    def on_url(self, url: bytes) -> None:
        self.url = url

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        body, self.body = self.body, b""
        if body:
            _decode(body)
            head = b"POST %b HTTP/1.1\r\n%bcontent-length: %d\r\n\r\n" % (self.url, self.relay.headers, len(body))
        else:
            head = b"GET %b HTTP/1.1\r\n%b\r\n" % (self.url, self.relay.headers)
        self.relay.send(self, head + body)


class Relay:
    """The pool, and the way into it."""

    def __init__(self, backend: str) -> None:
        parts = urlsplit(backend)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80
        self.headers = f"host: {self.host}:{self.port}\r\ncontent-type: application/json\r\n".encode()
        self.idle: list[Upstream] = []
        self.connecting: set[asyncio.Task[None]] = set()

    def send(self, client: Client, request: bytes) -> None:
        if self.idle:
            self._lend(self.idle.pop(), client, request)
        else:
            task = asyncio.get_running_loop().create_task(self._connect(client, request))
            self.connecting.add(task)
            task.add_done_callback(self.connecting.discard)

    def _lend(self, upstream: Upstream, client: Client, request: bytes) -> None:
        upstream.client, client.upstream = client, upstream
        upstream.transport.write(request)

    async def _connect(self, client: Client, request: bytes) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, upstream = await loop.create_connection(lambda: Upstream(self.idle), self.host, self.port)
        except OSError:
            client.transport.write(_UNREACHABLE)
            return
        if client.transport.is_closing():
            upstream.transport.close()
        else:
            self._lend(upstream, client, request)


async def serve(port: int, backend: str) -> None:
    """Listen on loopback until cancelled."""
    relay = Relay(backend)
    server = await asyncio.get_running_loop().create_server(lambda: Client(relay), "127.0.0.1", port, backlog=4096)
    async with server:
        await server.serve_forever()


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description="Reference relay without features, for the path benchmark.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--backend", required=True)
    options = parser.parse_args(argv)
    uvloop.run(serve(options.port, options.backend))


if __name__ == "__main__":
    main(sys.argv[1:])
