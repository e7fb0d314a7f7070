"""Opens many streams through a gateway and keeps them open, so that its memory can be read while they are.

Prints one JSON line when each stream has had its first chunk or has failed, `{"open": N, "failed": N}`; closes all of
them when standard input ends, and then prints `{"chunks": N}`: that they were alive.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
from typing import cast
from urllib.parse import urlsplit

import uvloop

from loadtests.path.check import body

AT_ONCE = 100
"""Streams that wait for their first chunk at the same time: few enough for any listen backlog."""
FIRST_CHUNK_S = 30.0


class HeldStream(asyncio.Protocol):
    """One request, and its answer for as long as it lasts."""

    def __init__(self, request: bytes, first_chunk: asyncio.Future[bool]) -> None:
        self.request = request
        self.first_chunk = first_chunk
        self.chunks = 0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is not derived from it
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        if data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 200"):
            self._settle(False)
        if b"data: {" in data:
            self.chunks += 1
            self._settle(True)

    def connection_lost(self, exc: Exception | None) -> None:
        self._settle(False)

    def _settle(self, is_open: bool) -> None:
        if not self.first_chunk.done():
            self.first_chunk.set_result(is_open)


async def _open(url: str, key: str, held: list[HeldStream], turns: asyncio.Semaphore) -> bool:
    loop = asyncio.get_running_loop()
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    content = body(stream=True, content="hold-open").encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {parts.netloc}\r\nauthorization: Bearer {key}\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    async with turns:
        stream = HeldStream(head.encode() + content, loop.create_future())
        try:
            await loop.create_connection(lambda: stream, host, port)
            held.append(stream)
            return await asyncio.wait_for(stream.first_chunk, FIRST_CHUNK_S)
        except (OSError, TimeoutError):
            return False


async def hold(url: str, key: str, count: int) -> None:
    """Open `count` streams, say so, and hold them until standard input ends."""
    held: list[HeldStream] = []
    turns = asyncio.Semaphore(AT_ONCE)
    opened = await asyncio.gather(*(_open(url, key, held, turns) for _ in range(count)))
    print(json.dumps({"open": sum(opened), "failed": count - sum(opened)}), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for stream in held:
        if stream.transport is not None:
            stream.transport.abort()
    print(json.dumps({"chunks": sum(stream.chunks for stream in held)}), flush=True)


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description="Hold many streams open through a gateway.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--count", type=int, required=True)
    options = parser.parse_args(argv)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    uvloop.run(hold(options.url, options.key, options.count))


if __name__ == "__main__":
    main(sys.argv[1:])
