"""Clients that ask for long streams and then read almost nothing: `python -m loadtests.scenario.slow_reader URL`.

Each has a small receive buffer and reads so many bytes a second, so that whatever is in front of it must hold the rest
back or hold it in memory. When standard input ends, one JSON object says what became of them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import socket
import sys

from loadtests.client.client import Target

RECEIVE_BUFFER_BYTES = 4096
"""The kernel doubles it; without it, it would take megabytes before anybody notices that nothing is read."""
TICK_S = 0.25


class SlowReader:
    """One of them."""

    def __init__(self, target: Target, model: str, tokens: int, bytes_per_s: int) -> None:
        self._target = target
        self._per_tick = max(1, round(bytes_per_s * TICK_S))
        body = json.dumps(
            {
                "model": model,
                "stream": True,
                "max_tokens": tokens,
                "ignore_eos": True,
                "messages": [{"role": "user", "content": "count to a million"}],
            }
        ).encode()
        self._wire = (
            f"POST {target.path('/v1/chat/completions')} HTTP/1.1\r\nhost: {target.netloc}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        ).encode() + body
        self.first = b""
        self.read_bytes = 0
        self.ended = False

    async def run(self) -> None:
        """Read slowly until cancelled, or until the other side has had enough."""
        loop = asyncio.get_running_loop()
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            sock.setblocking(False)
            await loop.sock_connect(sock, (self._target.host, self._target.port))
            await loop.sock_sendall(sock, self._wire)
            while data := await loop.sock_recv(sock, self._per_tick):
                self.first = self.first or data
                self.read_bytes += len(data)
                await asyncio.sleep(TICK_S)
        self.ended = True


async def serve(readers: list[SlowReader]) -> None:
    """All of them, until standard input ends."""
    tasks = [asyncio.ensure_future(reader.run()) for reader in readers]
    await asyncio.to_thread(sys.stdin.buffer.read)
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await task
    print(
        json.dumps(
            {
                "accepted": sum(reader.first.startswith(b"HTTP/1.1 200") for reader in readers),
                "open": sum(not reader.ended and reader.read_bytes > 0 for reader in readers),
                "read_bytes": sum(reader.read_bytes for reader in readers),
            }
        )
    )


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="loadtests.scenario.slow_reader", description="Clients that hardly read.")
    parser.add_argument("url")
    parser.add_argument("--model", default="chat")
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=20_000)
    parser.add_argument("--bytes-per-s", type=int, default=1024)
    options = parser.parse_args(argv)
    target = Target.parse(options.url)
    readers = [SlowReader(target, options.model, options.tokens, options.bytes_per_s) for _ in range(options.count)]
    asyncio.run(serve(readers))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
