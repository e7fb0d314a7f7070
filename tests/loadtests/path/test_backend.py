"""The backend answers as vLLM would, one chunk per loop turn, and its streams end when their client leaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from loadtests.path import backend
from loadtests.path.backend import Connection, Steps
from loadtests.path.check import body, check_plain, check_stream


class FakeTransport(asyncio.Transport):
    """Keeps every write apart."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed = False
        self.wanted = 0
        self.enough = asyncio.Event()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))
        if len(self.writes) == self.wanted:
            self.enough.set()

    async def until(self, count: int) -> None:
        """Wait for the write that makes them `count`."""
        self.wanted = count
        await self.enough.wait()

    def close(self) -> None:
        self.closed = True


def _post(content: str) -> bytes:
    return b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n%b" % (
        len(content),
        content.encode(),
    )


@asynccontextmanager
async def _connected(hold_s: float = 1000) -> AsyncIterator[tuple[Connection, FakeTransport, Steps]]:
    steps = Steps(asyncio.get_running_loop(), 0.0)
    connection, transport = Connection(steps, hold_s), FakeTransport()
    connection.connection_made(transport)
    yield connection, transport, steps
    connection.connection_lost(None)


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.anyio
async def test_a_plain_request_split_at_every_byte_gets_one_right_answer() -> None:
    request = _post(body(stream=False))
    async with _connected() as (connection, transport, _):
        for at in range(len(request)):
            connection.data_received(request[at : at + 1])

        head, _, reply = b"".join(transport.writes).partition(b"\r\n\r\n")

    assert len(transport.writes) == 1
    assert f"content-length: {len(reply)}".encode() in head
    assert 500 < len(reply) < 900
    check_plain(200, reply)


@pytest.mark.anyio
async def test_a_stream_is_102_writes_on_as_many_turns_and_the_connection_serves_again() -> None:
    async with _connected() as (connection, transport, steps):
        connection.data_received(_post(body(stream=True)))
        seen = []
        for _ in range(102):
            await _turns(1)
            seen.append(len(transport.writes))
        await _turns(2)
        connection.data_received(_post(body(stream=False)))

    assert list(range(1, 103)) == seen
    assert transport.writes[:-1] == backend.STREAM
    assert transport.writes[-1] == backend.PLAIN
    assert steps.streams == []


@pytest.mark.anyio
async def test_the_usage_chunk_comes_only_when_asked_for() -> None:
    asked = json.dumps(json.loads(body(stream=True)) | {"stream_options": {"include_usage": True}})
    for text, expected in ((asked, backend.STREAM_WITH_USAGE), (body(stream=True), backend.STREAM)):
        async with _connected() as (connection, transport, _):
            connection.data_received(_post(text))
            await _turns(104)
        assert expected == transport.writes
    assert b"usage" not in b"".join(backend.STREAM)


@pytest.mark.anyio
async def test_compact_json_means_the_same() -> None:
    compact = json.dumps(json.loads(body(stream=True)), separators=(",", ":"))
    async with _connected() as (connection, transport, _):
        connection.data_received(_post(compact))
        await _turns(104)
    assert transport.writes == backend.STREAM


@pytest.mark.anyio
async def test_a_stream_stops_when_its_client_leaves() -> None:
    async with _connected() as (connection, transport, steps):
        connection.data_received(_post(body(stream=True)))
        await _turns(10)
        connection.connection_lost(None)
        before = len(transport.writes)
        await _turns(10)
    assert before == len(transport.writes)
    assert steps.streams == []


@pytest.mark.anyio
async def test_a_held_stream_gets_its_first_chunk_and_stays_open() -> None:
    async with _connected(hold_s=0) as (connection, transport, _):
        connection.data_received(_post(body(stream=True, content="hold-open")))
        assert [backend.STREAM[0]] == transport.writes
        await transport.until(4)
        assert [backend.STREAM[1]] * 3 == transport.writes[1:4]


@pytest.mark.anyio
@pytest.mark.parametrize("path", sorted(backend.GET))
async def test_what_routers_ask_on_start_is_answered(path: bytes) -> None:
    async with _connected() as (connection, transport, _):
        connection.data_received(b"GET %b HTTP/1.1\r\nhost: a\r\n\r\n" % path)
    assert [backend.GET[path]] == transport.writes
    assert transport.writes[0].startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.anyio
async def test_an_unknown_path_is_404_and_garbage_closes() -> None:
    async with _connected() as (connection, transport, _):
        connection.data_received(b"GET /nothing HTTP/1.1\r\nhost: a\r\n\r\n")
        assert transport.writes == [backend.NOT_FOUND]
        connection.data_received(b"\x00\x01\r\n\r\n")
        assert transport.closed


def test_chunks_are_right() -> None:
    joined = b"".join(backend.STREAM).partition(b"\r\n\r\n")[2]
    events = b"".join(part for part in joined.split(b"\r\n") if part.startswith(b"data: "))
    check_stream(200, events)


@pytest.mark.anyio
async def test_messages_are_answered_in_anthropics_format_with_the_same_content() -> None:
    def post(stream: bool) -> bytes:
        body = b'{"stream":true}' if stream else b"{}"
        return b"POST /v1/messages HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)

    async with _connected() as (connection, transport, _):
        connection.data_received(post(stream=False))
        answer = json.loads(transport.writes.pop().partition(b"\r\n\r\n")[2])
        assert (answer["content"], answer["stop_reason"]) == ([{"type": "text", "text": backend.CONTENT}], "end_turn")
        connection.data_received(post(stream=True))
        await transport.until(backend.CHUNKS + 2)
        kinds = [line.removeprefix(b"event: ") for one in transport.writes for line in one.split() if line != b"event:"]
        names = [word.decode() for word in kinds if word.startswith((b"message_", b"content_block_"))]
        assert names == [
            *("message_start", "content_block_start"),
            *["content_block_delta"] * backend.CHUNKS,
            *("content_block_stop", "message_delta", "message_stop"),
        ]
