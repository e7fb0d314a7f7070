"""Where lines go: a standard stream, or a path that is opened to append. The one place that knows what can block there.

A FIFO that nobody reads can block its opening as well as its writing, so its opening waits for the writer's thread;
whatever else is wrong with a path is said at once, while there is somebody to say it to.
"""

from __future__ import annotations

import errno
import os
import select
import stat

STANDARD = {"stdout": 1, "stderr": 2}
PIECE_BYTES = 64 * 1024
"""Written at a time to what is neither pipe nor socket: 20 to 40 us in the kernel, which a loop on it can feel."""


class Target:
    """A descriptor to write to. Only the constructor belongs to the event loop; the rest may block."""

    def __init__(self, name: str) -> None:
        """Open it, but for a FIFO that has no reader yet.

        Args:
            name: `stdout`, `stderr` or the path of a file.

        Raises:
            OSError: the path cannot be written; its message names it.
        """
        self.name = name
        self._path = "" if name in STANDARD else name
        self.fd = STANDARD.get(name, -1)
        if self._path:
            try:
                self.fd = _open(self._path)
            except OSError as error:
                if error.errno != errno.ENXIO or not stat.S_ISFIFO(os.stat(self._path).st_mode):  # noqa: PTH116
                    raise
        self.piece_bytes = self._piece_bytes()

    def connect(self) -> None:
        """Wait for the reader of a FIFO, if that is still to come. Raises OSError."""
        if self.fd < 0:
            self.fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            self.piece_bytes = self._piece_bytes()

    def reopen(self) -> bool:
        """Follow the path to a new file; False where there is none. Raises OSError, and then goes on in the old one."""
        if not self._path or self.fd < 0:
            return False
        fd = _open(self._path)
        os.close(self.fd)
        self.fd = fd
        self.piece_bytes = self._piece_bytes()
        return True

    def close(self) -> None:
        if self._path and self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def _piece_bytes(self) -> int:
        """How much leaves in one write. Several processes may write to one pipe, or to one socket (the journal's): no
        more than it keeps together. A socket takes a write in pieces of some 32 KiB, and another may come between."""
        if self.fd < 0:
            return select.PIPE_BUF
        try:
            mode = os.fstat(self.fd).st_mode
        except OSError:
            return PIECE_BYTES  # a standard stream that is closed: each write says so
        return select.PIPE_BUF if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else PIECE_BYTES


def _open(path: str) -> int:
    """Never waits: without a reader a FIFO is ENXIO. The descriptor itself blocks, or a full FIFO would be an error."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o640)
    os.set_blocking(fd, True)
    return fd
