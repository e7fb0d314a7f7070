"""The one owner of background tasks. None is lost when it fails, and none outlives `close`.

`spawn` runs a piece of work once and logs what it raises. `loop` runs a step again and again: a loop that dies of what
its step raises is restarted after a back-off, which is logged and counted, and the age of its last success is a metric,
so a loop that only fails is seen.
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
        self._restarts: dict[str, int] = {}
        self._closing = False

    def spawn(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `work` in the background; an exception is logged under `name`. Satisfies `engines.port.Spawn`."""
        task = self._loop.create_task(work(), name=name)
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
        self._restarts.setdefault(name, 0)
        self.spawn(name, lambda: self._forever(name, step, every_s if callable(every_s) else lambda: every_s, at_once))

    def ages_s(self) -> dict[str, float]:
        """Seconds since each loop last succeeded."""
        now = self._loop.time()
        return {name: now - last for name, last in self._last_success_s.items()}

    def restarts(self) -> dict[str, int]:
        """How often each loop has died and was restarted, those that never did among them."""
        return self._restarts.copy()

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
        failures, due = 0, at_once
        while True:
            try:
                while True:
                    if due:
                        await step()
                        failures = 0
                        self._last_success_s[name] = self._loop.time()
                    due = True
                    await asyncio.sleep(every_s())
            except (Exception, asyncio.CancelledError) as error:
                task = asyncio.current_task()
                if isinstance(error, asyncio.CancelledError) and (task is None or task.cancelling()):
                    raise  # `close` ends us; any other cancellation is of something that the step waited for
                failures += 1
                self._restarts[name] += 1
                _say("loop_failed", loop=name, failures=failures, error=_named(error), exc_info=error)
            await asyncio.sleep(_back_off_s(failures, every_s))

    def _ended(self, name: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or self._closing:
            return
        error = task.exception()
        if error is not None:
            _say("task_failed", task=name, exc_info=error)


def _back_off_s(failures: int, every_s: Callable[[], float]) -> float:
    try:
        interval_s = every_s()
    except Exception:
        interval_s = MAX_BACKOFF_S  # what asks for the interval may be what died
    return min(MAX_BACKOFF_S, max(interval_s, 0.1) * 2.0 ** min(failures, 16))


def _named(error: BaseException) -> str:
    """In one line. Of a group (paced work raises one) the first of those that it holds: its own says only how many."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def _say(event: str, **fields: Any) -> None:
    """Log an error. A log that fails (its reader is gone, its disk full) must end nothing that it tells of."""
    with contextlib.suppress(Exception):
        log.error(event, **fields)
