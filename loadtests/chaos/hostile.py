"""An engine that does everything wrong in turn: `python -m loadtests.chaos.hostile`.

Request n gets the n-th of MANNERS. Whatever never ends, ends at FAR_BYTES: a gateway that has not cut it by then has
taken all of it.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Awaitable, Callable

FAR_BYTES = 64 * 1024 * 1024
SILENCE_S = 60.0
_CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_ROLE = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":"a"}}]}\n\n'

Write = Callable[[bytes], Awaitable[None]]


def _sized(status: bytes, body: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (status, size, body)


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def error_in_200_that_is_no_utf8(write: Write) -> None:
    await write(_sized(b"200 OK", b'{"error": {"message": "\xff\xfe", "type": "x"}}'))


async def error_that_is_no_utf8(write: Write) -> None:
    await write(_sized(b"500 Internal Server Error", b'{"error": {"message": "\xc3\x28"}}'))


async def endless_headers(write: Write) -> None:
    await write(b"HTTP/1.1 200 OK\r\n")
    for number in range(FAR_BYTES // 64):
        await write(b"x-%d: %b\r\n" % (number, b"a" * 50))


async def one_endless_header(write: Write) -> None:
    await write(b"HTTP/1.1 200 OK\r\nx-long: ")
    for _ in range(FAR_BYTES // 4096):
        await write(b"a" * 4096)


async def no_http(write: Write) -> None:
    await write(b"\x00\x01\x02SSH-2.0-OpenSSH\r\n\r\n" * 3)


async def endless_error(write: Write) -> None:
    await write(b"HTTP/1.1 500 No\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
    for _ in range(FAR_BYTES // 4096):
        await write(_framed(b"e" * 4096))


async def endless_trailers(write: Write) -> None:
    await write(_CHUNKED + _framed(_ROLE) + b"0\r\n")
    for number in range(FAR_BYTES // 64):
        await write(b"x-%d: %b\r\n" % (number, b"a" * 50))


async def stream_cut(write: Write) -> None:
    await write(_CHUNKED + _framed(_ROLE))


async def events_that_are_none(write: Write) -> None:
    await write(_CHUNKED + _framed(_ROLE) + _framed(b"data: \xff\xfe{]\n\n") + b"0\r\n\r\n")


async def too_short(write: Write) -> None:
    await write(_sized(b"200 OK", b'{"choices": []}', length=5000))


async def status_out_of_range(write: Write) -> None:
    await write(_sized(b"799 What", b"{}"))


async def nothing(write: Write) -> None:
    """Closed at once."""


async def silence(write: Write) -> None:
    await asyncio.sleep(SILENCE_S)


MANNERS: list[Callable[[Write], Awaitable[None]]] = [
    error_in_200_that_is_no_utf8,
    error_that_is_no_utf8,
    endless_headers,
    one_endless_header,
    no_http,
    endless_error,
    endless_trailers,
    stream_cut,
    events_that_are_none,
    too_short,
    status_out_of_range,
    nothing,
    silence,
]


async def serve() -> None:
    """Listen on a free loopback port until cancelled; the port is the first line on standard output."""
    manners = itertools.cycle(MANNERS)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def write(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        try:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            if head.startswith(b"get"):  # a healthy one, to go by its health
                await write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
                return
            await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
            await next(manners)(write)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    sys.exit(asyncio.run(serve()))
