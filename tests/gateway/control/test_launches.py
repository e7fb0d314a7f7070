"""Launched engines, tried with simulators: started, restarted when they die or change, stopped whole."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from gateway.control.launches import Launches
from gateway.process.supervisor import Supervisor
from gateway.settings import Settings, load_settings
from tests.gateway.children import Watch, gone, pids

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


def configured(
    data_dir: Path, *, ttft_ms: int = 5, engines: tuple[str, ...] = ("a", "b"), model: str = "m"
) -> Settings:
    """Simulated engines of one replica each; `ttft_ms` is that of the first."""
    text = f"data_dir: '{data_dir}'\nengines:\n"
    for number, name in enumerate(engines):
        text += f"  {name}: {{kind: simulator, replicas: 1, ttft_ms: {5 if number else ttft_ms}}}\n"
    targets = ", ".join(f"{{engine: {name}, tier: 0}}" for name in engines)
    return load_settings(text + f"models: {{{model}: {{targets: [{targets}]}}}}\n", {}).settings


class Watched:
    """Launches whose every change is seen."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.watch = Watch()
        self.launches = Launches(supervisor.spawn, self.watch.changed)

    def pid(self, engine: str) -> int:
        """The process behind the one ready replica of an engine."""
        (replica,) = self.launches.ready()[engine]
        (pid,) = pids(f"--port {replica.url.rpartition(':')[2]} ")
        return pid

    async def until_ready(self, *engines: str) -> None:
        await self.watch.until(
            lambda: {name for name, replicas in self.launches.ready().items() if replicas} == set(engines)
        )


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    with structlog.testing.capture_logs():
        supervisor = Supervisor()
        watched = Watched(supervisor)
        yield watched
        await watched.launches.stop()
        await supervisor.close()


async def test_two_simulators_become_ready_and_stop_without_a_trace(watched: Watched, tmp_path: Path) -> None:
    await watched.launches.apply(configured(tmp_path))
    await watched.watch.until(lambda: watched.launches.states() == {("a", "starting"): 1, ("b", "starting"): 1})
    await watched.launches.started()
    await watched.until_ready("a", "b")
    assert watched.launches.states() == {}
    started = [watched.pid("a"), watched.pid("b")]
    await watched.launches.stop()
    assert watched.launches.ready() == {}
    assert set(started) & set(pids("engines.simulator")) == set()


async def test_nothing_is_started_any_more_from_the_moment_in_which_all_are_to_stop(
    watched: Watched, tmp_path: Path
) -> None:
    await watched.launches.apply(configured(tmp_path))
    await watched.until_ready("a", "b")
    assert watched.launches.launcher("a") is not None
    stopping = asyncio.ensure_future(watched.launches.stop())
    await asyncio.sleep(0)
    assert watched.launches.launcher("a") is None  # whoever scales it
    await watched.launches.apply(configured(tmp_path, engines=("a", "b", "c")))  # a reload
    await stopping
    await watched.launches.apply(configured(tmp_path))
    assert watched.launches.ready() == {}
    assert watched.launches.states() == {}


async def test_a_killed_simulator_is_replaced_and_the_other_left_alone(watched: Watched, tmp_path: Path) -> None:
    await watched.launches.apply(configured(tmp_path))
    await watched.until_ready("a", "b")
    killed, other = watched.pid("a"), watched.pid("b")
    os.kill(killed, signal.SIGKILL)
    await gone(killed)
    await watched.until_ready("b")
    assert watched.launches.states() == {("a", "backoff"): 1}
    await watched.until_ready("a", "b")
    assert watched.pid("a") != killed
    assert watched.pid("b") == other


async def test_a_change_restarts_that_engine_alone_and_a_removed_one_stops(watched: Watched, tmp_path: Path) -> None:
    await watched.launches.apply(configured(tmp_path))
    await watched.until_ready("a", "b")
    before: dict[str, Any] = {name: watched.pid(name) for name in ("a", "b")}

    await watched.launches.apply(configured(tmp_path))
    assert {name: watched.pid(name) for name in ("a", "b")} == before

    await watched.launches.apply(configured(tmp_path, ttft_ms=6))
    assert (watched.launches.ready()["a"], watched.pid("b")) == ((), before["b"])
    await gone(before["a"])
    await watched.until_ready("a", "b")

    await watched.launches.apply(configured(tmp_path, engines=("b",)))
    assert set(watched.launches.ready()) == {"b"}
    assert watched.pid("b") == before["b"]
    assert len(pids("engines.simulator")) == 1
    assert set(watched.launches._states) == {"b"}


async def test_a_simulator_that_cannot_start_says_so_and_is_tried_again(watched: Watched, tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("in the way")
    await watched.launches.apply(configured(tmp_path, engines=("a",)))
    await watched.watch.until(lambda: watched.launches.states() == {("a", "backoff"): 1})
    (tmp_path / "logs").unlink()
    await watched.until_ready("a")
