"""Readers at the other end of a target: one that reads when told to, or never."""

from __future__ import annotations

import array
import fcntl
import os
import select
import termios
import threading
from collections.abc import Callable

from gateway.telemetry.outlet import Outlet


class Pipe:
    """A pipe whose reader reads nothing until `drain`."""

    def __init__(self) -> None:
        self.read_fd, self.write_fd = os.pipe()

    @property
    def path(self) -> str:
        """A name under which it can be opened."""
        return f"/proc/self/fd/{self.write_fd}"

    def fill(self) -> int:
        """Write until nothing fits; returns how many bytes that took."""
        os.set_blocking(self.write_fd, False)
        filled = 0
        try:
            while True:
                filled += os.write(self.write_fd, b"x" * 4096)
        except BlockingIOError:
            return filled
        finally:
            os.set_blocking(self.write_fd, True)

    def until_full(self, outlet: Outlet) -> None:
        """Let its writer run until it can only be stuck: no room is left, and it has noted all that it has written."""
        room = select.poll()
        room.register(self.write_fd, select.POLLOUT)
        while room.poll(0) or self._held() != outlet._finished_bytes + outlet._hand[1]:
            os.sched_yield()

    def _held(self) -> int:
        count = array.array("i", [0])
        fcntl.ioctl(self.read_fd, termios.FIONREAD, count)
        return count[0]

    def read_what_is_there(self) -> bytes:
        os.set_blocking(self.read_fd, False)
        return os.read(self.read_fd, 1 << 20)

    def read(self, length: int) -> bytes:
        """Exactly so many bytes."""
        parts = b""
        while len(parts) < length:
            parts += os.read(self.read_fd, length - len(parts))
        return parts

    def read_lines(self, count: int) -> list[bytes]:
        """Exactly so many lines, without their ends."""
        text = b""
        while text.count(b"\n") < count:
            text += os.read(self.read_fd, 65536)
        return text.splitlines()

    def close_reader(self) -> None:
        if self.read_fd >= 0:
            os.close(self.read_fd)
            self.read_fd = -1

    def close(self) -> None:
        self.close_reader()
        os.close(self.write_fd)


class Told:
    """Takes what an outlet tells, and waits for it."""

    def __init__(self) -> None:
        self.failures: list[str] = []
        self.returns: list[int] = []
        self._moved = threading.Condition()

    def failure(self, reason: str) -> None:
        with self._moved:
            self.failures.append(reason)
            self._moved.notify_all()

    def returned(self, lines: int) -> None:
        with self._moved:
            self.returns.append(lines)
            self._moved.notify_all()

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait, for half a minute at most, until something told makes it true."""
        with self._moved:
            assert self._moved.wait_for(condition, 30)
