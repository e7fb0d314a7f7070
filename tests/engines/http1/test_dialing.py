"""Every way to reach an engine, and every way not to: a call that was never sent says so, and leaves no socket open."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import resource
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from engines.errors import ConnectFailed, OutOfSockets, TotalTimeout
from engines.http1.dialing import Dialer, take_turns, why_not
from engines.http1.origin import Origin
from engines.http1.resolver import LookUp, Place, Resolver
from engines.model import Deadlines
from engines.pool import Pool
from tests.engines.http1.bench import BODY, HEAD, PATIENT
from tests.engines.http1.upstream import ANSWER, Upstream, ended, nobody_home, send, until, upstream

pytestmark = pytest.mark.anyio

SOON = Deadlines(connect_s=0.05)


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


async def test_a_process_without_descriptors_does_not_blame_the_engine() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with upstream() as up:
        for pool in (up.pool(), up.pool(origin=Origin("localhost", up.origin.port))):
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
            try:
                _, sink = send(pool)
                await ended(sink)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert type(sink.error) is OutOfSockets
            assert "the gateway can open no more connections: too many open files" == str(sink.error)
            assert 0 == pool.open_connections


@pytest.mark.parametrize("number", [errno.EADDRNOTAVAIL, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_what_the_machine_has_run_out_of_blames_no_engine(number: int) -> None:
    assert type(why_not(OSError(number, "whatever"), 1.0)) is OutOfSockets


# Addresses


@pytest.mark.skipif(not can_bind_ipv6(), reason="this machine has no ::1")
async def test_ipv6() -> None:
    async with upstream("::1") as up:
        assert up.origin.authority.startswith("[::1]:")
        await answered(up, up.pool())


async def test_a_unix_socket(tmp_path: Path) -> None:
    async with upstream(uds=str(tmp_path / "engine.sock")) as up:
        await answered(up, up.pool())


def place(origin: Origin) -> Place:
    return socket.AF_INET, (origin.host, origin.port)


def named(up: Upstream, look_up: LookUp, *, attempt_delay_s: float = 0.25) -> Pool:
    """A pool for a host name that `look_up` knows."""
    origin = Origin("engine.test", up.origin.port)
    up.pools.append(Pool(origin, up.spawn, dialer=Dialer(origin, look_up=look_up, attempt_delay_s=attempt_delay_s)))
    return up.pools[-1]


async def test_a_host_name_is_tried_at_each_of_its_addresses() -> None:
    with nobody_home() as dead:
        async with upstream() as up:
            pool = named(up, lambda host, port: [place(dead), place(up.origin)], attempt_delay_s=1000)
            await answered(up, pool)


async def test_an_address_that_hangs_is_joined_by_the_next_and_the_first_to_connect_wins() -> None:
    with full_backlog() as silent:
        async with upstream() as up:
            pool = named(up, lambda host, port: [place(silent), place(silent), place(up.origin)], attempt_delay_s=0.01)
            await answered(up, pool)
            assert (up.accepted, pool.open_connections) == (1, 1)
            gc.collect()  # a loser of the race left open is a ResourceWarning


async def test_addresses_that_all_hang_fail_at_the_connect_deadline() -> None:
    with full_backlog() as silent:
        async with upstream() as up:
            pool = named(up, lambda host, port: [place(silent)] * 5, attempt_delay_s=0.005)
            _, sink = send(pool, SOON)
            assert str((await ended(sink)).error) == "no connection to the engine within 0.05 s"
            await until(lambda: pool.open_connections == 0)
            gc.collect()


async def test_addresses_that_all_refuse_tell_the_reason() -> None:
    with nobody_home() as dead:
        async with upstream() as up:
            pool = named(up, lambda host, port: [place(dead)] * 3, attempt_delay_s=1000)
            _, sink = send(pool)
            assert str((await ended(sink)).error) == "cannot connect to the engine: connection refused"


def test_families_take_turns() -> None:
    four, six = socket.AF_INET, socket.AF_INET6
    assert take_turns([(six, 1), (six, 2), (six, 3), (four, 4)]) == [(six, 1), (four, 4), (six, 2), (six, 3)]
    assert take_turns([]) == []


# Lookups


async def test_a_lookup_that_hangs_holds_one_thread_and_ends_at_the_connect_deadline() -> None:
    asked: list[str] = []
    release = threading.Event()

    def hangs(host: str, port: int) -> list[Place]:
        asked.append(threading.current_thread().name)
        release.wait()
        raise OSError("gave up")

    async with upstream() as up:
        pool = named(up, hangs)
        others = [Pool(Origin("localhost", up.origin.port), up.spawn) for _ in range(3)]
        up.pools.extend(others)
        sinks = [send(pool, SOON)[1] for _ in range(50)]
        for other in others:
            await answered(up, other)  # the names of other engines are looked up meanwhile
        for sink in sinks:
            assert str((await ended(sink)).error) == "no connection to the engine within 0.05 s"
        assert asked == ["resolve engine.test"]
        _, late = send(pool)
        release.set()
        assert str((await ended(late)).error) == "cannot connect to the engine: its name has no usable address"
        assert asked == ["resolve engine.test"]  # it waited for the lookup that was on its way


async def test_when_too_many_lookups_hang_no_engine_is_blamed() -> None:
    release = threading.Event()

    def hangs(host: str, port: int) -> list[Place]:
        release.wait()
        return [(socket.AF_INET, ("127.0.0.1", port))]

    threads = threading.Semaphore(1)
    first, second = (Resolver(name, 1, look_up=hangs, threads=threads) for name in ("one.test", "two.test"))
    hung = asyncio.ensure_future(first.places())
    await asyncio.sleep(0)
    with pytest.raises(OSError, match="too many lookups hang") as caught:
        await second.places()
    assert type(why_not(caught.value, 1.0)) is OutOfSockets
    release.set()
    assert await hung == [(socket.AF_INET, ("127.0.0.1", 1))] == await second.places()


async def test_a_name_that_was_found_is_not_looked_up_again_at_once_and_a_failure_is_not_kept() -> None:
    asked = 0

    def second_time(host: str, port: int) -> list[Place]:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise OSError("not yet")
        return [place(up.origin)]

    async with upstream() as up:
        pool = named(up, second_time)
        _, sink = send(pool)
        assert type((await ended(sink)).error) is ConnectFailed
        for _ in range(3):
            await answered(up, pool)
            up.latest.close() if up.latest else None
            await until(lambda: pool.open_connections == 0)
        assert (asked, up.accepted) == (2, 3)


async def test_an_address_needs_no_lookup() -> None:
    def never(host: str, port: int) -> list[Place]:
        raise AssertionError("asked for an address")

    async with upstream() as up:
        pool = Pool(up.origin, up.spawn, dialer=Dialer(up.origin, look_up=never))
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


async def test_a_tls_answer_that_ends_with_a_close_notify_is_whole_and_one_that_is_cut_off_is_not() -> None:
    for polite in (True, False):
        async with upstream(tls=server_tls("127.0.0.1")) as up:
            pool = up.pool(origin=replace(up.origin, tls=trusting()))
            _, sink = send(pool)
            peer = await up.peer()
            await peer.request()
            peer.send(b"HTTP/1.1 200 OK\r\n\r\nhello")
            await until(sink.begun.is_set)
            if polite:
                peer.close()
            else:
                with socket.socket(fileno=os.dup(peer.transport.get_extra_info("socket").fileno())) as tcp:
                    tcp.shutdown(socket.SHUT_WR)
            assert (await ended(sink)).heard.end == ("done" if polite else "AnswerTruncated")
            assert sink.body == b"hello"


async def test_a_paused_tls_answer_loses_nothing_when_the_engine_closes_behind_it() -> None:
    body = bytes(range(256)) * 300
    async with upstream(tls=server_tls("127.0.0.1")) as up:
        pool = up.pool(origin=replace(up.origin, tls=trusting()))
        call, sink = send(pool)
        sink.on_data = call.pause
        peer = await up.peer()
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\n" + body)
        peer.close()
        await until(sink.begun.is_set)
        other = up.pool(origin=replace(up.origin, tls=trusting()))
        await answered(up, other)  # turns enough for the end of file to arrive, if it were read
        while not sink.ended.is_set():
            call.resume()
            await asyncio.sleep(0)
        assert (sink.heard.end, sink.body == body) == ("done", True)
