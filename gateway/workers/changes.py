"""Changes of what a worker serves, one after another in the order they came, however long each takes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")
Spawn = Callable[[str, Callable[[], Coroutine[Any, Any, None]]], None]


class Changes:
    """A queue of changes and at most one task that works it off."""

    def __init__(self, spawn: Spawn) -> None:
        self._spawn = spawn
        self._waiting: deque[tuple[Callable[[], Coroutine[Any, Any, Any]], asyncio.Future[Any]]] = deque()
        self._running = False

    def put(self, change: Callable[[], Coroutine[Any, Any, Result]]) -> asyncio.Future[Result]:
        """Run a change when those before it have ended; the future has what it returned or raised."""
        done: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((change, done))
        if not self._running:
            self._running = True
            self._spawn("changes", self._run)
        return done

    async def _run(self) -> None:
        try:
            while self._waiting:
                change, done = self._waiting.popleft()
                try:
                    result = await change()
                except Exception as error:
                    if not done.done():
                        done.set_exception(error)
                else:
                    if not done.done():
                        done.set_result(result)
        finally:
            self._running = False
