"""The one owner of background tasks. None is lost when it fails, and none outlives `close`.

`spawn` runs a piece of work once and logs what it raises. `loop` runs a step again and again: a step that raises is
tried again after a back-off, and the age of its last success is a metric, so a loop that only fails is seen.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import structlog

MAX_BACKOFF_S = 30.0

log = structlog.get_logger()


class Supervisor:
    """Owns every background task of one event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._last_success_s: dict[str, float] = {}
        self._closing = False

    def spawn(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `work` in the background; an exception is logged under `name`. Satisfies `engines.port.Spawn`."""
        task = self._loop.create_task(work())
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._ended(name, done))

    def loop(
        self,
        name: str,
        step: Callable[[], Awaitable[None]],
        every_s: float | Callable[[], float],
        *,
        at_once: bool = True,
    ) -> None:
        """Run `step` every `every_s` seconds (asked anew each time), the first time at once or after one interval."""
        self._last_success_s[name] = self._loop.time()
        self.spawn(name, lambda: self._forever(name, step, every_s if callable(every_s) else lambda: every_s, at_once))

    def ages_s(self) -> dict[str, float]:
        """Seconds since each loop last succeeded."""
        now = self._loop.time()
        return {name: now - last for name, last in self._last_success_s.items()}

    async def close(self) -> None:
        """Cancel everything and wait until it has ended."""
        self._closing = True
        while self._tasks:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._tasks.difference_update(tasks)

    async def _forever(
        self, name: str, step: Callable[[], Awaitable[None]], every_s: Callable[[], float], at_once: bool
    ) -> None:
        failures = 0
        if not at_once:
            await asyncio.sleep(every_s())
        while True:
            try:
                await step()
            except Exception as error:
                failures += 1
                _say("loop_failed", loop=name, failures=failures, error=f"{type(error).__name__}: {error}")
                await asyncio.sleep(min(MAX_BACKOFF_S, max(every_s(), 0.1) * 2.0 ** min(failures, 16)))
            else:
                failures = 0
                self._last_success_s[name] = self._loop.time()
                await asyncio.sleep(every_s())

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or self._closing:
            return
        error = task.exception()
        if error is not None:
            _say("task_failed", task=name, exc_info=error)


def _say(event: str, **fields: Any) -> None:
    """Log an error. A log that fails (its reader is gone, its disk full) must end nothing that it tells of."""
    with contextlib.suppress(Exception):
        log.error(event, **fields)
