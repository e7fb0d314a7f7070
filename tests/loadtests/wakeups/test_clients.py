"""A client that waits knows a whole answer from one that is none."""

from __future__ import annotations

import asyncio

import pytest

from loadtests.wakeups.clients import ask, leave

pytestmark = pytest.mark.anyio

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
DONE = HEAD + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


class Server:
    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.asked: list[bytes] = []
        self.over = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked.append(await reader.read(4096))
        writer.write(self.answer)
        writer.close()
        self.over.set()


@pytest.mark.parametrize(
    ("answer", "stream", "status"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", False, 200),
        (DONE, True, 200),
        (HEAD + b"1\r\na\r\n0\r\n\r\n", True, 0),
        (HEAD + b"1\r\na\r\n", False, 0),
        (b"HTTP/1.1 503 No\r\ncontent-length: 2\r\n\r\nno", True, 503),
        (b"", False, 0),
    ],
)
async def test_an_answer_is_good_when_it_is_whole(answer: bytes, stream: bool, status: int) -> None:
    served = Server(answer)
    async with await asyncio.start_server(served, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        got = await ask(port, "m", stream=stream, tokens=5)
    assert (got.status, got.good) == (status, status == 200)
    assert (got.first_s < 60) is bool(answer)
    assert b'"max_tokens": 5' in served.asked[0]


async def test_nobody_there_is_no_answer() -> None:
    async with await asyncio.start_server(Server(b""), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
    assert (await ask(port, "m", stream=True, tokens=5)).status == 0
    await leave(port, "m", 0.0)


async def test_one_that_leaves_has_asked() -> None:
    served = Server(b"")
    async with await asyncio.start_server(served, "127.0.0.1", 0) as server:
        await leave(server.sockets[0].getsockname()[1], "m", 0.0)
        async with asyncio.timeout(60):
            await served.over.wait()
    assert len(served.asked) == 1
