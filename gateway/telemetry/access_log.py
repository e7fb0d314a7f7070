"""One JSON line per settled request: the fields of `RequestRecord`, in their order, nothing else.

Promise: no content, no secret, no waiting (`gateway.telemetry.outlet` says for what), and no line that another process
could tear (`gateway.telemetry.line_bound`). Lines are encoded in the loop,
`SLICE_RECORDS` at a time: 0.6 us a record there, and a slice holds the loop for 20 us; on the outlet's thread the same
work would hold the interpreter lock, and with it the loop, for a whole batch. A thread that is woken for each slice
costs more than the encoding, so slices are joined to blocks of `BLOCK_BYTES`; what is left goes with the next `flush`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
import structlog

from gateway.accounts.record import RequestRecord
from gateway.accounts.settlement import RecordSink
from gateway.telemetry.line_bound import CUTS, LINE_BYTES, all_fit, cut
from gateway.telemetry.outlet import BOUND_BYTES, Outlet
from gateway.telemetry.target import Target

SLICE_RECORDS: Final = 32
BLOCK_BYTES: Final = 64 * 1024

_log = structlog.get_logger("gateway.telemetry")


class AccessLog(RecordSink):
    """Writes records to `stdout`, `stderr` or a file (appended to). Belongs to the event loop."""

    def __init__(
        self,
        target: str,
        *,
        bound_bytes: int = BOUND_BYTES,
        lines: Callable[[list[RequestRecord]], bytes] | None = None,
    ) -> None:
        """Open the target and start its writer.

        Args:
            target: `stdout`, `stderr` or the path of a file.
            bound_bytes: how much may wait for the target; beyond it lines are dropped and counted.
            lines: what makes lines of records, in place of JSON; none of them may be too long.

        Raises:
            OSError: the file cannot be opened; its message names the path.
        """
        self._target = target
        encode: Callable[[list[RequestRecord]], bytes] = msgspec.json.Encoder().encode_lines
        self._encode = encode if lines is None else lines
        self._readable = lines is not None
        self._records: list[RequestRecord] = []
        self._slices: list[bytes] = []
        self._bytes = 0
        self._unwritable = 0
        self._outlet = Outlet(
            "access_log",
            Target(target),
            on_failure=self._failed,
            on_return=self._returned,
            on_kept=self._kept,
            bound_bytes=bound_bytes,
        )

    def write(self, record: RequestRecord) -> None:
        """Take one record, which must not change from now on."""
        records = self._records
        records.append(record)
        if len(records) >= SLICE_RECORDS:
            self._slice()
            if self._bytes >= BLOCK_BYTES:
                self.flush()

    @property
    def dropped(self) -> int:
        """Lines that were not written and never will be."""
        return self._unwritable + self._outlet.dropped

    @property
    def backlog_bytes(self) -> int:
        """What was passed on and is not written yet."""
        return self._outlet.backlog_bytes

    def flush(self) -> None:
        """Pass on what was written so far; call it each 100 to 200 ms. Never blocks."""
        if self._records:
            self._slice()
        if self._slices:
            self._outlet.put(b"".join(self._slices))
            self._slices.clear()
            self._bytes = 0

    def reopen(self) -> None:
        """Before the next line, open the path anew (logrotate has moved the file)."""
        self.flush()
        self._outlet.reopen()

    def close(self, timeout_s: float = 2.0) -> None:
        """Write what is held, for at most `timeout_s`; what remains is counted as dropped. Blocks that long."""
        self.flush()
        self._outlet.close(timeout_s)

    def _slice(self) -> None:
        try:
            lines = self._encode(self._records)
        except Exception as error:
            lines = self._one_by_one(error)
        if not self._readable and not all_fit(lines):
            lines = b"".join([self._bounded(line) for line in lines.splitlines(keepends=True)])
        self._records.clear()
        self._slices.append(lines)
        self._bytes += len(lines)

    def _bounded(self, line: bytes) -> bytes:
        """The line with its texts cut until it fits; when and which request it was stays whole."""
        for most in CUTS:
            if len(line) <= LINE_BYTES:
                break
            fields = msgspec.json.decode(line)
            fields.pop("tries", None)  # what the request came to counts more
            for name, value in fields.items():
                if isinstance(value, str) and name not in ("time", "request_id", "record_id"):
                    fields[name] = cut(value, most)
            line = self._encode([fields])
        return line

    def _one_by_one(self, error: Exception) -> bytes:
        """A record that is no text (a lone surrogate) costs only its own line, and the request nothing."""
        _log.error("a line of the access log is lost", target=self._target, reason=str(error))
        lines = []
        for record in self._records:
            try:
                lines.append(self._encode([record]))
            except Exception:
                self._unwritable += 1
        return b"".join(lines)

    # On the outlet's thread.

    def _failed(self, reason: str) -> None:
        _log.error("lines of the access log are lost", target=self._target, reason=reason)

    def _kept(self, reason: str) -> None:
        _log.error(
            "the access log cannot be opened anew and goes on in its old file", target=self._target, reason=reason
        )

    def _returned(self, lines: int) -> None:
        _log.warning("the access log goes on", target=self._target, lines_dropped=lines)
