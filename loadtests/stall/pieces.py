"""An engine whose one event is large and comes in small pieces: `python -m loadtests.stall.pieces`.

Any chat is answered by a stream of a role, one content event of EVENT_BYTES in writes of PIECE_BYTES, a finish reason
and `[DONE]`. Each piece waits for a turn of its own, so that it is a read of its own for whoever keeps up. What is
asked as a provider of another format is answered as `provider` says, whole.
"""

from __future__ import annotations

import asyncio
import json
import sys

from loadtests.stall import provider

EVENT_BYTES = 7 * 1024 * 1024
PIECE_BYTES = 1024


def _chunk(**fields: object) -> bytes:
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "bench"}
    return b"data: " + json.dumps(head | fields).encode() + b"\n\n"


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def events() -> list[bytes]:
    """Role, the large one, finish, end."""
    large = _chunk(choices=[{"index": 0, "delta": {"content": "a" * EVENT_BYTES}, "finish_reason": None}])
    return [
        _chunk(choices=[{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]),
        large,
        _chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}]),
        b"data: [DONE]\n\n",
    ]


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        asked = await reader.readuntil(b"\r\n\r\n")
        path, head = asked.split(b" ", 2)[1].decode(), asked.lower()
        if head.startswith(b"get"):
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
            return
        await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
        told = provider.answer(path)
        if told is not None:
            lines = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
            writer.write(lines % (told[0], len(told[1])) + told[1])
            await writer.drain()
            return
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        for event in events():
            wire = _framed(event)
            for start in range(0, len(wire), PIECE_BYTES):
                writer.write(wire[start : start + PIECE_BYTES])
                await writer.drain()
                await asyncio.sleep(0.0002)
        writer.write(b"0\r\n\r\n")
        await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def serve() -> None:
    """Listen on a free loopback port until cancelled; the port is the first line on standard output."""
    server = await asyncio.start_server(_answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    sys.exit(asyncio.run(serve()))
