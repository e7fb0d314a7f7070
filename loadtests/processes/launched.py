"""Processes under test: pinned to cores when started, output in a file, stopped with all they started."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import IO

from loadtests.processes import proc

STOP_S = 10.0


EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
LEAST_PORT = 10_000
_offsets = itertools.count(random.randrange(1 << 20))


def free_port(ephemeral: Path = EPHEMERAL) -> int:
    """A port that nobody has on any address of this machine now, another each time, for who binds it by its number.

    It lies below the ports that the kernel gives to connections and to whoever binds port 0: one of those may be given
    away before it is bound, or while its server is started again. Where there is no room below, it is one of those.
    """
    try:
        first = int(ephemeral.read_text().split()[0])
    except OSError:  # not Linux
        first = 0
    for _ in range(max(0, first - LEAST_PORT)):
        port = LEAST_PORT + next(_offsets) % (first - LEAST_PORT)
        with contextlib.suppress(OSError), socket.create_server(("", port)):
            return port
    with socket.create_server(("", 0)) as listener:
        given: int = listener.getsockname()[1]
        return given


@contextlib.contextmanager
def on_cores(cores: Set[int]) -> Iterator[None]:
    """What is started inside runs on `cores`, and sees no others (tokio sizes its pool of threads by that)."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Launched:
    """A started command. It leads a session of its own, so that its whole family can be found and stopped."""

    def __init__(self, argv: Sequence[str], cores: Set[int], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.argv = list(argv)
        self.log = log
        output: IO[bytes]
        with log.open("wb") as output, on_cores(cores):
            self._process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        self.pid = self._process.pid

    def running(self) -> bool:
        return self._process.poll() is None

    def cpu_s(self) -> float:
        """CPU seconds of the whole family so far."""
        return proc.cpu_s(self.pid)

    def cpu_apart_s(self, argument: str) -> tuple[float, float]:
        """The same of those without such an argument in their command line, and of those with it."""
        return proc.cpu_apart_s(self.pid, argument)

    def rss_bytes(self) -> int:
        """Resident bytes of the whole family."""
        return proc.rss_bytes(self.pid)

    def log_tail(self, lines: int = 8) -> str:
        """The last lines it printed."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self) -> None:
        """SIGTERM to the process; SIGKILL to whatever of its family is left after a grace period."""
        pids = [stat.pid for stat in proc.family(self.pid, proc.read_all())]
        if self.running():
            self._process.terminate()
            deadline = time.monotonic() + STOP_S
            while time.monotonic() < deadline and self.running():
                time.sleep(0.05)
        # A process id in the family whose session is not ours any more has been given to somebody else.
        living = {stat.pid: stat.session for stat in proc.read_all()}
        for pid in pids:
            if pid != self.pid and living.get(pid) == self.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if self.running():
            self._process.kill()
        self._process.wait()
