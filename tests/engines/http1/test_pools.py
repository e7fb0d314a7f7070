"""Connections outlive the engines that use them, and go with the last of these."""

from __future__ import annotations

import os
import pathlib
import ssl
from pathlib import Path

import pytest
import trustme

from engines.http_engine import HttpEngine, HttpSettings
from engines.model import Operation
from engines.pools import SYSTEM, Contexts, Pools, Trust
from engines.port import Outgoing, Replica
from tests.engines.http1.bench import PATIENT
from tests.engines.http1.recorder import Recorder
from tests.engines.http1.upstream import ANSWER, Peer, Upstream, ended, until, upstream

pytestmark = pytest.mark.anyio

PLAIN = HttpSettings("vllm", frozenset(Operation))
KEYED = HttpSettings("vllm", frozenset(Operation), api_keys=("sk-1",))


def at(up: Upstream, id: str = "a", base: str = "") -> Replica:
    return Replica(id, f"http://{up.origin.authority}{base}")


async def answered(engine: HttpEngine, up: Upstream, id: str = "a") -> Peer:
    """One whole call; returns the connection it went over."""
    before = up.accepted
    sink = Recorder()
    engine.send(id, Outgoing(Operation.CHAT.value, b"", b""), PATIENT, sink)
    await until(lambda: bool(up.accepted > before or (up.latest and up.latest.received)))
    peer = up.latest or await up.peer()
    await peer.request(1)
    peer.send(ANSWER)
    await ended(sink)
    peer.received = b""
    return peer


async def test_an_engine_made_anew_goes_on_over_the_warm_connections_of_the_old_one() -> None:
    async with upstream() as up:
        pools = Pools(up.spawn)
        old = HttpEngine("e", PLAIN, pools, [at(up)])
        await answered(old, up)
        new = HttpEngine("e", KEYED, pools, [at(up)])
        old.let_go()
        await answered(new, up)
        assert up.accepted == 1
        new.let_go()
        new.let_go()
        await until(lambda: new.open_connections == 0)
        assert len(pools) == 0


async def test_engines_at_two_paths_of_one_server_share_its_connections() -> None:
    async with upstream() as up:
        pools = Pools(up.spawn)
        engines = [HttpEngine(base, PLAIN, pools, [at(up, base=base)]) for base in ("/one", "/two")]
        for engine in engines:
            await answered(engine, up)
        assert (up.accepted, len(pools)) == (1, 1)
        for engine in engines:
            engine.let_go()
        await until(lambda: engines[0].open_connections == 0)


async def test_a_replica_that_comes_or_goes_leaves_the_connections_of_the_others_warm() -> None:
    async with upstream() as up, upstream() as other:
        engine = HttpEngine("e", PLAIN, Pools(up.spawn), [at(up)])
        await answered(engine, up)
        engine.add(at(other, "b"))
        await answered(engine, other, "b")
        engine.remove("b")
        engine.remove("b")
        assert [replica.id for replica in engine.replicas] == ["a"]
        await answered(engine, up)
        assert (up.accepted, engine.open_connections) == (1, 1)
        engine.let_go()
        await until(lambda: engine.open_connections == 0)


async def test_a_call_in_flight_ends_on_its_own_when_its_replica_leaves() -> None:
    async with upstream() as up:
        pools = Pools(up.spawn)
        engine = HttpEngine("e", PLAIN, pools, [at(up)])
        sink = Recorder()
        engine.send("a", Outgoing(Operation.CHAT.value, b"", b""), PATIENT, sink)
        peer = await up.peer()
        await peer.request(1)
        engine.remove("a")
        peer.send(ANSWER)
        assert (await ended(sink)).body == b"ok"
        await peer.left()
        assert len(pools) == 0


async def test_a_call_to_a_replica_that_has_left_fails_as_one_that_was_never_sent() -> None:
    async with upstream() as up:
        engine = HttpEngine("e", PLAIN, Pools(up.spawn), [at(up)])
        engine.remove("a")
        sink = Recorder()
        call = engine.send("a", Outgoing(Operation.CHAT.value, b"", b""), PATIENT, sink)
        call.abort()
        assert str((await ended(sink)).error) == "the replica has left"
        assert up.accepted == 0


async def test_a_replica_at_a_new_place_is_called_there() -> None:
    async with upstream() as up, upstream() as other:
        pools = Pools(up.spawn)
        engine = HttpEngine("e", PLAIN, pools, [at(up)])
        await answered(engine, up)
        engine.add(at(other))
        await answered(engine, other)
        assert (up.accepted, other.accepted, len(pools)) == (1, 1, 1)
        engine.let_go()
        await until(lambda: engine.open_connections == 0)


async def test_an_engine_that_cannot_be_built_whole_takes_no_pool() -> None:
    async with upstream() as up:
        pools = Pools(up.spawn)
        with pytest.raises(ValueError, match="URL"):
            HttpEngine("e", PLAIN, pools, [at(up), Replica("b", "ftp://h")])
        assert len(pools) == 0


def test_one_context_is_made_for_each_trust_and_another_only_when_its_file_has_changed(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(authority))
    contexts, private = Contexts(), Trust(ca_file=str(authority))
    system, first = contexts.get(SYSTEM), contexts.get(private)
    lax = contexts.get(Trust(verify=False))
    assert (system.verify_mode, first.verify_mode, lax.verify_mode) == (
        ssl.CERT_REQUIRED,
        ssl.CERT_REQUIRED,
        ssl.CERT_NONE,
    )
    contexts.prepare([SYSTEM, private])
    assert contexts.get(SYSTEM) is system
    assert contexts.get(private) is first
    authority.write_text(authority.read_text() + "\n")
    contexts.prepare([SYSTEM, private])
    assert contexts.get(SYSTEM) is system
    assert contexts.get(private) is not first


def test_a_file_of_authorities_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(ValueError, match=r"/nowhere/ca\.pem cannot be used: (?i:no such file)"):
        Contexts().prepare([Trust(ca_file="/nowhere/ca.pem")])


def test_files_that_are_no_certificates_are_named(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("junk")
    with pytest.raises(ValueError, match=r"ca\.pem cannot be used: no certificate or crl found$"):
        Contexts().prepare([Trust(ca_file=str(tmp_path / "ca.pem"))])
    with pytest.raises(ValueError, match=r"ca\.pem cannot be used: no PEM file with what it should hold$"):
        Contexts().prepare([Trust(client_cert=str(tmp_path / "ca.pem"))])


def test_authorities_that_become_a_pipe_hold_no_thread(tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "ca.pem")
    with pytest.raises(ValueError, match=r"ca\.pem cannot be used: it is not a regular file"):
        Contexts().prepare([Trust(ca_file=str(tmp_path / "ca.pem"))])
