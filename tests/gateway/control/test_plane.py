"""The control plane as its workers see it: what probes and the end tell them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.control.configuration.source import Source
from gateway.control.plane import Plane
from gateway.fleet.members import Member, unpacked
from gateway.links.link import LocalLink
from gateway.process.supervisor import Supervisor
from gateway.workers.exchange.messages import Configure, Drain, GatewaysCounted, MembersChanged, SeriesCounted
from gateway.workers.worker import Worker
from tests.gateway.control.fakes import FILE, Control, FakeWorker

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("quiet")]

# -- health ----------------------------------------------------------------------------------------------------------


async def server(handler: Callable[[], bool]) -> tuple[asyncio.Server, str]:
    """A server whose every answer is 200 or 503, as `handler` says."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"/health" not in await reader.readuntil(b"\r\n\r\n"):
            writer.close()
            return
        status = b"200 OK" if handler() else b"503 Service Unavailable"
        writer.write(b"HTTP/1.1 %b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % status)
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    return listening, f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


async def settled() -> None:
    """Let timers of no length and what they call have their turn."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_workers_hear_when_a_replica_goes_down_and_comes_up_and_not_otherwise(tmp_path: Path) -> None:
    results = [True, True, False, False, False, True, True]
    told = iter(results)
    listening, url = await server(lambda: next(told))
    file = tmp_path / "penstock.yaml"
    file.write_text(
        f"engines: {{e: {{kind: vllm, replicas: [{{url: '{url}', id: a}}]}}}}\n"
        "models: {m: {targets: [{engine: e}]}}\n"
        "health: {interval_s: 3600, timeout_s: 10, unhealthy_after: 2, healthy_after: 1}\n"
    )
    supervisor = Supervisor()
    plane = Plane(Source(file, environ={}), supervisor, workers=1, coalesce_s=0.0)
    worker = FakeWorker(plane, "0", supervisor)
    await worker.join()
    await plane._use(plane.settings)
    heard: list[int] = []
    try:
        for _ in results:
            await plane.asking.probe_all()
            await settled()
            heard.append(len(worker.all_heard(MembersChanged)))
        assert heard == [0, 0, 0, 1, 1, 2, 2]
        assert worker.all_heard(MembersChanged) == [
            MembersChanged([Member("e", "a", healthy=False)]),
            MembersChanged([Member("e", "a")]),
        ]
        late = FakeWorker(plane, "1", supervisor)
        await late.join()
        assert late.all_heard(Configure)[0].members == []
    finally:
        listening.close()
        await supervisor.close()


async def test_who_has_no_free_probe_is_not_gone_through(tmp_path: Path) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text(
        "engines:\n"
        "  own: {kind: vllm, replicas: [{url: 'http://127.0.0.1:9'}]}\n"
        "  bought: {kind: openai, base_url: 'http://127.0.0.1:9', api_key: k}\n"
        "models: {m: {targets: [{engine: own}]}, n: {targets: [{engine: bought}]}}\n"
    )
    supervisor = Supervisor()
    plane = Plane(Source(file, environ={}), supervisor, workers=1)
    await plane._use(plane.settings)
    try:
        assert [name for name, _ in plane._engines.probed()] == ["own"]
        assert [name for name, _ in plane._engines.others()] == ["own", "bought"]
    finally:
        await supervisor.close()


async def test_a_new_probe_timeout_holds_from_the_reload_on(tmp_path: Path) -> None:
    listening, url = await server(lambda: True)
    text = (
        f"engines: {{e: {{kind: vllm, replicas: [{{url: '{url}'}}]}}}}\n"
        "models: {m: {targets: [{engine: e}]}}\n"
        "health: {interval_s: 3600, timeout_s: TIMEOUT}\n"
    )
    file = tmp_path / "penstock.yaml"
    file.write_text(text.replace("TIMEOUT", "10"))
    supervisor = Supervisor()
    plane = Plane(Source(file, environ={}), supervisor, workers=1)
    await plane._use(plane.settings)
    try:
        before = dict(plane._engines.probed())["e"]
        file.write_text(text.replace("TIMEOUT", "20"))
        assert await plane.reload()
        assert dict(plane._engines.probed())["e"] is not before
        assert await plane.reload()
    finally:
        listening.close()
        await supervisor.close()


# -- loops -----------------------------------------------------------------------------------------------------------


async def test_a_restarted_loop_counts_once_where_plane_and_worker_share_their_supervisor(tmp_path: Path) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text(FILE)
    supervisor = Supervisor()
    plane = Plane(Source(file, environ={}), supervisor, workers=1)
    worker = Worker(supervisor)
    await plane.attach("0", LocalLink(worker.peer, supervisor.spawn))

    async def dies() -> None:
        raise OSError("no route")

    supervisor.loop("bad", dies, 3600)
    try:
        await settled()
        lines = b"".join([part async for part in plane.exposition()]).decode().splitlines()
        assert [line for line in lines if line.startswith("penstock_loop_restarts_total")] == [
            'penstock_loop_restarts_total{loop="bad"} 1'
        ]
    finally:
        await supervisor.close()


# -- draining one replica --------------------------------------------------------------------------------------------


async def test_every_worker_hears_that_a_replica_drains_and_one_that_joins_later_too(gateway: Control) -> None:
    await gateway.plane._use(gateway.plane.settings)
    ((status,),) = gateway.plane.replicas()
    assert not gateway.plane.drain_replica("e", "nobody")
    assert gateway.plane.drain_replica("e", status.replica)
    drains = [Member("e", status.replica, draining=True)]
    for worker in gateway.workers:
        await worker.watch.until(lambda worker=worker: bool(worker.all_heard(MembersChanged)))  # type: ignore[misc]
        assert worker.all_heard(MembersChanged) == [MembersChanged(drains)]
    late = gateway.worker("2.2")
    await late.join()
    assert [*unpacked(late.all_heard(Configure)[0].members)] == drains
    ((status,),) = gateway.plane.replicas()
    assert status.draining


# -- other gateways --------------------------------------------------------------------------------------------------


async def test_every_worker_hears_how_many_gateways_choose_and_one_that_joins_later_too(gateway: Control) -> None:
    await gateway.plane._use(gateway.plane.settings)
    gateway.path.write_text(FILE.replace("workers: 2", "workers: 2, gateways: 3"))
    assert await gateway.plane.reload()
    late = gateway.worker("2.2")
    await late.join()
    for worker in (*gateway.workers, late):
        await worker.watch.until(lambda worker=worker: bool(worker.all_heard(GatewaysCounted)))  # type: ignore[misc]
        assert worker.all_heard(GatewaysCounted) == [GatewaysCounted({"e": 3})]


# -- the end ---------------------------------------------------------------------------------------------------------


async def test_stopping_drains_every_worker(gateway: Control) -> None:
    await gateway.plane.stop(7.0)
    assert [worker.heard[-1] for worker in gateway.workers] == [Drain(7.0), Drain(7.0)]


async def test_the_grace_period_is_that_of_the_configuration_in_use(gateway: Control) -> None:
    gateway.path.write_text(FILE.replace("workers: 2", "workers: 2, grace_s: 3"))
    assert await gateway.plane.reload()
    await gateway.plane.stop()
    assert [worker.heard[-1] for worker in gateway.workers] == [Drain(3.0), Drain(3.0)]


async def test_a_worker_that_dies_while_it_drains_holds_nothing_up(gateway: Control) -> None:
    first = gateway.workers[0]
    first.silent = True
    stopping = asyncio.ensure_future(gateway.plane.stop(60.0))
    await first.watch.until(lambda: len(first.unanswered) == 1)
    gateway.plane.detach("0.0")
    async with asyncio.timeout(60):
        await stopping


async def test_what_a_worker_says_after_it_was_given_up_is_ignored(gateway: Control) -> None:
    worker = gateway.workers[0]
    worker.served(3)
    gateway.plane.detach("0.0")
    gateway.plane.peer("0.0").told(SeriesCounted(worker.metrics.snapshot().series))
    gateway.plane.detach("0.0")
    assert await gateway.count("penstock_requests_total") == 0


async def test_adapters_are_not_loaded_onto_replicas_that_sleep_nor_counted_there(tmp_path: Path) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text(
        "engines: {e: {kind: vllm, replicas: [{url: 'http://127.0.0.1:9', id: a}, {url: 'http://127.0.0.1:8', id: b}],"
        " adapters: {paths: {sql: /sql}}}}\n"
        "models: {m: {targets: [{engine: e}]}}\n"
    )
    supervisor = Supervisor()
    plane = Plane(Source(file, environ={}), supervisor, workers=1, coalesce_s=0.0)
    try:
        await plane._use(plane.settings)
        ((_, engine),) = plane._engines.telling()
        adapters = plane.asking.adapters
        for replica in "ab":
            adapters._held["e", replica] = frozenset(["sql"])
        assert adapters._holders(engine, "sql") == {("e", "a"), ("e", "b")}
        plane.roster.rest("e", "a", "asleep")
        plane.roster.drain("e", "b")
        assert (adapters._holders(engine, "sql"), adapters._rooms(engine)) == (frozenset(), [])
        plane.roster.rest("e", "a")
        assert [room.replica for room in adapters._rooms(engine)] == ["a"]
    finally:
        await supervisor.close()
