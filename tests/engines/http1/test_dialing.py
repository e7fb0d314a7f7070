"""Every way to reach an engine, and every way not to: a call that was never sent says so, and leaves no socket open."""

from __future__ import annotations

import asyncio
import errno
import gc
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from engines.errors import ConnectFailed, NoConnectionFree, TotalTimeout
from engines.http1.dialing import Dialer
from engines.http1.origin import Origin
from engines.model import Deadlines
from engines.pool import Pool
from tests.engines.http1.bench import BODY, HEAD, PATIENT
from tests.engines.http1.upstream import ANSWER, Upstream, ended, nobody_home, send, until, upstream

pytestmark = pytest.mark.anyio

SOON = Deadlines(connect_s=0.05)


def can_bind_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


async def answered(up: Upstream, pool: Pool) -> None:
    """One call there and back."""
    _, sink = send(pool)
    peer = await up.peer()
    assert await peer.request() == HEAD + BODY
    peer.send(ANSWER)
    assert (await ended(sink)).heard.end == "done"


async def refused(up: Upstream, origin: Origin, deadlines: Deadlines = PATIENT) -> str:
    """The sentence of the ConnectFailed that a call to `origin` ends with. Nothing is left of it."""
    pool = up.pool(origin=origin)
    _, sink = send(pool, deadlines)
    await ended(sink)
    assert sink.calls == ["failed"]
    assert type(sink.error) is ConnectFailed
    await until(lambda: pool.open_connections == 0)
    gc.collect()  # a socket left open is a ResourceWarning, which is an error here
    return str(sink.error)


async def test_a_process_without_descriptors_does_not_blame_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, "whatever")

    async with upstream() as up:
        pool = up.pool()
        monkeypatch.setattr("engines.http1.dialing.socket.socket", no_more)
        _, sink = send(pool)
        await ended(sink)
        monkeypatch.undo()
        assert type(sink.error) is NoConnectionFree
        assert "the gateway can open no more connections: too many open files" == str(sink.error)
        assert 0 == pool.open_connections


# Addresses


@pytest.mark.skipif(not can_bind_ipv6(), reason="this machine has no ::1")
async def test_ipv6() -> None:
    async with upstream("::1") as up:
        assert up.origin.authority.startswith("[::1]:")
        await answered(up, up.pool())


async def test_a_unix_socket(tmp_path: Path) -> None:
    async with upstream(uds=str(tmp_path / "engine.sock")) as up:
        await answered(up, up.pool())


async def test_a_host_name_is_tried_at_each_of_its_addresses() -> None:
    class TwoAddresses(Dialer):
        __slots__ = ("dead_port",)

        dead_port: int

        async def _addresses(self) -> list[tuple[int, object]]:
            host, port = self.origin.host, self.origin.port
            return [(socket.AF_INET, (host, self.dead_port)), (socket.AF_INET, (host, port))]

    with nobody_home() as dead:
        async with upstream() as up:
            dialer = TwoAddresses(up.origin)
            dialer.dead_port = dead.port
            pool = Pool(up.origin, up.spawn, dialer=dialer)
            up.pools.append(pool)
            await answered(up, pool)


async def test_a_host_name_is_resolved() -> None:
    async with upstream() as up:
        await answered(up, up.pool(origin=Origin("localhost", up.origin.port)))


@pytest.mark.parametrize("host", ["no such host", "a..b", "x" * 70 + ".example"])
async def test_a_name_that_cannot_be_resolved_is_a_failed_connect(host: str) -> None:
    async with upstream() as up:
        sentence = await refused(up, Origin(host, 80))
        assert sentence == "cannot connect to the engine: its name has no usable address"


async def test_a_refused_connection_is_a_failed_connect() -> None:
    with nobody_home() as origin:
        async with upstream() as up:
            assert await refused(up, origin) == "cannot connect to the engine: connection refused"


async def test_a_unix_socket_that_is_not_there_is_a_failed_connect(tmp_path: Path) -> None:
    async with upstream() as up:
        sentence = await refused(up, Origin("localhost", 80, uds=str(tmp_path / "none.sock")))
        assert sentence == "cannot connect to the engine: no such file or directory"


# Connect deadlines


@contextmanager
def full_backlog() -> Iterator[Origin]:
    """An address where connecting hangs: its queue is full and nobody accepts."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        try:
            yield Origin("127.0.0.1", listener.getsockname()[1])
        finally:
            for filler in fillers:
                filler.close()


async def test_a_connect_that_hangs_fails_at_its_deadline() -> None:
    with full_backlog() as origin:
        async with upstream() as up:
            assert await refused(up, origin, SOON) == "no connection to the engine within 0.05 s"


async def test_a_handshake_that_hangs_fails_at_the_same_deadline() -> None:
    async with upstream() as up:
        origin = replace(up.origin, tls=ssl.create_default_context())
        assert await refused(up, origin, SOON) == "no connection to the engine within 0.05 s"


async def test_a_total_deadline_that_passes_while_connecting_is_the_callers_own() -> None:
    with full_backlog() as origin:
        async with upstream() as up:
            pool = up.pool(origin=origin)
            _, sink = send(pool, Deadlines(connect_s=1000, total_s=0.05))
            assert type((await ended(sink)).error) is TotalTimeout
            await until(lambda: pool.open_connections == 0)


async def test_a_connect_that_is_cancelled_tells_its_sink_and_leaves_nothing() -> None:
    with full_backlog() as origin:
        async with upstream() as up:
            pool = up.pool(origin=origin)
            _, sink = send(pool)
            await asyncio.sleep(0)
            connecting = up.tasks.pop()
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
            assert type(sink.error) is ConnectFailed
            assert pool.open_connections == 0
            gc.collect()


# TLS

CA = trustme.CA()


def server_tls(*names: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    CA.issue_cert(*names).configure_cert(context)
    return context


def trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    CA.configure_trust(context)
    return context


async def test_tls_with_a_trusted_certificate() -> None:
    async with upstream(tls=server_tls("127.0.0.1")) as up:
        pool = up.pool(origin=replace(up.origin, tls=trusting()))
        await answered(up, pool)
        assert pool.idle_connections == 1


async def test_a_tls_connection_is_reused_and_an_abort_closes_it() -> None:
    async with upstream(tls=server_tls("127.0.0.1")) as up:
        pool = up.pool(origin=replace(up.origin, tls=trusting()))
        peer = await up.warm(pool)
        call, sink = send(pool)
        await peer.request()
        peer.send(ANSWER[:-1])
        await until(sink.begun.is_set)
        call.abort()
        await peer.left()
        assert (sink.heard.end, up.accepted, pool.open_connections) == ("", 1, 0)


async def test_tls_with_an_unknown_authority_is_refused() -> None:
    async with upstream(tls=server_tls("127.0.0.1")) as up:
        sentence = await refused(up, replace(up.origin, tls=ssl.create_default_context()))
        assert sentence.startswith("the engine's TLS certificate is not trusted: ")


async def test_tls_with_a_certificate_for_another_host_is_refused() -> None:
    async with upstream(tls=server_tls("other.example")) as up:
        sentence = await refused(up, replace(up.origin, tls=trusting()))
        assert sentence.startswith("the engine's TLS certificate is not trusted: ")


async def test_tls_to_a_server_that_speaks_none_is_a_failed_connect() -> None:
    async with upstream() as up:
        pool = up.pool(origin=replace(up.origin, tls=trusting()))
        _, sink = send(pool)
        peer = await up.peer()
        peer.send(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        await ended(sink)
        assert (type(sink.error), str(sink.error)) == (
            ConnectFailed,
            "the TLS handshake with the engine failed",
        )


async def test_a_server_that_closes_in_the_handshake_is_a_failed_connect() -> None:
    async with upstream() as up:
        pool = up.pool(origin=replace(up.origin, tls=trusting()))
        _, sink = send(pool)
        (await up.peer()).close()
        await ended(sink)
        assert type(sink.error) is ConnectFailed
        await until(lambda: pool.open_connections == 0)


async def test_a_large_answer_over_tls_arrives_whole() -> None:
    body = bytes(range(256)) * 8192
    async with upstream(tls=server_tls("127.0.0.1")) as up:
        pool = up.pool(origin=replace(up.origin, tls=trusting()))
        _, sink = send(pool)
        peer = await up.peer()
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await ended(sink)
        assert (sink.heard.end, sink.body == body) == ("done", True)
