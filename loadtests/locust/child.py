"""The measuring process under a Locust process: the same `client/worker.py` as ever, read line by line by a greenlet.

Importing locust replaces sockets, threads and subprocesses of its process by cooperative ones, whose clock is that of
gevent's loop. So nothing is measured there: it starts, stops and shows. No import of locust in this file: it works on
the plain subprocess module, which Locust's process has replaced before.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic_ns

import msgspec

from loadtests.client.worker import Progress, Ready
from loadtests.schedule.plan import Plan

ROOT = Path(__file__).resolve().parents[2]
STOP_S = 10.0


class ChildError(Exception):
    """The measuring process could not be started; the message is for the user."""


class Child:
    """One worker of a plan. `start`, `go` and `follow` in this order; `stop` at any time."""

    def __init__(self, plan: Plan, worker: int, out: Path) -> None:
        self.plan, self.worker, self.out = plan, worker, out
        self._process: subprocess.Popen[bytes] | None = None
        self._errors = out / f"worker-{worker}.log"

    def start(self) -> Ready:
        """Start it and wait until it is ready. Raises ChildError with its last words."""
        self.out.mkdir(parents=True, exist_ok=True)
        path = self.out / f"plan-{self.worker}.json"
        path.write_bytes(self.plan.to_json())
        argv = [sys.executable, "-P", "-m", "loadtests.client.worker", str(path), str(self.out)]
        argv += ["--worker", str(self.worker), "--coordinated"]
        search = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": search},
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            said = self._errors.read_text(errors="replace").strip().splitlines()
            raise ChildError(said[-1] if said else f"worker {self.worker} ended without a word")
        return msgspec.json.decode(line, type=Ready)

    def go(self, in_ns: int) -> None:
        """The schedule begins in so many nanoseconds."""
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(b"%d\n" % (monotonic_ns() + in_ns))
            self._process.stdin.flush()

    def follow(self, on_progress: Callable[[Progress], None]) -> int:
        """Pass on each report until it ends; its exit status."""
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            on_progress(msgspec.json.decode(line, type=Progress))
        return self._process.wait()

    def stop(self) -> None:
        """Send nothing more; give it some seconds to write its records."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
