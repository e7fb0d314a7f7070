"""Replicas of a launched engine that come and go one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from engines.launch.child import Child
from engines.launch.launched import LaunchState
from tests.engines.launch.conftest import Workbench

pytestmark = pytest.mark.anyio


async def test_one_in_the_middle_goes_and_its_name_is_given_again_once_it_has_gone(bench: Workbench) -> None:
    launcher = bench.launcher()
    launcher.add(3)
    for _ in range(3):
        await bench.until(LaunchState.READY)
    assert [each.id for each in launcher.launched] == ["fake-0", "fake-1", "fake-2"]
    launcher.remove(["fake-1", "nobody"])
    assert [each.id for each in launcher.launched] == ["fake-0", "fake-2"]
    launcher.add(1)
    assert [each.id for each in launcher.launched] == ["fake-0", "fake-2", "fake-3"]
    stopped, _ = await bench.until(LaunchState.STOPPED)
    assert stopped.id == "fake-1"
    await bench.until(LaunchState.READY)
    launcher.add(1)
    await bench.until(LaunchState.READY)
    assert [each.id for each in launcher.launched] == ["fake-0", "fake-1", "fake-2", "fake-3"]
    assert len({replica.url for replica in launcher.replicas}) == 4


async def test_to_stop_waits_for_those_that_are_being_stopped_too(bench: Workbench) -> None:
    launcher = bench.launcher()
    launcher.add(2)
    for _ in range(2):
        await bench.until(LaunchState.READY)
    launcher.remove(["fake-0"])
    await launcher.stop()
    assert [each for each, state in bench.seen() if state is LaunchState.STOPPED].sort() == ["fake-0", "fake-1"].sort()
    assert launcher.launched == ()


async def test_failed_starts_are_counted_until_one_succeeds(bench: Workbench) -> None:
    launcher = bench.launcher("exits")
    launcher.add(1)
    (launched,) = launcher.launched
    for count in (1, 2, 3):
        await bench.until(LaunchState.BACKOFF)
        assert launched.failures >= count
    await bench.until(LaunchState.STARTING)
    assert launched.again_s > 0.0


def descriptors() -> set[str]:
    return {each.name for each in Path("/proc/self/fd").iterdir()}


class Turns:
    """Turns that the test gives away one by one, and what is done in them."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[asyncio.Future[None]] = asyncio.Queue()
        self.done: list[str] = []

    async def turn(self) -> None:
        mine = asyncio.get_running_loop().create_future()
        self.asked.put_nowait(mine)
        await mine

    async def give(self) -> None:
        """Give one, and see what comes of it at once."""
        async with asyncio.timeout(60):
            mine = await self.asked.get()
        if not mine.done():  # else who asked for it was cancelled
            mine.set_result(None)
        for _ in range(10):
            await asyncio.sleep(0)


async def test_replicas_that_are_to_start_together_choose_a_port_and_are_started_one_to_a_turn(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns, serves, popen = Turns(), bench.fake("serves"), Child.start

    def command(port: int) -> Sequence[str]:
        turns.done.append("chosen")
        return serves(port)

    async def start(*args: Any) -> Child:
        turns.done.append("started")
        return await popen(*args)

    monkeypatch.setattr(Child, "start", start)
    launcher = bench.launcher(command=command, turn=turns.turn)
    launcher.add(3)
    for given in range(6):
        assert len(turns.done) == given
        await turns.give()
    assert sorted(turns.done) == ["chosen"] * 3 + ["started"] * 3
    for _ in range(3):
        await bench.until(LaunchState.READY)


async def test_one_that_is_cancelled_or_stopped_before_its_turn_comes_is_not_started_and_leaves_no_descriptor(
    bench: Workbench,
) -> None:
    turns, begun = Turns(), descriptors()
    launcher = bench.launcher(turn=turns.turn)
    launcher.add(2)
    for _ in range(2):
        await turns.give()  # a port
    async with asyncio.timeout(60):
        while turns.asked.qsize() < 2:  # both have a log, and wait to be started
            await asyncio.sleep(0.001)
    bench.tasks[0].cancel()
    stopping = asyncio.ensure_future(launcher.stop())
    await asyncio.sleep(0)
    while not turns.asked.empty():
        await turns.give()
    await asyncio.wait_for(stopping, 60)
    assert set(bench.seen()) == {
        (f"fake-{number}", state) for number in range(2) for state in (LaunchState.STARTING, LaunchState.STOPPED)
    }
    assert descriptors() <= begun
