"""A small answer whole: what comes back, what is raised, and that leaving early closes the connection."""

from __future__ import annotations

import asyncio

import pytest

from engines.collect import MAX_BYTES, Collector, fetch
from engines.errors import AnswerTruncated, BadAnswer, ConnectionLost, FirstByteTimeout, TotalTimeout
from engines.model import Deadlines
from tests.engines.http1.bench import BODY, HEAD, PATIENT
from tests.engines.http1.upstream import ANSWER, upstream

pytestmark = pytest.mark.anyio


ANSWERS = [
    (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n", (200, b"abcd")),
    (b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nwait", (503, b"wait")),
    (b"HTTP/1.1 204 No Content\r\n\r\n", (204, b"")),
]


async def test_it_returns_status_and_body_and_the_connection_serves_again() -> None:
    async with upstream() as up:
        pool = up.pool()
        peer = await up.warm(pool)
        for wire, expected in ANSWERS:
            answer = asyncio.ensure_future(fetch(pool, HEAD, BODY, deadlines=PATIENT))
            assert await peer.request() == HEAD + BODY
            peer.send(wire)
            assert await answer == expected
        assert (up.accepted, pool.idle_connections) == (1, 1)


@pytest.mark.parametrize(
    ("wire", "error"),
    [(b"", ConnectionLost), (ANSWER[:-1], AnswerTruncated), (b"junk", BadAnswer)],
    ids=["lost", "truncated", "junk"],
)
async def test_it_raises_what_went_wrong(wire: bytes, error: type[Exception]) -> None:
    async with upstream() as up:
        pool = up.pool()
        answer = asyncio.ensure_future(fetch(pool, HEAD, BODY, deadlines=PATIENT))
        peer = await up.peer()
        await peer.request()
        peer.send(wire)
        peer.close()
        with pytest.raises(error):
            await answer
        assert pool.open_connections == 0


@pytest.mark.parametrize(
    ("deadlines", "error"),
    [(Deadlines(first_byte_s=0.02), FirstByteTimeout), (Deadlines(total_s=0.02), TotalTimeout)],
)
async def test_its_deadlines_hold(deadlines: Deadlines, error: type[Exception]) -> None:
    async with upstream() as up:
        pool = up.pool()
        with pytest.raises(error):
            await fetch(pool, HEAD, BODY, deadlines=deadlines)
        assert pool.open_connections == 0


async def test_cancelling_it_closes_the_connection() -> None:
    async with upstream() as up:
        pool = up.pool()
        answer = asyncio.ensure_future(fetch(pool, HEAD, BODY, deadlines=PATIENT))
        peer = await up.peer()
        await peer.request()
        answer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answer
        assert pool.open_connections == 0
        await peer.left()


async def test_an_answer_over_the_limit_is_refused_and_one_at_the_limit_is_not() -> None:
    for size in (10, 11):
        sink = Collector(max_bytes=10)
        sink.head(200, ())
        sink.data(b"x" * 6)
        sink.flush()
        sink.data(b"x" * (size - 6))
        sink.done()
        if size == 10:
            assert await sink.answer == b"x" * 10
        else:
            with pytest.raises(BadAnswer, match="over 10 bytes"):
                await sink.answer


async def test_an_answer_over_the_limit_is_not_kept_in_memory_nor_waited_for() -> None:
    sink = Collector(max_bytes=10)
    for _ in range(1000):
        sink.data(b"x" * 10)
    assert sum(map(len, sink._parts)) == 0
    with pytest.raises(BadAnswer, match="over 10 bytes"):
        await sink.answer
    assert MAX_BYTES == 4 * 1024 * 1024


@pytest.mark.parametrize("ending", ["done", "failed"])
async def test_an_end_after_the_caller_left_is_not_an_error(ending: str) -> None:
    sink = Collector()
    sink.answer.cancel()
    if ending == "done":
        sink.done()
    else:
        sink.failed(BadAnswer("late"))
    assert sink.answer.cancelled()
