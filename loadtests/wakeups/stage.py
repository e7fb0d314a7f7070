"""A gateway whose engines are launched simulators that follow their traffic, from zero or as a reload says."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from typing import Any

from loadtests.chaos.stage import summed
from loadtests.chaos.streams import Stream
from loadtests.peers.commands import API_KEY
from loadtests.processes.launched import free_port
from loadtests.stall import hook
from loadtests.stall.hook import Board
from loadtests.wakeups.starts import Starts

READY_S = 60.0
STOP_S = 60.0
ENGINE = {"kind": "simulator", "ttft_ms": 5, "itl_ms": 5, "tokens": 20}
CHANGING = "changing"
"""The engine whose replicas are changed."""


class WakeupsError(Exception):
    """It cannot be run; the message is for the user."""


def woken(number: int) -> str:
    """The engine, and the model, of this number."""
    return f"woken-{number}"


class Stage:
    """A context manager: the gateway runs inside it."""

    def __init__(self, work: Path, program: str, models: int, startup_s: float, *, watched: bool = False) -> None:
        """`watched`: every turn of its loop is timed, which keeps a core busy."""
        work.mkdir(exist_ok=True)
        self.board = Board(work / "board") if watched else None
        self.port = free_port()
        self.starts = Starts(time.monotonic)
        self._program = program
        self._models = models
        self._startup_s = startup_s
        self._config = work / "penstock.yaml"
        self._data = work / "data"
        self._log = Stream(self.starts.line)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Stage:
        self.configure(0)
        program = [self._program]
        if self.board is not None:  # as `loadtests.stall.stage.Watched` does
            shebang = Path(self._program).read_text(errors="replace").splitlines()[0].removeprefix("#!").strip()
            program = [shebang, "-P", hook.__file__, str(self._config.with_name("board")), self._program]
        argv = [*program, "serve", "--config", str(self._config), "--port", str(self.port)]
        with (self._config.parent / "access.log").open("wb") as access:
            self._process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=access, stderr=self._log.write, start_new_session=True
            )
        self._log.started()
        deadline_s = time.monotonic() + READY_S
        while not self._ready():
            if time.monotonic() > deadline_s or self._process.poll() is not None:
                last = self._log.last.decode(errors="replace")
                self.__exit__()
                raise WakeupsError(f"the gateway does not come to serve: {last}")
            time.sleep(0.05)
        return self

    def __exit__(self, *exc: object) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def configure(self, replicas: int) -> None:
        """Write the configuration, in which so many replicas of `CHANGING` are wanted."""
        asleep = {"min": 0, "max": 1, "zero_after_s": 0.01, "startup_s": 1 + self._startup_s}
        engines: dict[str, Any] = {
            woken(number): {**ENGINE, "startup_delay_s": self._startup_s, "autoscale": asleep}
            for number in range(self._models)
        }
        held = {"min": replicas, "max": max(1, replicas), "zero_after_s": 3600}
        engines[CHANGING] = {**ENGINE, "autoscale": held}
        digest = hashlib.sha256(API_KEY.encode()).hexdigest()
        key = {"id": "bench", "sha256": digest, "admin": True, "metrics": True}
        document = {
            "auth": {"keys": [key]},
            "engines": engines,
            "models": {name: {"targets": [{"engine": name}]} for name in engines},
            "telemetry": {"access_log": "off"},
            "data_dir": str(self._data),
        }
        partial = self._config.with_suffix(".partial")
        partial.write_text(json.dumps(document))  # JSON is YAML
        partial.replace(self._config)

    def reload(self) -> None:
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGHUP)

    def standing(self) -> dict[str, dict[str, Any]]:
        """How each engine stands, by its name."""
        told = json.loads(self._get("/admin/v1/autoscale"))
        return {one["engine"]: one for one in told["data"]}

    def left(self) -> float:
        """Requests that the gateway takes to be in flight, or to wait."""
        text = self._get("/metrics").decode()
        return summed(text, "penstock_in_flight") + summed(text, "penstock_queue_tokens")

    def _get(self, path: str) -> bytes:
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}")
        request.add_header("authorization", f"Bearer {API_KEY}")
        with urllib.request.urlopen(request, timeout=30) as answer:
            told: bytes = answer.read()
        return told

    def _ready(self) -> bool:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ready", timeout=1).close()
        except OSError:
            return False
        return True
