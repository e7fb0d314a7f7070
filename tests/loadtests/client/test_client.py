"""The client over real sockets: what it sends, how many connections it opens, and what ends a request."""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trustme

from loadtests.client.client import Client, Target
from loadtests.client.connection import Connection
from loadtests.client.record import Record
from loadtests.workloads.request import Request
from tests.loadtests import wire

pytestmark = pytest.mark.anyio

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
WHOLE = wire.head() + b"".join(map(wire.chunked, wire.stream(["a", "b"], 2))) + wire.chunked(b"")


def request(index: int = 0, session: str = "") -> Request:
    return Request(
        index=index, path="/v1/chat/completions", body=b"{}", stream=True, model="m", prompt_words=1, session=session
    )


def record() -> Record:
    return Record(index=0, ti=0)


class Server:
    """Keeps the requests it got, answers each with `WHOLE` once `gate` is set."""

    def __init__(self, answer: bytes = WHOLE, tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self.tls = tls
        self.gate = asyncio.Event()
        self.gate.set()
        self.heads: list[bytes] = []
        self.connections = 0

    async def __aenter__(self) -> Server:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.heads.append(head)
                await reader.readexactly(2)
                await self.gate.wait()
                writer.write(self.answer)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


async def test_a_request_is_answered_and_its_stamps_are_in_order() -> None:
    async with Server() as server:
        client = Client(Target.parse(server.url))
        kept = record()
        assert "ab" == await client.send(request(), kept, keep_text=True)
        assert ("", 2, 2) == (kept.error, kept.tokens, kept.chunks)
        assert 0 < kept.ts <= kept.c1 <= kept.ck <= kept.te
        await client.close()


@pytest.mark.parametrize(("trusted", "error"), [(True, ""), (False, "connect")])
async def test_over_tls_the_certificate_must_be_one_that_is_trusted(
    trusted: bool, error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    if trusted:
        authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    async with Server(tls=context) as server:
        client = Client(Target.parse(server.url.replace("http://127.0.0.1", "https://localhost")))
        kept = record()
        await client.send(request(), kept)
        assert error == kept.error
        await client.close()


async def test_what_is_sent_names_host_length_headers_and_session() -> None:
    async with Server() as server:
        client = Client(Target.parse(server.url + "/base/"), headers={"authorization": "Bearer k"})
        await client.send(request(session="s7"), record())
        await client.close()
    lines = server.heads[0].decode().split("\r\n")
    assert "POST /base/v1/chat/completions HTTP/1.1" == lines[0]
    assert {"content-length: 2", "authorization: Bearer k", "x-session-id: s7", "content-type: application/json"} < set(
        lines
    )


async def test_no_request_waits_for_a_connection_and_free_ones_are_used_again() -> None:
    async with Server() as server:
        client = Client(Target.parse(server.url))
        server.gate.clear()
        waiting = [asyncio.ensure_future(client.send(request(n), record())) for n in range(20)]
        while len(server.heads) < 20:
            await asyncio.sleep(0)
        assert (20, 20) == (client.in_flight, server.connections)
        server.gate.set()
        await asyncio.gather(*waiting)
        await client.send(request(), record())
        assert (0, 20) == (client.in_flight, server.connections)
        await client.close()
        assert 0 == client.connections


async def test_a_port_nobody_listens_on_is_a_failure_to_connect() -> None:
    async with Server() as server:
        url = server.url
    client = Client(Target.parse(url))
    kept = record()
    await client.send(request(), kept)
    assert ("connect", 0) == (kept.error, kept.te)
    assert kept.ts > 0
    await client.close()


async def test_a_request_beyond_its_time_is_a_timeout_and_its_connection_is_closed() -> None:
    async with Server() as server:
        server.gate.clear()
        client = Client(Target.parse(server.url), timeout_s=0.05)
        kept = record()
        await client.send(request(), kept)
        assert "timeout" == kept.error
        await client.close()
        server.gate.set()


async def test_a_connection_that_is_made_as_all_are_closed_is_closed_too() -> None:
    async with Server() as server:
        client = Client(Target.parse(server.url))
        await client.close()
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: Connection(client), "127.0.0.1", client.target.port)
        async with asyncio.timeout(60):
            while client.connections:
                await asyncio.sleep(0)


async def test_what_is_under_way_when_the_run_ends_is_unfinished() -> None:
    async with Server() as server:
        server.gate.clear()
        client = Client(Target.parse(server.url))
        kept = [record() for _ in range(3)]
        waiting = [asyncio.ensure_future(client.send(request(), one)) for one in kept]
        while len(server.heads) < 3:
            await asyncio.sleep(0)
        client.give_up_all()
        await asyncio.gather(*waiting)
        assert ["unfinished"] * 3 == [one.error for one in kept]
        await client.close()
        server.gate.set()


async def test_nothing_is_sent_twice_when_the_server_hangs_up() -> None:
    async with Server(answer=b"") as server:
        client = Client(Target.parse(server.url))
        waiting = asyncio.ensure_future(client.send(request(), kept := record()))
        while not server.heads:
            await asyncio.sleep(0)
        client.give_up_all("reset")
        await waiting
        assert ("reset", 1) == (kept.error, len(server.heads))
        await client.close()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EADDRNOTAVAIL])
async def test_a_machine_without_descriptors_or_ports_is_its_own_kind_of_failure(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(Target.parse("http://127.0.0.1:1"))

    async def none_left(*_: object, **__: object) -> None:
        raise OSError(number, "none left")

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", none_left)
    kept = record()
    await client.send(request(), kept)
    assert ("client_limit", f"[Errno {number}] none left") == (kept.error, kept.said)


async def test_what_a_refusal_said_is_kept_without_the_key_that_was_sent() -> None:
    key = "token-0123456789abcdef"
    async with Server(wire.plain({"error": f"no such key: {key}"}, "401 Unauthorized")) as server:
        client = Client(Target.parse(server.url), headers={"authorization": f"Bearer {key}"})
        kept = record()
        await client.send(request(), kept)
        assert ("http_401", '{"error": "no such key: [hidden]"}') == (kept.error, kept.said)
        await client.close()


@pytest.mark.parametrize(
    ("base", "path"),
    [
        ("", "/v1/embeddings"),
        ("/v1", "/v1/embeddings"),
        ("/v1/", "/v1/embeddings"),
        ("/api/v1", "/api/v1/embeddings"),
        ("/openai/v1", "/openai/v1/embeddings"),
        ("/inference/v1/", "/inference/v1/embeddings"),
        ("/tenant", "/tenant/v1/embeddings"),
        ("/v1beta", "/v1beta/v1/embeddings"),
    ],
)
def test_a_base_that_ends_in_v1_takes_the_place_of_the_paths_own(base: str, path: str) -> None:
    assert path == Target.parse(f"https://api.example{base}").path("/v1/embeddings")


@pytest.mark.parametrize("url", ["ftp://a", "http://", "http://u:p@h", "http://h?x=1", "http://h:99999", "h:80"])
def test_a_target_that_cannot_be_one_is_refused_with_what_would_be_right(url: str) -> None:
    with pytest.raises(ValueError, match="a target is http"):
        Target.parse(url)


@pytest.mark.parametrize("headers", [{"a b": "x"}, {"x": "a\r\nb: c"}, {"": "x"}])
async def test_a_header_that_would_break_the_request_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="cannot be sent"):
        Client(Target.parse("http://127.0.0.1:1"), headers=headers)
