"""Time that stands still while the machine works, and passes when a test says so: no deadline is missed because the
machine was busy, and none is waited for. For tests of which everything runs in one event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager


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


STOPPABLE = ("asyncio", {"loop_factory": Stoppable})
