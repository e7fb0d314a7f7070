"""Which of several gateways a directory is of: that which holds its lock, until its process ends, however it ends.

The lock belongs to one process of a gateway, so its workers share the directory; another gateway is told that it is the
second. Nothing is refused: where one gateway takes another's place, both are there for a moment.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

NAME: Final = "gateway.lock"
_TAKEN: Final = (BlockingIOError, PermissionError)
"""What a lock is that another process holds."""


class DirectoryLock:
    """The lock of one directory. Blocking, as files are: at the start, or in a thread."""

    def __init__(self, directory: Path) -> None:
        """Raises OSError where nothing can be written there."""
        self._fd = os.open(directory / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._held = False

    def take(self) -> bool:
        """Whether it is ours, now or since before. Where the file system knows no locks it is everybody's."""
        if self._held or self._fd < 0:
            return self._held
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except _TAKEN:
            return False
        except OSError:
            return True  # none is known here, so nobody can be told apart
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, b"%d\n" % os.getpid(), 0)
        self._held = True
        return True

    @property
    def holder(self) -> int | None:
        """The process that took it last, on its machine; None where the file does not say."""
        said = b"" if self._fd < 0 else os.pread(self._fd, 32, 0).strip()
        return int(said) if said.isdigit() else None

    def release(self) -> None:
        """Let the next one have it."""
        fd, self._fd, self._held = self._fd, -1, False
        if fd >= 0:
            os.close(fd)
