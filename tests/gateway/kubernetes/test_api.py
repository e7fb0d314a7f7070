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
        self._held: list[bytes] | None = None

    @property
    def held(self) -> int:
        """How many pieces wait until they are asked for."""
        return len(self._held or ())

    def pause(self) -> None:
        self._held = []

    def resume(self) -> None:
        held, self._held = self._held or [], None
        for data in held:
            self.data(data)

    def data(self, data: bytes) -> None:
        if self._held is None:
            self.sink.data(data)
        else:
            self._held.append(data)

    def send(self, head: bytes, body: bytes, deadlines: Any, sink: Any) -> _Telling:
        self.sink = sink
        return self

    def abort(self) -> None: ...


async def test_lines_that_follow_one_soon_are_taken_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.kubernetes.api.GATHER_S", 0.2)
    api, pool = Api(ApiPlace("http://api.example"), spawn), _Telling()

    async def ready(*_: Any) -> Any:
        return pool, b""

    monkeypatch.setattr(api, "_ready", ready)
    stream = api.lines("/", {})
    begun = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    pool.sink.head(200, ())
    pool.data(b"1\n")
    assert (await begun, await anext(stream)) == (b"", b"1\n")
    second = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    pool.data(b"2\n")
    for _ in range(5):
        await asyncio.sleep(0)
    assert not second.done()
    assert pool.held == 1
    pool.data(b"3\n")
    assert await second == b"2\n"
    third = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    assert third.done()
    assert third.result() == b"3\n"
    pool.sink.done()
    assert [line async for line in stream] == []
