"""The processes of the chaos: two simulators, an engine that does everything wrong, the gateway and its workers."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from loadtests.chaos.streams import Stream, request_id
from loadtests.peers.commands import API_KEY, ROOT
from loadtests.processes import proc
from loadtests.processes.launched import Launched, free_port

READY_S = 60.0
GRACE_S = 5
LASTING_S, LOOKS = 3.0, 6
SHADOW = {"share": 1.0, "targets": [{"engine": "hostile", "model": "m"}], "concurrency": 8, "timeout_s": 5}
"""Copies go to the engine that does everything wrong."""
EDITS = {"temperature": {"set": 0}}
EXPERIMENT = {
    "unit": "request",
    "salt": "chaos",
    "arms": {
        "control": {},
        "wrong": {
            "targets": [{"engine": "hostile", "model": "m"}],
            "weight": 50,
            "params": {"temperature": {"set": 0}},
        },
    },
}
_SERIES = re.compile(r"^(\w+)(?:\{([^}]*)\})? (\S+)$", re.MULTILINE)


class ChaosError(Exception):
    """It cannot be run; the message is for the user."""


class Stage:
    """A context manager: everything runs inside it, and nothing of it afterwards."""

    def __init__(self, work: Path, program: str, workers: int, on_line: Callable[[str], None]) -> None:
        """`on_line` gets the request id of each access line, in a thread."""
        self.work, self.program, self.workers = work, program, workers
        self.port = free_port()
        self._ports = {"a": free_port(), "b": free_port()}
        self.engines: dict[str, Launched] = {}
        self.hostile: Launched
        self.stdout = Stream(lambda line: on_line(request_id(line)))
        self.stderr = Stream(lambda line: None)
        self._config = work / "penstock.yaml"
        self._process: subprocess.Popen[bytes] | None = None
        self._revision = 0

    def __enter__(self) -> Stage:
        self.work.mkdir(parents=True, exist_ok=True)
        try:
            for name in self._ports:
                self.start_engine(name)
            log = self.work / "hostile.log"
            argv = [sys.executable, "-m", "loadtests.chaos.hostile"]
            self.hostile = Launched(argv, os.sched_getaffinity(0), log, {"PYTHONPATH": str(ROOT)})
            self._until(lambda: log.read_text().strip().isdigit(), "the hostile engine")
            self._hostile_port = int(log.read_text())
            self.configure()
            argv = [self.program, "serve", "--config", str(self._config), "--port", str(self.port)]
            self._process = subprocess.Popen(
                [*argv, "--workers", str(self.workers)],
                stdin=subprocess.DEVNULL,
                stdout=self.stdout.write,
                stderr=self.stderr.write,
                start_new_session=True,
            )
            self.stdout.started()
            self.stderr.started()
            self._until(self._ready, "the gateway")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.stdout.unblock()
        self.stderr.unblock()
        if self._process is not None and self._process.poll() is None:
            for pid in self.worker_pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.kill()
            self._process.wait()
        for process in (*self.engines.values(), getattr(self, "hostile", None)):
            if process is not None:
                process.stop()

    # -- what happens ------------------------------------------------------------------------------------------------

    def start_engine(self, name: str) -> None:
        simulator = ["simulate", "--host", "127.0.0.1", "--port", str(self._ports[name]), "--model", "m"]
        simulator += ["--ttft-ms", "15", "--itl-ms", "4"]
        log = self.work / f"engine-{name}.log"
        self.engines[name] = Launched([self.program, *simulator], os.sched_getaffinity(0), log)

    def kill_engine(self, name: str) -> None:
        """As a machine dies."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.engines[name].pid, signal.SIGKILL)
        self.engines[name].stop()

    def configure(self, wrong: bool = False) -> None:
        """Write another configuration: the same one with other weights, or one that cannot be."""
        self._revision += 1
        replicas = [{"id": name, "url": f"http://127.0.0.1:{port}"} for name, port in self._ports.items()]
        hostile = {"id": "h", "url": f"http://127.0.0.1:{self._hostile_port}"}
        foreign = {"kind": "gemini", "base_url": hostile["url"], "api_key": "k-of-foreign"}
        timeouts: dict[str, Any] = {"connect_s": 2, "first_byte_s": 4, "idle_s": 4}
        target = {"engine": "nowhere" if wrong else "pool", "model": "m", "weight": self._revision}
        made: dict[str, Any] = {
            "server": {"grace_s": GRACE_S},
            "auth": {"keys": [{"id": "chaos", "sha256": hashlib.sha256(API_KEY.encode()).hexdigest()}]},
            "engines": {
                "pool": {"kind": "vllm", "replicas": replicas, "timeouts": timeouts},
                "hostile": {"kind": "vllm", "replicas": [hostile], "timeouts": timeouts},
                "foreign": foreign | {"timeouts": timeouts},
            },
            "models": {
                "chat": {"targets": [target]},
                "hostile": {"targets": [{"engine": "hostile", "model": "m"}]},
                "mixed": {"targets": [{"engine": "hostile", "model": "m"}, target]},
                "translated": {"targets": [{"engine": "foreign", "model": "m"}, target]},
                "vectors": {"targets": [{"engine": "foreign", "model": "m"}, target]},
                "heard": {"targets": [{"engine": "hostile", "model": "m"}, target]},
                "shadowed": {"targets": [target], "shadow": SHADOW},
                "tried": {"targets": [target], "experiment": EXPERIMENT},
            },
            "health": {"interval_s": 1, "timeout_s": 0.5},
            "telemetry": {"access_log": "stdout"},
            "data_dir": str(self.work / "data"),
        }
        partial = self._config.with_suffix(".partial")
        partial.write_text(json.dumps(made, indent=1))  # JSON is YAML
        partial.replace(self._config)

    def reload(self) -> None:
        os.kill(self.pid, signal.SIGHUP)

    def stop(self) -> tuple[float, int | None]:
        """SIGTERM, and how long it took to end and how it did; None when it had to be killed."""
        assert self._process is not None
        began = time.monotonic()
        self._process.terminate()
        try:
            code = self._process.wait(4 * GRACE_S)
        except subprocess.TimeoutExpired:
            return time.monotonic() - began, None
        return time.monotonic() - began, code

    # -- what is seen ------------------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def worker_pids(self) -> list[int]:
        """Those of the gateway, by age; with one worker there is none."""
        return sorted(stat.pid for stat in proc.family(self.pid, proc.read_all()) if is_worker(stat.pid))

    def until_all_workers(self, timeout_s: float) -> None:
        """Return when there are as many as there should be, or the time is over."""
        deadline = time.monotonic() + timeout_s
        while self.workers > 1 and len(self.worker_pids()) < self.workers and time.monotonic() < deadline:
            time.sleep(0.2)

    def rss_mib(self) -> float:
        return proc.rss_bytes(self.pid) / 2**20

    def descriptors(self) -> dict[str, int]:
        """Of the whole family, by kind, those that stay open for `LASTING_S`, but for connections to engines, which are
        kept on purpose. A leak stays; the pipe to a reader of the configuration, or a connection that is about to be
        closed, does not."""
        upstream = {self._hostile_port, *self._ports.values()}
        found: set[Open] | None = None
        for number in range(LOOKS):
            time.sleep(LASTING_S / (LOOKS - 1) if number else 0.0)
            now = {one for pid in (self.pid, *self.worker_pids()) for one in descriptors(pid, upstream)}
            found = now if found is None else found & now
        return dict(Counter([one.kind for one in found or ()]))

    def metric(self, name: str, labels: str = "") -> float:
        """The sum of a series, over all label values that hold `labels`. Raises OSError when nobody answers."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/metrics")
        request.add_header("authorization", f"Bearer {API_KEY}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return summed(answer.read().decode(), name, labels)

    def health_s(self) -> float:
        """How long GET /health takes; ten seconds when it does not come."""
        began = time.monotonic()
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=10).close()
        return time.monotonic() - began

    # ----------------------------------------------------------------------------------------------------------------

    def _ready(self) -> bool:
        if not self.running():
            raise ChaosError(f"the gateway ended: {self.stderr.last.decode(errors='replace')}")
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ready", timeout=1).close()
        except OSError:
            return False
        return len(self.worker_pids()) == self.workers or self.workers == 1

    def _until(self, true: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + READY_S
        while not true():
            if time.monotonic() > deadline:
                raise ChaosError(f"{what} is not there after {READY_S:g} s")
            time.sleep(0.05)


def summed(text: str, name: str, labels: str = "") -> float:
    """Of an exposition."""
    return sum(
        float(value) for found, said, value in _SERIES.findall(text) if found == name and (not labels or labels in said)
    )


def is_worker(pid: int, root: Path = proc.PROC) -> bool:
    """Whether this is a worker; other children (the reader of a configuration) come and go."""
    try:
        return b"gateway.workers" in (root / str(pid) / "cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return False


class Open(NamedTuple):
    """A descriptor. Two that are equal at different times are the same one."""

    pid: int
    number: int
    link: str
    kind: str


def descriptors(pid: int, upstream: set[int], root: Path = proc.PROC) -> set[Open]:
    """Open descriptors of a process, less its connections to these ports. None for a process that is gone."""
    place = root / str(pid)
    found = set()
    try:
        ports = {
            fields[9]: int(fields[2].rpartition(":")[2], 16)
            for line in (place / "net" / "tcp").read_text().splitlines()[1:]
            if (fields := line.split())
        }
        for entry in (place / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # it was closed meanwhile
                link = str(entry.readlink())
                port = ports.get(link.removeprefix("socket:[").removesuffix("]"))
                if port not in upstream:
                    kind = link.partition(":")[0] if ":" in link else "file"
                    tcp = "listening" if port == 0 else "tcp"
                    found.add(Open(pid, int(entry.name), link, kind if port is None else tcp))
    except (FileNotFoundError, ProcessLookupError):
        return set()
    return found
