"""Worker processes start, end and are replaced: none is missed when it dies, and none is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog
import trustme

from gateway.control.configuration.source import Source
from gateway.control.plane import Plane
from gateway.http.listen import CannotListen, bind
from gateway.process.supervisor import Supervisor
from gateway.settings import load_settings
from gateway.workers.processes import Backoff, WorkerFailed, WorkerProcesses
from tests.gateway.children import gone, pids
from tests.gateway.workers.crew import COMMAND, Crew, configuration

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.usefixtures("quiet")]


@pytest.fixture
def quiet() -> Any:
    with structlog.testing.capture_logs() as lines:
        yield lines


@pytest.fixture
async def crew(tmp_path: Path) -> AsyncIterator[Crew]:
    crew = Crew(tmp_path, exit_s=0.05)
    await crew.start()
    yield crew
    await crew.close()


async def test_nobody_waits_for_a_dead_worker_whether_another_was_there_or_comes(
    tmp_path: Path, quiet: list[Any]
) -> None:
    waits_s = iter([3600.0, 0.01])

    class FirstLongThenShort(Backoff):
        def next_s(self, listened_s: float) -> float:
            return next(waits_s)

    crew = Crew(tmp_path, backoff=FirstLongThenShort)
    await crew.start()
    try:
        first, second = crew.pids
        os.kill(first, signal.SIGKILL)
        await only_one_answers(crew)
        await crew.plane.watch.until(
            lambda: any(line["event"] == "worker_died" for line in quiet)
        )  # the back-off began
        os.kill(second, signal.SIGKILL)
        await crew.plane.watch.until(lambda: len(crew.plane.workers) == 0)
        await crew.plane.watch.until(lambda: len(crew.plane.workers) == 1)
        await only_one_answers(crew)
    finally:
        await crew.close()


async def only_one_answers(crew: Crew) -> None:
    """64 connections: that none finds the dead one's socket has a chance of 2^-64."""
    async with asyncio.timeout(30):
        answers = await asyncio.gather(*(crew.chat() for _ in range(64)))
    assert {status for status, _ in answers} == {200}
    assert len({worker for _, worker in answers}) == 1


async def test_every_worker_speaks_tls_and_a_replacement_that_cannot_is_told_of_and_tried_again(
    tmp_path: Path, quiet: list[Any]
) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    crew = Crew(tmp_path, f"tls: {{cert: '{tmp_path}/cert.pem', key: '{tmp_path}/key.pem'}}", trust)
    await crew.start()
    try:
        assert {status for status, _ in await crew.chats_until(2)} == {200}
        (tmp_path / "key.pem").write_text("no key")
        names = set(crew.plane.workers)
        os.kill(crew.pids[0], signal.SIGKILL)
        await crew.plane.watch.until(lambda: any(line["event"] == "worker_refused" for line in quiet))
        (refusal, *_) = [line for line in quiet if line["event"] == "worker_refused"]
        assert refusal["why"].startswith("cannot listen: server.tls: the certificate or key cannot be used")
        certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
        await crew.plane.watch.until(lambda: len(crew.plane.workers) == 2 and not names >= crew.plane.workers)
        assert {status for status, _ in await crew.chats_until(2)} == {200}
    finally:
        await crew.close()


async def test_a_drain_lets_what_runs_finish_and_leaves_no_process(crew: Crew) -> None:
    started = crew.pids
    crew.upstream.hold = True
    running = asyncio.ensure_future(crew.chat())
    await crew.upstream.held.wait()
    stopping = asyncio.ensure_future(crew.plane.stop(20.0))
    await asyncio.sleep(0)
    assert not running.done()
    crew.upstream.release.set()
    assert (await running)[0] == 200
    await stopping
    await crew.all_gone(started)


async def test_a_worker_that_hangs_does_not_hang_the_end(crew: Crew) -> None:
    started = crew.pids
    os.kill(started[0], signal.SIGSTOP)
    async with asyncio.timeout(20):
        await crew.supervisor.close()
    await crew.all_gone(started)


PARENT = """
import asyncio, sys
from pathlib import Path
import uvloop
from tests.gateway.workers.crew import Crew

async def main():
    crew = Crew(Path(sys.argv[1]))
    await crew.start()
    print(crew.port, *crew.pids, flush=True)
    await asyncio.Event().wait()

with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(main())
"""


async def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert parent.stdout is not None
        _, *workers = map(int, (await parent.stdout.readline()).split())
        assert len(workers) == 2
    finally:
        parent.kill()
    for pid in workers:
        await gone(pid)
    assert await parent.wait() == -signal.SIGKILL
    assert (await parent.stdout.read()) == b""


def test_a_port_is_not_shared_with_another_gateway_of_several_workers(tmp_path: Path) -> None:
    text = configuration("http://127.0.0.1:9", tmp_path)
    sockets = bind(load_settings(text, {}).settings.server, 2)
    try:
        for sock in sockets:
            sock.listen()
        taken = load_settings(text, {}, server={"port": sockets[0].getsockname()[1]}).settings
        with pytest.raises(CannotListen, match="address already in use"):
            bind(taken.server, 2)
    finally:
        for sock in sockets:
            sock.close()


def one_plane(tmp_path: Path, text: str, **environ: str) -> tuple[Plane, Supervisor]:
    (tmp_path / "penstock.yaml").write_text(text)
    supervisor = Supervisor()
    return Plane(Source(tmp_path / "penstock.yaml", environ=environ), supervisor, workers=2), supervisor


async def refused(plane: Plane, supervisor: Supervisor, **options: Any) -> str:
    """Why the workers could not start."""
    sockets = bind(plane.settings.server, 2)
    try:
        with pytest.raises(WorkerFailed) as failed:
            async with asyncio.timeout(30):
                await WorkerProcesses(plane, sockets, supervisor, 2, **options).start()
    finally:
        await supervisor.close()
        for sock in sockets:
            sock.close()
    assert pids(COMMAND) == []
    return str(failed.value)


def test_a_seat_waits_longer_while_its_workers_die_as_they_start_and_not_at_all_for_one_that_served() -> None:
    backoff = Backoff()
    assert [backoff.next_s(0.0) for _ in range(8)] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert {backoff.next_s(9.9) for _ in range(2000)} == {30.0}
    assert [backoff.next_s(10.0), backoff.next_s(10.0), backoff.next_s(3.0)] == [0.0, 0.0, 0.5]


async def test_a_replacement_needs_no_file_that_was_read_before(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("secret-value")
    crew = Crew(tmp_path, engine=f"api_key: '${{file:{secret}}}'")
    await crew.start()
    try:
        secret.unlink()
        names = set(crew.plane.workers)
        os.kill(crew.pids[0], signal.SIGKILL)
        await crew.replaced(names)
        assert {status for status, _ in await crew.chats_until(2)} == {200}
    finally:
        await crew.close()


async def test_a_worker_that_cannot_be_started_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: object, **__: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(asyncio, "create_subprocess_exec", full)
    plane, supervisor = one_plane(tmp_path, configuration("http://127.0.0.1:9", tmp_path))
    assert await refused(plane, supervisor) == "a worker could not be started: cannot allocate memory"


async def test_a_worker_that_is_being_started_when_the_gateway_ends_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, begun, ready = asyncio.create_subprocess_exec, asyncio.Event(), asyncio.Event()
    processes_begun: list[asyncio.subprocess.Process] = []

    async def slow(*arguments: Any, **options: Any) -> asyncio.subprocess.Process:
        processes_begun.append(await begin(*arguments, **options))
        begun.set()
        await ready.wait()
        return processes_begun[-1]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", slow)
    plane, supervisor = one_plane(tmp_path, configuration("http://127.0.0.1:9", tmp_path))
    sockets = bind(plane.settings.server, 2)
    starts = asyncio.ensure_future(WorkerProcesses(plane, sockets, supervisor, 1).start())
    try:
        await asyncio.wait_for(begun.wait(), 30)
        end = asyncio.ensure_future(supervisor.close())
        await asyncio.sleep(0)  # the cancellation is on its way
        await asyncio.sleep(0)
        ready.set()
        await asyncio.wait_for(end, 30)
        assert processes_begun[0].returncode is not None
    finally:
        starts.cancel()
        for sock in sockets:
            sock.close()


async def test_a_worker_that_dies_at_once_stops_the_start(tmp_path: Path) -> None:
    plane, supervisor = one_plane(tmp_path, configuration("http://127.0.0.1:9", tmp_path))
    assert await refused(plane, supervisor, command=["/bin/false"]) == "a worker ended while it started"


async def test_a_worker_that_hangs_without_its_link_is_killed_and_replaced(tmp_path: Path) -> None:
    crew = Crew(tmp_path, orphan_s=0.05)
    await crew.start()
    try:
        stopped, names = crew.pids[0], set(crew.plane.workers)
        os.kill(stopped, signal.SIGSTOP)
        for name in names:
            crew.plane.links.remove(name)  # as a link does that nobody reads any more
        await gone(stopped)
        await crew.plane.watch.until(lambda: len(crew.plane.workers) == 2 and crew.plane.workers.isdisjoint(names))
        assert {status for status, _ in await crew.chats_until(2)} == {200}
    finally:
        await crew.close()


async def test_a_worker_that_cannot_listen_says_so_and_stops_the_start(tmp_path: Path) -> None:
    certificate = trustme.CA().issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    server = f"tls: {{cert: '{tmp_path}/cert.pem', key: '{tmp_path}/key.pem'}}"
    plane, supervisor = one_plane(tmp_path, configuration("http://127.0.0.1:9", tmp_path, server=server))
    (tmp_path / "key.pem").write_text("no key")
    assert (
        "cannot listen: server.tls: the certificate or key cannot be used: cert should be a PEM file with the "
        "certificate, key one with its private key"
    ) in await refused(plane, supervisor)
