"""Hears of changes that other gateways made of releases, from PostgreSQL, at the moment at which they are stored.

Whoever stores a change notifies (`gateway.store.releases.table`); whoever hears it looks at once, and else as often as
ever. Nothing hangs on it: a connection that is lost is opened again, and what changed meanwhile is found by looking.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy.exc import SQLAlchemyError

from gateway.store.database.opening import engine_of

CHANNEL: Final = "penstock_releases"
AGAIN_S: Final = 5.0
WAIT_S: Final = 1.0
"""For a notification; then it is looked whether to end."""


class Listening:
    """Owns a thread and a connection."""

    def __init__(self, url: str, changed: Callable[[], None], *, again_s: float = AGAIN_S) -> None:
        """`changed` is called on the thread: after each change, and once it listens."""
        self._url = url
        self._changed = changed
        self._again_s = again_s
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="releases_listening", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Does not wait."""
        self._ends.set()

    def join(self) -> None:
        """Wait until it has ended."""
        self._thread.join()

    def _run(self) -> None:
        import psycopg

        engine = engine_of(self._url)
        while not self._ends.is_set():
            with contextlib.suppress(SQLAlchemyError, psycopg.Error, OSError):
                pooled = engine.raw_connection()
                connection: Any = pooled.driver_connection
                pooled.detach()  # it is nobody else's any more
                with contextlib.closing(connection):
                    connection.rollback()
                    connection.autocommit = True
                    connection.execute(f"LISTEN {CHANNEL}")
                    self._changed()
                    while not self._ends.is_set():
                        for _ in connection.notifies(timeout=WAIT_S, stop_after=1):
                            self._changed()
            self._ends.wait(self._again_s)
        engine.dispose()
