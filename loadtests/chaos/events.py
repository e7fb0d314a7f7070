"""What goes wrong around the gateway, one thing at a time, so that what breaks can be told from what broke it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable

from loadtests.chaos.clients import Clients
from loadtests.chaos.stage import Stage
from loadtests.chaos.streams import Stream

BLOCKED_S = 3.0
STRANGERS = 100
REPLACED_S = 20.0

Event = Callable[[], Awaitable[None]]


class Events:
    """The things that happen, in turn."""

    def __init__(self, stage: Stage, clients: Clients) -> None:
        self.stage, self.clients = stage, clients
        self.kills_s: list[float] = []
        """When workers were killed, on the monotonic clock."""
        self.stdout_wait_s = self.stderr_wait_s = 0.0
        """The longest wait for /health while that stream was not read."""
        self.seat_wait_s = 0.0
        """The same while a killed worker was being replaced."""

    def all(self) -> list[tuple[str, Event]]:
        """Name and deed, in the order of a round."""
        return [
            ("an engine is killed", self._engine_killed),
            ("nobody reads standard output", self._stdout_blocked),
            ("an engine stands still", self._engine_stopped),
            ("the configuration changes", self._reloaded),
            ("nobody reads standard error", self._stderr_blocked),
            ("a worker is killed", self._worker_lost),
            ("the configuration is wrong", self._reloaded_wrongly),
            ("a worker stands still", self._worker_stopped),
        ]

    async def _engine_killed(self) -> None:
        await asyncio.to_thread(self.stage.kill_engine, "a")
        await asyncio.sleep(1)
        self.stage.start_engine("a")

    async def _engine_stopped(self) -> None:
        await self._still(self.stage.engines["b"].pid, 1.5)

    async def worker_killed(self) -> None:
        """The oldest, unless it is the only one."""
        pids = self.stage.worker_pids()
        if len(pids) < 2:
            return
        self.kills_s.append(time.monotonic())
        with contextlib.suppress(ProcessLookupError):
            os.kill(pids[0], signal.SIGKILL)

    async def _worker_lost(self) -> None:
        """Killed, and replaced before anything else happens: clients in its seat wait for that."""
        await self.worker_killed()
        replaced = asyncio.ensure_future(asyncio.to_thread(self.stage.until_all_workers, REPLACED_S))
        while not replaced.done():
            self.seat_wait_s = max(self.seat_wait_s, await asyncio.to_thread(self.stage.health_s))
            await asyncio.sleep(0.1)
        for _ in range(10):  # it is there, and may not listen yet
            self.seat_wait_s = max(self.seat_wait_s, await asyncio.to_thread(self.stage.health_s))
            await asyncio.sleep(0.1)

    async def _worker_stopped(self) -> None:
        await self._still((self.stage.worker_pids() or [self.stage.pid])[-1], 1.0)

    async def _still(self, pid: int, for_s: float) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(for_s)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    async def _reloaded(self) -> None:
        self.stage.configure()
        self.stage.reload()

    async def _reloaded_wrongly(self) -> None:
        self.stage.configure(wrong=True)
        self.stage.reload()
        await asyncio.sleep(1)
        self.stage.configure()
        self.stage.reload()

    async def _stdout_blocked(self) -> None:
        self.stdout_wait_s = max(self.stdout_wait_s, await self._blocked(self.stage.stdout))

    async def _stderr_blocked(self) -> None:
        self.stderr_wait_s = max(self.stderr_wait_s, await self._blocked(self.stage.stderr))

    async def _blocked(self, stream: Stream) -> float:
        longest_s = 0.0
        stream.block()
        try:
            end_s = time.monotonic() + BLOCKED_S
            strangers = asyncio.ensure_future(self.clients.strangers(STRANGERS))
            while time.monotonic() < end_s:
                longest_s = max(longest_s, await asyncio.to_thread(self.stage.health_s))
                await asyncio.sleep(0.1)
        finally:
            stream.unblock()
        await strangers
        return longest_s
