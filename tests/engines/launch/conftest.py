"""A workbench for launched replicas: fake servers, every state change on a queue, and a spawn that is cleaned up."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any

import pytest

from engines.launch.launched import LaunchState, Pace, Recipe
from engines.launch.launcher import Launcher
from engines.port import Replica

FAKE_SERVER = Path(__file__).with_name("fake_server.py")
QUICK = Pace(first_poll_s=0.005, max_poll_s=0.02, first_backoff_s=0.002, max_backoff_s=0.01, grace_s=20.0)


async def ask(url: str, path: str = "/health") -> bytes:
    """One HTTP/1.0 request; the answer's body. Raises OSError when there is nobody."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        return (await reader.read()).partition(b"\r\n\r\n")[2]
    finally:
        writer.close()


async def healthy(url: str) -> bool:
    await ask(url)
    return True


async def at_once() -> None:
    """A turn that nobody waits for."""


def alive(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


async def gone(pid: int) -> None:
    """Wait until a process that has been killed is dead. Raises TimeoutError when it lives on."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop, dead = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, dead.set)
    try:
        async with asyncio.timeout(20):
            await dead.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


class Workbench:
    """Makes launchers whose state changes land on `changes`; ends everything they started."""

    def __init__(self, log_dir: Path) -> None:
        self.log_dir = log_dir
        self.changes: asyncio.Queue[tuple[Replica, LaunchState, str]] = asyncio.Queue()
        self.tasks: list[asyncio.Task[None]] = []
        self.launchers: list[Launcher] = []

    def spawn(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.tasks.append(asyncio.get_running_loop().create_task(work(), name=name))

    def fake(self, behaviour: str) -> Callable[[int], Sequence[str]]:
        return lambda port: (sys.executable, "-I", str(FAKE_SERVER), str(port), behaviour)

    def recipe(
        self,
        behaviour: str,
        *,
        pace: Pace = QUICK,
        command: Callable[[int], Sequence[str]] | None = None,
        explain: Callable[[str], str] = lambda tail: "",
        env: Mapping[str, str] = MappingProxyType({}),
        turn: Callable[[], Awaitable[None]] = at_once,
    ) -> Recipe:
        return Recipe(
            command=command or self.fake(behaviour),
            env={"PATH": os.environ["PATH"], **env},
            log_dir=self.log_dir,
            probe=healthy,
            on_change=lambda replica, state, reason: self.changes.put_nowait((replica, state, reason)),
            rng=Random(1),
            pace=pace,
            explain=explain,
            turn=turn,
        )

    def launcher(self, behaviour: str = "serves", **changes: Any) -> Launcher:
        """A launcher of fake servers; `changes` are those of `recipe`."""
        launcher = Launcher("fake", self.recipe(behaviour, **changes), self.spawn)
        self.launchers.append(launcher)
        return launcher

    async def until(self, state: LaunchState) -> tuple[Replica, str]:
        """The next change to `state`, passing over others."""
        while True:
            replica, seen, reason = await self.changes.get()
            if seen is state:
                return replica, reason

    def seen(self) -> list[tuple[str, LaunchState]]:
        """All changes not looked at yet."""
        changes = [self.changes.get_nowait() for _ in range(self.changes.qsize())]
        return [(replica.id, state) for replica, state, _ in changes]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Workbench]:
    workbench = Workbench(tmp_path / "logs")
    yield workbench
    for launcher in workbench.launchers:
        await launcher.stop()
    await asyncio.gather(*workbench.tasks, return_exceptions=True)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}
