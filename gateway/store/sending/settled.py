"""How many requests a worker has settled, in a file that outlives it, so that what was lost in a kill can be counted.

Each worker process holds a lock on its file, which ends with the process however it ends. A file whose lock is free is
of a worker that is gone: what it settled and nobody has is lost. The number is written through a memory map, so a
request pays for one store to memory.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
from collections.abc import Iterator
from pathlib import Path

_SIZE = 8


def _directory(data_dir: Path) -> Path:
    return data_dir / "runs"


class Settled:
    """The file of one run. `count[0]` is the number."""

    def __init__(self, data_dir: Path, run: str) -> None:
        """Raises OSError."""
        directory = _directory(data_dir)
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / run
        new = path.with_suffix(".new")
        self._fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            os.ftruncate(self._fd, _SIZE)
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            os.rename(new, path)  # noqa: PTH104 - under this name it is locked from the first moment
            self._map = mmap.mmap(self._fd, _SIZE)
        except OSError:
            os.close(self._fd)
            raise
        self.count = memoryview(self._map).cast("Q")

    def close(self) -> None:
        """Let go of the lock: this run has ended."""
        self.count.release()
        self._map.close()
        os.close(self._fd)


class Ended:
    """A run whose worker is gone."""

    def __init__(self, path: Path, settled: int) -> None:
        self._path = path
        self.run = path.name
        self.settled = settled

    def forget(self) -> None:
        """It has been counted."""
        self._path.unlink(missing_ok=True)


@contextlib.contextmanager
def ended_runs(data_dir: Path) -> Iterator[list[Ended]]:
    """The runs that have ended and were not counted yet; nobody else counts them meanwhile."""
    with contextlib.ExitStack() as locks:
        found = []
        directory = _directory(data_dir)
        for path in sorted(directory.iterdir()) if directory.is_dir() else []:
            if path.suffix:
                continue
            try:
                file = locks.enter_context(path.open("rb"))
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue  # its worker lives, or somebody else was faster
            if path.exists():
                found.append(Ended(path, int.from_bytes(file.read(_SIZE), "little")))
        yield found
