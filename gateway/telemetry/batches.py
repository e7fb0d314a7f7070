"""The way of a record from the event loop to a thread that may block: bounded, and never waited for.

Promise: `write` costs a length check and an append. At most `MAX_WAITING + MAX_BATCHES * MAX_WAITING` records are held
(about 25 MB); the next one is dropped and counted. A consumer that raises loses its batch, not the thread.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

import structlog

from gateway.accounts.record import RequestRecord

MAX_WAITING = 8_192
"""At 20,000 requests/s and a flush each 200 ms, twice what one flush finds."""
MAX_BATCHES = 2
"""One being consumed and one behind it would do; two ride out a stall of the disk."""

_log = structlog.get_logger("gateway.telemetry")


class BatchThread:
    """Records in, batches out on a daemon thread. `write`, `flush` and `close` belong to the event loop's thread."""

    def __init__(
        self,
        name: str,
        consume: Callable[[list[RequestRecord]], int],
        on_drop: Callable[[int], None],
        *,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        """Start the thread.

        Args:
            name: of the thread and in its log lines.
            consume: called on the thread with each batch; returns how many of its records were lost.
            on_drop: called by `flush` and `close` with the number dropped or lost since the last call, if any.
            max_waiting: records held between two flushes.
        """
        self._name = name
        self._consume = consume
        self._on_drop = on_drop
        self._max_waiting = max_waiting
        self._waiting: list[RequestRecord] = []
        self._batches: queue.Queue[list[RequestRecord] | None] = queue.Queue(MAX_BATCHES)
        self._dropped = 0
        # Only the thread writes `_lost`, only the loop writes `_lost_told`: neither needs a lock.
        self._lost = 0
        self._lost_told = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def write(self, record: RequestRecord) -> None:
        """Take the record, which must not change from now on, or drop it when too many wait."""
        if len(self._waiting) < self._max_waiting:
            self._waiting.append(record)
        else:
            self._dropped += 1

    def flush(self) -> None:
        """Hand over what waits. When the thread is behind it goes on waiting, and `write` drops at its bound."""
        if self._waiting:
            try:
                self._batches.put_nowait(self._waiting)
            except queue.Full:
                pass
            else:
                self._waiting = []
        self._tell()

    def close(self, timeout_s: float) -> None:
        """Consume what is held and end the thread, for at most `timeout_s`; count the rest as dropped. Blocks."""
        until = time.monotonic() + timeout_s
        try:
            for last in (self._waiting, None):
                self._batches.put(last, timeout=max(0.0, until - time.monotonic()))
                self._waiting = []
        except queue.Full:
            self._dropped += len(self._waiting)
            self._waiting = []
        self._thread.join(max(0.0, until - time.monotonic()))
        if self._thread.is_alive():
            self._abandon()
        self._tell()

    @property
    def alive(self) -> bool:
        """Whether the thread still runs; after `close`, that it is stuck in a call."""
        return self._thread.is_alive()

    def _abandon(self) -> None:
        """Take back what the thread has not begun. It ends with the process, or at the sentinel if it wakes up."""
        while True:
            try:
                self._dropped += len(self._batches.get_nowait() or ())
            except queue.Empty:
                break
        self._batches.put_nowait(None)

    def _tell(self) -> None:
        lost = self._lost
        records = self._dropped + lost - self._lost_told
        self._dropped, self._lost_told = 0, lost
        if records:
            self._on_drop(records)

    def _run(self) -> None:
        while (batch := self._batches.get()) is not None:
            try:
                self._lost += self._consume(batch)
            except Exception:
                self._lost += len(batch)
                _log.exception("a batch of records was lost", sink=self._name, records=len(batch))
