"""One measurement at a time: benchmarks hold a lock of the machine alone, test lanes may share it.

The lock is advisory (flock(2)) and ends with the process that holds it, however that ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path


def lock_path() -> Path:
    """`penstock-bench.lock` in TMPDIR, or in the system's place for temporary files."""
    return Path(os.environ.get("TMPDIR") or tempfile.gettempdir()) / "penstock-bench.lock"


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # only there may a handler be set
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def alone(path: Path | None = None) -> Iterator[None]:
    """No other benchmark and no test lane runs inside the block; waits, and says so, while one does.

    A SIGTERM ends the block as Ctrl-C does, so that what it started is stopped: a gateway left behind would take a core
    from every measurement after it.
    """
    place = path or lock_path()
    descriptor = os.open(place, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for {place}: tests or another benchmark are running", file=sys.stderr, flush=True)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        with _ended_by_sigterm():
            yield
    finally:
        os.close(descriptor)
