"""Files for what cannot be stored now: appended to by one process, read by the writer once nobody appends any more.

A file is a row of frames: size, checksum, bytes. Whoever appends holds a lock on it, which ends with the process; a
last frame that was cut off by a kill or a full disk is left out, and what is whole before it counts. No frame is empty:
zeros are what a file system leaves behind after the machine died.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

_HEAD = struct.Struct("<II")
SUFFIX = ".spill"
SET_ASIDE = ".unreadable"
MAX_FILE_BYTES = 8 * 1024 * 1024
"""A new file is begun after so many: the writer reads one in .3 s, and takes what has come meanwhile before another."""

MAX_FRAME_BYTES = 16 * 1024 * 1024 - 1
"""Of one frame: its size has three bytes, though four are written."""


def directory_of(data_dir: Path) -> Path:
    return data_dir / "spill"


class Spill:
    """Appends to files of this process's own, one after the other. Belongs to one thread at a time."""

    def __init__(self, data_dir: Path, name: str, *, file_bytes: int = MAX_FILE_BYTES) -> None:
        """`name` is this process's alone."""
        self._directory = directory_of(data_dir)
        self._name = name
        self._file_bytes = file_bytes
        self._fd = -1
        self._size = 0
        self._files = 0

    @property
    def open(self) -> bool:
        """Whether a file is being written that nobody may read yet."""
        return self._fd >= 0

    def append(self, parts: Iterable[bytes]) -> None:
        """Write these, each whole or not at all. Raises OSError, and then none of them is there."""
        if self._fd < 0:
            self._begin()
        data = b"".join([_HEAD.pack(len(part), zlib.crc32(part)) + part for part in parts])
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._size)
            self.close()
            raise
        self._size += len(data)
        if self._size >= self._file_bytes:
            self.close()

    def close(self) -> None:
        """Let the writer have what was appended."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _begin(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        self._files += 1
        path = self._directory / f"{self._name}-{self._files}{SUFFIX}"
        new = path.with_suffix(".new")
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o640)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            os.rename(new, path)  # noqa: PTH104 - under this name it is locked from the first moment
        except OSError:
            os.close(fd)
            raise
        self._fd, self._size = fd, 0


def spilled_bytes(data_dir: Path) -> int:
    """What waits in all files."""
    total = 0
    for path in directory_of(data_dir).glob(f"*{SUFFIX}"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


@contextlib.contextmanager
def next_spilled(data_dir: Path) -> Iterator[tuple[Path, Frames] | None]:
    """The oldest file that nobody appends to, and its frames; None without one. Remove the file once they are stored,
    or set it aside: nobody else reads it meanwhile."""
    paths = sorted(directory_of(data_dir).glob(f"*{SUFFIX}"), key=_age)
    with contextlib.ExitStack() as stack:
        for path in paths:
            try:
                file = stack.enter_context(path.open("rb"))
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            if path.exists():
                yield path, Frames(file.read())
                return
        yield None


def set_aside(path: Path) -> Path:
    """Keep a file of which not all could be stored, where nobody reads it again; returns what it is called then."""
    return path.rename(path.with_suffix(SET_ASIDE))


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


class Frames:
    """What lies in a file, frame after frame. Behind a damaged place, the next whole one is looked for."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.damaged = 0
        """Places, so far, at which something lies that was never written: a last frame that was cut off is none."""

    def __iter__(self) -> Iterator[bytes]:
        data, at = self._data, 0
        while at < len(data):
            part = self._whole_at(at)
            if part is None:
                after = self._next_whole(at + 1)
                if after is not None or not self._cut_off_at(at):
                    self.damaged += 1
                if after is None:
                    return
                at = after
            else:
                yield part
                at += _HEAD.size + len(part)

    def _whole_at(self, at: int) -> bytes | None:
        data, end = self._data, at + _HEAD.size
        if end > len(data):
            return None
        size, checksum = _HEAD.unpack_from(data, at)
        if not 0 < size <= len(data) - end:
            return None
        part = data[end : end + size]
        return part if zlib.crc32(part) == checksum else None

    def _next_whole(self, at: int) -> int | None:
        """The last byte of a size is zero in every frame below 16 MiB, and few others are."""
        zero = self._data.find(b"\x00", at + 3)
        while zero >= 0:
            if self._whole_at(zero - 3) is not None:
                return zero - 3
            zero = self._data.find(b"\x00", zero + 1)
        return None

    def _cut_off_at(self, at: int) -> bool:
        """Whether the rest is the beginning of a frame, or the zeros that a file system left."""
        rest = len(self._data) - at - _HEAD.size
        return rest < 0 or _HEAD.unpack_from(self._data, at)[0] > rest or not any(self._data[at:])
