"""What lets us in is read again: an authority or a certificate that was rotated is used from the next request on."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog
import trustme

from engines.errors import ClientStalled, EngineError, IdleTimeout
from gateway.kubernetes.api import Api, ApiError, ApiPlace
from tests.gateway.kubernetes.spawning import spawn

pytestmark = pytest.mark.anyio

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}"


class Secured:
    """An API server that shows a certificate of one authority and wants one of another."""

    def __init__(self) -> None:
        self.shows, self.wants = trustme.CA(), trustme.CA()
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.heads: list[bytes] = []
        self.url = ""

    def rotate(self) -> None:
        """From now on both are of other authorities."""
        self.shows, self.wants = trustme.CA(), trustme.CA()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.use(context)
        self.context.sni_callback = lambda sock, name, old: setattr(sock, "context", context)

    def use(self, context: ssl.SSLContext) -> None:
        self.shows.issue_cert("localhost").configure_cert(context)
        self.wants.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED

    def write(self, home: Path, *, key: bool = True) -> None:
        """What a client needs; without `key` the certificate alone, as in the middle of a rotation."""
        ours = self.wants.issue_cert("gateway.example")
        self.shows.cert_pem.write_to_path(home / "ca.pem")
        ours.cert_chain_pems[0].write_to_path(home / "cert.pem")
        if key:
            ours.private_key_pem.write_to_path(home / "key.pem")

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(ANSWER)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def secured() -> AsyncIterator[Secured]:
    it = Secured()
    it.use(it.context)
    server = await asyncio.start_server(it.answer, "127.0.0.1", 0, ssl=it.context)
    it.url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
    try:
        yield it
    finally:
        server.close()


@pytest.fixture
def lines() -> Any:
    with structlog.testing.capture_logs() as logged:
        yield logged


async def test_an_authority_and_a_certificate_that_were_rotated_are_read_again(tmp_path: Path, lines: Any) -> None:
    names = (str(tmp_path / name) for name in ("ca.pem", "cert.pem", "key.pem"))
    async with secured() as server:
        server.write(tmp_path)
        api = Api(ApiPlace(f"{server.url}/k8s/c-1", "", *names), spawn)
        assert await api.get("/version", {"a": "b c"}) == b"{}"
        assert server.heads[0].startswith(b"GET /k8s/c-1/version?a=b+c HTTP/1.1\r\nhost: localhost:")
        server.rotate()
        with pytest.raises(ApiError, match="the API server is not reached: its TLS certificate is not trusted"):
            await api.get("/version")
        server.write(tmp_path)
        assert await api.get("/version") == b"{}"
        assert lines == []
        await api.close()


async def test_half_a_rotation_is_said_once_and_what_was_there_serves_meanwhile(tmp_path: Path, lines: Any) -> None:
    names = (str(tmp_path / name) for name in ("ca.pem", "cert.pem", "key.pem"))
    async with secured() as server:
        server.write(tmp_path)
        api = Api(ApiPlace(server.url, "", *names), spawn)
        await api.get("/version")
        server.write(tmp_path, key=False)
        for _ in range(2):
            assert await api.get("/version") == b"{}"
        server.write(tmp_path)
        assert await api.get("/version") == b"{}"
        assert [(line["event"], line["of"]) for line in lines] == [
            ("certificates_refused", "the API server"),
            ("certificates_renewed", "the API server"),
        ]
        assert "KEY_VALUES_MISMATCH" in lines[0]["why"].upper().replace(" ", "_")
        await api.close()


class _Telling:
    """A pool whose answers a test writes, and which keeps what is heard while it is held back, as the kernel does."""

    sink: Any

    def __init__(self) -> None:
        self._held: list[bytes] = []
        self._reading = True
        self.paused = 0
        """How many times it was held back."""
        self.aborted = False

    @property
    def held(self) -> int:
        """How many pieces wait until they are asked for."""
        return len(self._held)

    def pause(self) -> None:
        self._reading = False
        self.paused += 1

    def resume(self) -> None:
        self._reading = True
        self._one()

    def data(self, *pieces: bytes) -> None:
        """They come: one in each turn of the loop, as a socket is read."""
        if self._reading and not self._held:
            self.sink.data(pieces[0])
            pieces = pieces[1:]
        self._held += pieces
        asyncio.get_running_loop().call_soon(self._one)

    def _one(self) -> None:
        if self._reading and self._held:
            self.sink.data(self._held.pop(0))
            asyncio.get_running_loop().call_soon(self._one)

    def send(self, head: bytes, body: bytes, deadlines: Any, sink: Any) -> _Telling:
        self.sink = sink
        return self

    def abort(self) -> None:
        self.aborted = True


@pytest.fixture
def pool() -> _Telling:
    return _Telling()


@pytest.fixture
def stream(pool: _Telling, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The lines of an answer of this pool's."""
    api = Api(ApiPlace("http://api.example"), spawn)

    async def ready(*_: Any) -> Any:
        return pool, b""

    monkeypatch.setattr(api, "_ready", ready)
    return api.lines("/", {})


async def test_lines_that_follow_one_soon_are_taken_together(
    pool: _Telling, stream: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.kubernetes.api.GATHER_S", 0.2)
    begun = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    pool.sink.head(200, ())
    pool.data(b"1\n")
    assert (await begun, await anext(stream)) == (b"", b"1\n")
    second = asyncio.ensure_future(anext(stream))
    for _ in range(5):
        await asyncio.sleep(0)
    pool.data(b"2\n")
    for _ in range(5):
        await asyncio.sleep(0)
    assert not second.done()
    assert pool.held == 1
    pool.data(b"3\n")
    assert await second == b"2\n"
    third = asyncio.ensure_future(anext(stream))
    for _ in range(3):
        await asyncio.sleep(0)
    assert third.done()
    assert third.result() == b"3\n"
    assert pool.paused == 1
    pool.sink.done()
    assert [line async for line in stream] == []


async def test_a_burst_is_taken_without_waiting_however_little_is_read_at_once(
    pool: _Telling, stream: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading once per gathering time, 64 KiB of a hundred endpoints each, fell behind at 80 events a second."""
    monkeypatch.setattr("gateway.kubernetes.api.GATHER_S", 3600.0)
    begun = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    pool.sink.head(200, ())
    await begun
    pool.data(*[b"half of ", b"one\n"] * 100)
    assert [await anext(stream) for _ in range(100)] == [b"half of one\n"] * 100
    assert pool.paused == 0
    await stream.aclose()


async def test_what_comes_while_lines_are_taken_is_told_before_the_end(pool: _Telling, stream: Any) -> None:
    begun = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    pool.sink.head(200, ())
    await begun
    pool.data(b"1\n")
    assert await anext(stream) == b"1\n"
    pool.sink.data(b"2\n")
    pool.sink.done()
    assert [line async for line in stream] == [b"2\n"]


async def test_who_stops_while_lines_are_gathered_gives_the_connection_up(pool: _Telling, stream: Any) -> None:
    taking = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    pool.sink.head(200, ())
    await taking
    pool.data(b"1\n")
    await anext(stream)
    taking = asyncio.ensure_future(anext(stream))
    while not pool.paused:
        await asyncio.sleep(0)
    taking.cancel()
    await asyncio.wait([taking])
    assert pool.aborted


@pytest.mark.parametrize("error", [IdleTimeout("nothing came"), ClientStalled("the client read nothing")])
async def test_a_watch_that_is_silent_for_too_long_is_over_also_where_the_machine_stood_still_as_it_was_held_back(
    pool: _Telling, stream: Any, error: EngineError
) -> None:
    begun = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    pool.sink.head(200, ())
    assert await begun == b""
    pool.sink.failed(error)
    assert [line async for line in stream] == []
