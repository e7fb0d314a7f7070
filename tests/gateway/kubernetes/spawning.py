"""Background work of tests that have no supervisor: it runs, and is kept until it has ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

_tasks: set[asyncio.Task[None]] = set()


def spawn(name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Satisfies `engines.port.Spawn`."""
    task = asyncio.get_running_loop().create_task(work(), name=name)
    _tasks.add(task)
    task.add_done_callback(_tasks.discard)
