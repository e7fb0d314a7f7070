"""The writer process, as the gateway's first process keeps it."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.links.link import PipeLink
from gateway.process.supervisor import Supervisor
from gateway.store.__main__ import NICE, give_way
from gateway.store.messages import FromWriter, NoteVersions, SeenVersion, Start, State, ToWriter
from gateway.store.writing.process import VERSIONS_AT_ONCE, StoreProcess
from tests.gateway.children import pids

pytestmark = pytest.mark.anyio


@pytest.fixture
async def supervisor() -> AsyncIterator[Supervisor]:
    made = Supervisor()
    yield made
    await made.close()


async def test_a_writer_that_dies_before_it_listens_ends_the_questions_to_it(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    store = StoreProcess(
        Start("", str(tmp_path), 0, "info", "json"), supervisor, command=("sh", "-c", "read line; exit 3")
    )
    try:
        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(store._ask(600.0))
            while store._link is None:
                await asyncio.sleep(0)
            assert await store._run() == 3
        assert asked.result() is None
    finally:
        await store.stop()


class Hearing:
    """The writer's end of the link: what it was told of versions, a list for each message."""

    def __init__(self) -> None:
        self.parts: list[list[SeenVersion]] = []
        self.left = False

    def told(self, message: ToWriter) -> None:
        if isinstance(message, NoteVersions):
            self.parts.append(message.versions)

    async def asked(self, message: ToWriter) -> FromWriter:
        return State()

    def link_lost(self) -> None:
        self.left = True


@asynccontextmanager
async def heard(store: StoreProcess, supervisor: Supervisor) -> AsyncIterator[list[Hearing]]:
    """A writer in this process: its end of each link that is made, the latest last."""
    ends: list[Hearing] = []

    def joined() -> PipeLink[FromWriter]:
        ends.append(Hearing())
        return PipeLink(ToWriter, ends[-1], supervisor.spawn)

    server = await asyncio.get_running_loop().create_unix_server(joined, sock=store._socket.dup())
    try:
        yield ends
        if store._link is not None:
            store._link.close()
        while not ends[-1].left:
            await asyncio.sleep(0)
    finally:
        server.close()
        await server.wait_closed()
        await store.stop()


def seen(replica: int, version: str) -> SeenVersion:
    return SeenVersion("e", f"{replica}", version, 0)


async def test_a_writer_that_joins_is_told_of_many_versions_a_part_in_a_turn_and_of_what_is_new_after_them(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    count = 4 * VERSIONS_AT_ONCE + 1
    store = StoreProcess(Start("", str(tmp_path), 0, "info", "json"), supervisor)
    store.versions = lambda: [seen(replica, "1") for replica in range(count)]
    async with heard(store, supervisor) as ends:
        assert await store._ask(10.0) == State()
        assert store._telling, "there are parts that are not told yet"
        store.note_versions([seen(3, "2"), seen(count - 1, "2")])
        while sum(map(len, ends[0].parts)) < count + 2:
            await asyncio.sleep(0)
        told = [one for part in ends[0].parts for one in part]
        assert max(map(len, ends[0].parts)) == VERSIONS_AT_ONCE
        assert {one.replica: one.version for one in told} == {
            f"{replica}": "2" if replica in (3, count - 1) else "1" for replica in range(count)
        }
        store.note_versions([seen(5, "3")])
        while ends[0].parts[-1] != [seen(5, "3")]:
            await asyncio.sleep(0)


async def test_a_writer_that_leaves_before_it_was_told_of_all_versions_leaves_nothing_to_the_next(
    tmp_path: Path, supervisor: Supervisor
) -> None:
    store = StoreProcess(Start("", str(tmp_path), 0, "info", "json"), supervisor)
    store.versions = lambda: [seen(replica, "1") for replica in range(2 * VERSIONS_AT_ONCE)]
    async with heard(store, supervisor) as ends:
        asking = asyncio.ensure_future(store._ask(10.0))
        while store._link is None:
            await asyncio.sleep(0)
        store._link.close()
        assert await asking is None
        while store._link is not None or not ends[0].left:
            await asyncio.sleep(0)
        store.versions = lambda: [seen(0, "2")]
        assert await store._ask(10.0) == State()
        while store._telling or not ends[1].parts:
            await asyncio.sleep(0)
        assert ends[1].parts == [[seen(0, "2")]]


async def test_records_are_for_nobody_else_to_read(tmp_path: Path, supervisor: Supervisor) -> None:
    data_dir = tmp_path / "data"
    store = StoreProcess(Start("", str(data_dir), 0, "info", "json"), supervisor)
    try:
        await store.start()
        assert stat.S_IMODE(data_dir.stat().st_mode) == 0o750
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in data_dir.glob("records.db*")}
        assert "records.db" in modes
        assert not any(mode & 0o007 for mode in modes.values()), modes
    finally:
        await store.stop()


async def test_a_writer_takes_no_core_from_the_workers_as_it_wakes(tmp_path: Path, supervisor: Supervisor) -> None:
    store = StoreProcess(Start("", str(tmp_path / "data"), 0, "info", "json"), supervisor)
    try:
        await store.start()
        (writer,) = pids("gateway.store")
        assert os.SCHED_BATCH == os.sched_getscheduler(writer)
        assert min(19, os.nice(0) + NICE) == os.getpriority(os.PRIO_PROCESS, writer)
    finally:
        await store.stop()


def test_where_no_process_may_choose_how_it_is_scheduled_records_are_written_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: list[int] = []

    def refuse(*_: object) -> None:
        given.append(-1)
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "nice", given.append)
    monkeypatch.setattr(os, "sched_setscheduler", refuse)
    give_way()
    assert [NICE, -1] == given
