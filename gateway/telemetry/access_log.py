"""One JSON line per settled request: the fields of `RequestRecord`, in their order, nothing else.

Promise: no content, no secret, no blocking. Lines are encoded and written on a thread; when the target is slower than
the traffic, lines are dropped and counted. Every write holds whole lines, so several workers may share one file.
"""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import structlog

from gateway.accounts.record import RequestRecord
from gateway.telemetry.batches import BatchThread

SLICE_RECORDS = 256
"""Encoded and written at a time. Encoding holds the interpreter lock, about 0.5 us a record: 0.15 ms at most."""

_STANDARD = {"stdout": 1, "stderr": 2}
_MILLISECONDS = tuple(f".{ms:03d}Z" for ms in range(1000))

_log = structlog.get_logger("gateway.telemetry")


def _ignore(_record: RequestRecord) -> None:
    """`off`."""


class AccessLog:
    """Writes records to `stdout`, `stderr`, a file (appended to), or nowhere (`off`)."""

    def __init__(self, target: str, on_drop: Callable[[int], None]) -> None:
        """Open the target and start the writer.

        Args:
            target: `stdout`, `stderr`, `off` or the path of a file.
            on_drop: told of dropped records, on the thread that calls `flush`.

        Raises:
            OSError: the file cannot be opened; its message names the path.
        """
        self._path = "" if target in _STANDARD or target == "off" else target
        self._fd = _open(target) if self._path else _STANDARD.get(target, -1)
        self._encoder = msgspec.json.Encoder()
        self._reopen = False
        self._failing = False
        self._torn = False
        self._batches = BatchThread("access_log", self._consume, on_drop) if target != "off" else None
        self.write: Callable[[RequestRecord], None] = self._batches.write if self._batches else _ignore
        """Take one record, which must not change from now on. Costs an append."""

    def flush(self) -> None:
        """Pass what was written on to the writer; call it each 100 to 200 ms. Never blocks."""
        if self._batches:
            self._batches.flush()

    def reopen(self) -> None:
        """Before the next line, open the path anew (logrotate has moved the file). Safe in a signal handler."""
        self._reopen = True

    def close(self, timeout_s: float = 2.0) -> None:
        """Write what is held, for at most `timeout_s`; what remains is counted as dropped. Blocks."""
        if self._batches:
            self._batches.close(timeout_s)
            if self._path and not self._batches.alive:
                os.close(self._fd)
                self._path = ""

    # From here on: the writer thread.

    def _consume(self, batch: list[RequestRecord]) -> int:
        if self._reopen:
            self._reopen = False
            if self._path:
                self._open_anew()
        for start in range(0, len(batch), SLICE_RECORDS):
            lines = self._encoder.encode_lines(batch[start : start + SLICE_RECORDS])
            try:
                self._write_all(lines)
            except OSError as error:
                self._report("lines of the access log are lost", error)
                return len(batch) - start
        self._failing = False
        return 0

    def _write_all(self, lines: bytes) -> None:
        # After a write that failed half-way, the next line must not continue the torn one.
        rest = memoryview(b"\n" + lines if self._torn else lines)
        while rest:
            try:
                written = os.write(self._fd, rest)
            except BlockingIOError:
                # Somebody else made the shared stdout non-blocking.
                poll = select.poll()
                poll.register(self._fd, select.POLLOUT)
                poll.poll()
                continue
            self._torn = written < len(rest)
            rest = rest[written:]

    def _open_anew(self) -> None:
        try:
            fd = _open(self._path)
        except OSError as error:
            self._report("the access log cannot be reopened and goes on in the old file", error)
            return
        os.close(self._fd)
        self._fd, self._torn = fd, False

    def _report(self, event: str, error: OSError) -> None:
        """Once per spell of failures: a full disk is not helped by log lines."""
        if not self._failing:
            _log.error(event, target=self._path or "standard output", reason=error.strerror)
        self._failing = True


def _open(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)


class TimeStamper:
    """RFC 3339 in UTC with milliseconds; the part up to the second is made once per second (strftime costs 2 us)."""

    def __init__(self) -> None:
        self._start_ms = -1_000
        self._prefix = ""

    def format(self, unix_s: float) -> str:
        """`unix_s` of the wall clock, rounded to the nearest millisecond, as `2026-01-31T23:59:59.999Z`."""
        ms = int(unix_s * 1000.0 + 0.5) - self._start_ms
        if not 0 <= ms < 1000:
            second, ms = divmod(ms + self._start_ms, 1000)
            self._prefix = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
            self._start_ms = second * 1000
        return self._prefix + _MILLISECONDS[ms]
