"""A PostgreSQL of a test's own: Debian's package, on a free port of loopback, in a directory that goes with it."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from loadtests.processes.launched import free_port

MISSING = "PostgreSQL is not installed; on Debian: apt-get install postgresql"
START_S = 60.0
PLACES = Path("/usr/lib/postgresql")


class Missing(Exception):
    """There is no PostgreSQL here."""


def program(name: str) -> str:
    """The path of one of its programs. Raises Missing."""
    beside = sorted(PLACES.glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4])) if PLACES.is_dir() else []
    found = str(beside[-1]) if beside else shutil.which(name)
    if found is None:
        raise Missing(MISSING)
    return found


class Server:
    """One server; it may be killed and started again on what it has."""

    def __init__(self, directory: Path, *, durable: bool = False) -> None:
        """`durable` waits for the disk at each commit, as a server does that matters. Raises Missing."""
        self._data = directory / "data"
        self._log = directory / "log"
        self._durable = durable
        self._process: subprocess.Popen[bytes] | None = None
        # The server refuses to run as root.
        account = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        self._as = (
            ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"] if account else []
        )
        if account is not None:
            os.chown(directory, account.pw_uid, account.pw_gid)
        initdb = [program("initdb"), "--pgdata", str(self._data), "--username", "penstock", "--auth", "trust"]
        made = subprocess.run(
            [*self._as, *initdb, "--no-sync", "--encoding", "UTF8", "--locale", "C"], capture_output=True, check=False
        )
        assert made.returncode == 0, made.stderr.decode()
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"postgresql://penstock@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": "", "jit": "off"}
        if not self._durable:
            settings |= {"fsync": "off"}  # what is committed outlives a kill, though not the machine
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *self._as,
                    program("postgres"),
                    "-D",
                    str(self._data),
                    *(f"--{key}={value}" for key, value in settings.items()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_S
        ready = [program("pg_isready"), "--quiet", "--host", "127.0.0.1", "--port", str(self.port)]
        while subprocess.run(ready, check=False).returncode != 0:
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.05)

    def kill(self) -> None:
        """As `kill -9` does it; its children end by themselves when they see that."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGINT)

    def _end(self, by: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(by)
            process.wait(START_S)


@contextlib.contextmanager
def running(*, durable: bool = False) -> Iterator[Server]:
    """A new server, for as long as the block lasts. Raises Missing."""
    directory = Path(tempfile.mkdtemp(prefix="penstock-postgresql-"))
    try:
        server = Server(directory, durable=durable)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
