"""The log file of one child process: kept across runs, bounded in size, and able to quote its last lines.

The child writes straight into the file, so its output costs the gateway nothing and survives it. One older file is
kept beside it (`NAME.log.1`): the previous run's, or the first part of a run that outgrew the limit.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

MAX_BYTES = 16 * 1024 * 1024
TAIL_BYTES = 4096


class ChildLog:
    """Owns `path` and `path` + `.1`; at most `2 * max_bytes` on disk, but for what is written between two trims."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        self._older = path.with_name(path.name + ".1")
        self._max_bytes = max_bytes

    def begin(self) -> int:
        """Put the last run's log aside; a file descriptor that appends to a new one. The caller closes it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self.path.exists():
            self.path.replace(self._older)
        # Readable by the owner alone: engines print prompts at some log levels.
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def trim(self) -> bool:
        """Start the file over when it is over the limit; whether it was.

        The child holds the file open, so it is copied and emptied: lines written in between are lost.
        """
        if not self.path.exists() or self.path.stat().st_size <= self._max_bytes:
            return False
        shutil.copyfile(self.path, self._older)
        self._older.chmod(0o600)
        os.truncate(self.path, 0)
        return True

    def tail(self, lines: int = 20) -> str:
        """The last `lines` lines of this run, at most 4 KiB; empty when there are none."""
        try:
            with self.path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - TAIL_BYTES))
                text = file.read().decode("utf-8", "replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])
