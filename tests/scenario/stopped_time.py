"""Time that stands still while the machine works, and passes when a test says so: no deadline is missed because the
machine was busy, and none is waited for. For tests of which everything runs in one event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest

T = TypeVar("T")


class Stoppable(asyncio.SelectorEventLoop):
    """An event loop whose clock can be stopped. Sockets are served all the same; timers are not due."""

    def __init__(self) -> None:
        super().__init__()
        self._ahead_s = 0.0
        self._stopped_s: float | None = None

    def time(self) -> float:
        return time.monotonic() + self._ahead_s if self._stopped_s is None else self._stopped_s


class Time:
    """Of the loop that runs."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, Stoppable), "the module's `anyio_backend` is STOPPABLE"
        self._loop = loop

    def __call__(self) -> float:
        return self._loop.time()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """It goes on, from where it stands then, when the block ends."""
        loop = self._loop
        loop._stopped_s = loop.time()
        try:
            yield
        finally:
            loop._ahead_s = loop._stopped_s - time.monotonic()
            loop._stopped_s = None

    def passes(self, seconds: float) -> None:
        """What is due by then is called in the next turn of the loop."""
        assert self._loop._stopped_s is not None
        self._loop._stopped_s += seconds

    async def until(self, work: asyncio.Future[T]) -> T:
        """What this comes to, while the time passes: a little with each turn of the loop."""
        while not work.done():
            self.passes(0.01)
            await asyncio.sleep(0)
        return await work


STOPPABLE = ("asyncio", {"loop_factory": Stoppable})
stoppable = pytest.mark.parametrize("anyio_backend", [STOPPABLE], ids=["stoppable"])
"""Marks a test that wants `time`, in a module whose other tests do not."""
