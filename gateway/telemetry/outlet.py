"""Whole lines on their way to a reader that may stand still for ever: bounded, counted, never waited for.

Law: neither a pipe that nobody reads, nor one whose reader is gone, a full disk, a slow file or a FIFO may hold a
request, an event loop or the stop. So a thread writes, and it makes system calls only: what it would compute, it would
compute under the interpreter lock, and a thread that holds that for more than 50 us is felt in the loop's p99 (one that
encoded its lines ran for 2 ms per 3,000 of them and added as much to p99 at 4 connections; now it runs for 0.2 ms,
16 us at a time). Lines come encoded, joined into blocks of some 64 KiB, one wake-up each.

Every line offered is written or counted in `dropped`, never both. When lines were lost and the backlog is gone,
`on_return` tells how many, once.
"""

from __future__ import annotations

import queue
import select
import threading
from collections.abc import Callable
from os import write

from gateway.telemetry.target import Target

BOUND_BYTES = 8 * 1024 * 1024
"""What may wait: about 20,000 access lines, so one second of full load on one core."""

_REOPEN = b""


class Outlet:
    """Takes blocks of lines; a daemon thread writes them. All but `join`: from one thread at a time."""

    def __init__(
        self,
        name: str,
        target: Target,
        *,
        on_failure: Callable[[str], None],
        on_return: Callable[[int], None],
        on_kept: Callable[[str], None] = lambda _: None,
        bound_bytes: int = BOUND_BYTES,
    ) -> None:
        """Start the thread.

        Args:
            name: of the thread.
            target: where lines go; the outlet's own from now on.
            on_failure: called on the thread with the reason when writing begins to fail, once per spell.
            on_return: called on the thread with the number of lines lost, once all that waited after them is written.
            on_kept: called on the thread with the reason when the path cannot be opened anew: lines go on as before.
            bound_bytes: how much may wait, what is being written included.
        """
        self._target = target
        self._on_failure = on_failure
        self._on_return = on_return
        self._on_kept = on_kept
        self._bound_bytes = bound_bytes
        self._queue: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        """Over `_hand` and `_abandoned`; never held in a system call."""
        self._abandoned = False
        self._closed = False
        # Each of these is written by one side only, so that neither needs a lock.
        self._offered_bytes = 0
        self._refused = 0
        self._finished_bytes = 0
        self._lost = 0
        self._hand: tuple[bytes, int] = (b"", 0)
        """What the thread writes, and from where on it is still to be written."""
        self._told = 0
        self._failing = False
        self._torn = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Lines offered that were not written and never will be."""
        return self._refused + self._lost

    @property
    def backlog_bytes(self) -> int:
        """What waits or is being written."""
        return self._offered_bytes - self._finished_bytes

    @property
    def alive(self) -> bool:
        """Whether the thread still runs; after `close`, that it is stuck in a system call."""
        return self._thread.is_alive()

    def put(self, block: bytes) -> None:
        """Take a block of whole lines, or drop it when too much waits. Never blocks."""
        if self._closed or self.backlog_bytes + len(block) > self._bound_bytes:
            self._refused += block.count(b"\n")
        elif block:
            self._offered_bytes += len(block)
            self._queue.put(block)

    def reopen(self) -> None:
        """Open the path anew between what was put before and what is put after (logrotate has moved the file)."""
        self._queue.put(_REOPEN)

    def close(self, timeout_s: float) -> None:
        """Write what waits, for at most `timeout_s`; what remains is counted as dropped. Blocks that long."""
        if self.end():
            self.join(timeout_s)
            self.give_up()

    def end(self) -> bool:
        """Take no more; returns whether some was taken until now. The first of the three steps of `close`."""
        if self._closed:
            return False
        self._closed = True
        self._queue.put(None)
        return True

    def join(self, timeout_s: float) -> None:
        """Wait until what waits is written, for at most so long. Meanwhile `put` may be called on other threads."""
        self._thread.join(timeout_s)

    def give_up(self) -> None:
        """Let go of the target, or count what is not written as dropped: the last step of `close`."""
        if not self._thread.is_alive():
            self._target.close()
            return
        # It is stuck in a system call, and ends with the process or when that call returns.
        with self._lock:
            self._abandoned = True
            block, at = self._hand
            self._refused += block.count(b"\n", at)
        while True:
            try:
                left = self._queue.get_nowait()
            except queue.Empty:
                break
            self._refused += left.count(b"\n") if left else 0
        self._queue.put(None)

    # From here on: the thread.

    def _run(self) -> None:
        while (block := self._queue.get()) is not None:
            if block:
                self._consume(block)
            else:
                self._reopen()
            if self.dropped != self._told and not (self._failing or self._closed) and self._queue.empty():
                dropped, told = self.dropped, self._told
                self._told = dropped
                self._on_return(dropped - told)

    def _consume(self, block: bytes) -> None:
        at, end = 0, len(block)
        try:
            if not self._advance(block, 0):
                self._lost += block.count(b"\n")
                return
            self._target.connect()
            view = memoryview(block)
            most = self._target.piece_bytes
            while at < end:
                stop = end
                if end - at > most:
                    stop = block.rfind(b"\n", at, at + most) + 1 or block.find(b"\n", at) + 1 or end
                self._write(view[at:stop])
                at = stop
                if not self._advance(block, at):
                    return
        except OSError as error:
            if self._advance(b"", 0):
                self._lost += block.count(b"\n", at)
                if not self._failing:
                    self._failing = True
                    self._on_failure(error.strerror or str(error))
        else:
            self._failing = False
            self._hand = b"", 0
        self._finished_bytes += end

    def _advance(self, block: bytes, at: int) -> bool:
        """Have `block` in hand from `at` on; False when `close` has given up on us and counted what we had."""
        with self._lock:
            if not self._abandoned:
                self._hand = block, at
            return not self._abandoned

    def _write(self, piece: memoryview) -> None:
        """Raises OSError."""
        fd = self._target.fd
        # After a write that failed half-way, the next line must not continue the torn one.
        rest = memoryview(b"\n" + bytes(piece)) if self._torn else piece
        while rest:
            try:
                written = write(fd, rest)
            except BlockingIOError:
                # Somebody else made the shared stream non-blocking.
                poll = select.poll()
                poll.register(fd, select.POLLOUT)
                poll.poll()
                continue
            self._torn = written < len(rest)
            rest = rest[written:]

    def _reopen(self) -> None:
        try:
            if self._target.reopen():
                self._torn = False
        except OSError as error:
            self._on_kept(error.strerror or str(error))
