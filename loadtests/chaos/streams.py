"""A reader of a process's output that can stop reading, as a hung log shipper does, or leave, as a dead one does."""

from __future__ import annotations

import json
import os
import select
import threading
from collections.abc import Callable

READ_BYTES = 1 << 16
LOOK_S = 0.1


class Stream:
    """Reads one end of a pipe in a thread of its own, line by line, unless it is blocked."""

    def __init__(self, on_line: Callable[[bytes], None]) -> None:
        self._read, self.write = os.pipe()
        """Give `write` to the process, and close it with `started` when the process has it."""
        self._on_line = on_line
        self._may_read = threading.Event()
        self._may_read.set()
        self._gone = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.last = b""
        """The last line but empty ones."""

    def started(self) -> None:
        os.close(self.write)
        self._thread.start()

    def block(self) -> None:
        """Read no more. What is being read now is still read."""
        self._may_read.clear()

    def unblock(self) -> None:
        self._may_read.set()

    def leave(self) -> None:
        """Close the reading end: whoever writes from then on has a broken pipe. Returns when it is closed."""
        self._gone = True
        self._may_read.set()
        self._thread.join()

    def ended(self, timeout_s: float) -> bool:
        """Whether the other side has closed its end, and everything is read."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        rest = b""
        while True:
            self._may_read.wait()
            if self._gone:
                break
            if not select.select([self._read], [], [], LOOK_S)[0]:
                continue
            data = os.read(self._read, READ_BYTES)
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self.last = line or self.last
                self._on_line(line)
        os.close(self._read)


def request_id(line: bytes) -> str:
    """Of an access line; empty for any other line."""
    try:
        said = json.loads(line)
    except ValueError:
        return ""
    found = said.get("request_id") if isinstance(said, dict) and "duration_ms" in said else None
    return found if isinstance(found, str) else ""
