"""The writer process, as the gateway's first process keeps it."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.process.supervisor import Supervisor
from gateway.store.__main__ import NICE, give_way
from gateway.store.messages import Start
from gateway.store.writing.process import StoreProcess
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
