"""Our child processes, as the kernel lists them."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

LOOKS_EVERY_S = 0.05


def children(of: int | None = None) -> dict[int, str]:
    """Process ids and command lines of the living children of a process, ours if None."""
    parent = os.getpid() if of is None else of
    found = {}
    for tasks in Path(f"/proc/{parent}/task").glob("*/children"):
        for pid in map(int, tasks.read_text().split()):
            try:
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            if command:  # a zombie has none
                found[pid] = command.replace(b"\0", b" ").decode().strip()
    return found


def pids(of_command: str, of: int | None = None) -> list[int]:
    """Those children whose command line holds these words."""
    return sorted(pid for pid, command in children(of).items() if of_command in command)


async def gone(pid: int) -> None:
    """Wait until a process has ended, whoever is its parent. Raises TimeoutError when it lives on."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop, dead = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, dead.set)
    try:
        async with asyncio.timeout(60):
            await dead.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


class Watch:
    """Waits for conditions over things that call `changed` when they move, or, like a log, tell nobody."""

    def __init__(self) -> None:
        self._moved = asyncio.Event()

    def changed(self) -> None:
        self._moved.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once `condition` holds. Raises TimeoutError when it never does."""
        async with asyncio.timeout(60):
            while not condition():
                self._moved.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._moved.wait(), LOOKS_EVERY_S)
