"""How much of a core the writer's thread may take from requests: what nobody else wants, until somebody waits for it.

Under Linux's SCHED_IDLE a thread runs when no other wants the core, and in 0.3 % of the time otherwise (sched(7)). With
cores to spare it makes no difference; on one that serves requests all the time, writing in slices of some milliseconds
would be the tail of their latency. What is not written in time waits in workers and in their files.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from typing import Final

HURRY_BYTES: Final = 256 * 1024 * 1024
"""With so much in files, writing is as important as anything else, until half of it is written."""


def schedule(thread_id: int, courteous: bool) -> None:
    """Put a thread of this process behind all others of the machine, or beside them; where there is no such thing, do
    nothing."""
    if hasattr(os, "sched_setscheduler"):
        with contextlib.suppress(OSError):  # some sandboxes forbid it
            os.sched_setscheduler(thread_id, os.SCHED_IDLE if courteous else os.SCHED_OTHER, os.sched_param(0))


class Courtesy:
    """Of one thread. May be used from any."""

    def __init__(self, *, hurry_bytes: int = HURRY_BYTES, schedule: Callable[[int, bool], None] = schedule) -> None:
        """`schedule` takes a thread's id, and whether it is to stand back."""
        self._hurry_bytes = hurry_bytes
        self._schedule = schedule
        self._lock = threading.Lock()
        self._thread_id: int | None = None
        self._asked = 0
        self._behind = False
        self._courteous = False

    def begin(self) -> None:
        """The calling thread is the one, from now on."""
        with self._lock:
            self._thread_id = threading.get_native_id()
            self._apply()

    def waits(self, size_bytes: int) -> None:
        """So much is in files."""
        with self._lock:
            self._behind = size_bytes > (self._hurry_bytes // 2 if self._behind else self._hurry_bytes)
            self._apply()

    @contextlib.contextmanager
    def suspended(self) -> Iterator[None]:
        """Somebody waits for the thread, or for the interpreter lock that it holds now and then."""
        with self._lock:
            self._asked += 1
            self._apply()
        try:
            yield
        finally:
            with self._lock:
                self._asked -= 1
                self._apply()

    def _apply(self) -> None:
        wanted = not self._asked and not self._behind
        if self._thread_id is not None and wanted != self._courteous:
            self._courteous = wanted
            self._schedule(self._thread_id, wanted)
