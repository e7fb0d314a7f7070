"""How much of a core the writer's threads may take from requests: what nobody else wants, until somebody waits
for them.

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
    """Of the threads that begin it. May be used from any."""

    def __init__(self, *, hurry_bytes: int = HURRY_BYTES, schedule: Callable[[int, bool], None] = schedule) -> None:
        """`schedule` takes a thread's id, and whether it is to stand back."""
        self._hurry_bytes = hurry_bytes
        self._schedule = schedule
        self._lock = threading.Lock()
        self._courteous: dict[int, bool] = {}
        """Of each thread, by its id, whether it stands back now."""
        self._holding: set[int] = set()
        self._asked = 0
        self._behind = False

    def begin(self) -> None:
        """The calling thread is one of them, from now on."""
        with self._lock:
            self._courteous.setdefault(threading.get_native_id(), False)
            self._apply()

    def end(self) -> None:
        """The calling thread is none of them any more: its id may soon be another's."""
        with self._lock:
            self._courteous.pop(threading.get_native_id(), None)

    def waits(self, size_bytes: int) -> None:
        """So much is in files."""
        with self._lock:
            self._behind = size_bytes > (self._hurry_bytes // 2 if self._behind else self._hurry_bytes)
            self._apply()

    @contextlib.contextmanager
    def suspended(self) -> Iterator[None]:
        """Somebody waits for a thread, or for the interpreter lock that each holds now and then."""
        with self._lock:
            self._asked += 1
            self._apply()
        try:
            yield
        finally:
            with self._lock:
                self._asked -= 1
                self._apply()

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """The calling thread holds what another waits for, as SQLite's write lock: so it comes forward."""
        thread_id = threading.get_native_id()
        with self._lock:
            self._holding.add(thread_id)
            self._apply()
        try:
            yield
        finally:
            with self._lock:
                self._holding.discard(thread_id)
                self._apply()

    def _apply(self) -> None:
        back = not self._asked and not self._behind
        for thread_id, courteous in self._courteous.items():
            wanted = back and thread_id not in self._holding
            if wanted != courteous:
                self._courteous[thread_id] = wanted  # an id that is there: the loop goes on
                self._schedule(thread_id, wanted)
