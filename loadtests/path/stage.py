"""The gateways under measurement, started one after the other, each asked both questions before it is let in."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from shlex import split
from typing import Final

from loadtests.path import check, table
from loadtests.path.table import Cpu
from loadtests.peers import commands
from loadtests.peers.environments import PeerAbsent, PeerError
from loadtests.processes.launched import Launched, free_port

READY_S = 120.0
"""LiteLLM took more than 60 on a machine that had other work."""
HOLD_S = 3.0
"""Between the chunks of a held stream; memory is watched for twice that, so that every stream relays one more."""


WRITER = "gateway.store"
"""In the command line of the process that writes a Penstock's records."""


class BenchError(Exception):
    """The benchmark cannot run here; the message is for the user."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How a gateway's rounds differ from the others'.

    One that takes seconds for what others do in milliseconds would have answered nothing when a short round of many
    streams ends. CPU per stream is compared, which that changes little: what is under way at the end of a round counts
    to it, and of few streams that is little.
    """

    streams: int | None = None
    """At most so many connections in rounds of streams; None as many as the others."""
    least_s: int = 1
    """A round takes so many seconds, or longer."""

    def of(self, stream: bool, connections: int, duration_s: float) -> tuple[int, float]:
        """The connections and seconds of a round that others take so many of."""
        most = self.streams if stream and self.streams is not None else connections
        return min(connections, most), max(duration_s, self.least_s)


USUAL: Final = Pace()
PACES: Final = {"litellm": Pace(2, 12), "litellm-translated": Pace(2, 12)}
"""A stream of 100 events takes LiteLLM about 0.3 s of a core: 32 at once are ten seconds."""


@dataclass(slots=True)
class Gateway:
    """One row under measurement; `direct` has no process."""

    row: table.Row
    url: str
    process: Launched | None
    size: check.ReplySize | None = None
    workers: int = 1
    pace: Pace = USUAL

    def cpu(self) -> Cpu | None:
        return Cpu(*self.process.cpu_apart_s(WRITER)) if self.process else None


class Stage:
    """The backend, the gateways in front of it, and the cores each side has."""

    def __init__(self, options: argparse.Namespace, work: Path) -> None:
        self.options = options
        self.work = work
        allowed = sorted(os.sched_getaffinity(0))
        if len(allowed) < 2:
            raise BenchError("this benchmark needs two cores: one for the gateway, one for load and backend")
        chosen = {int(core) for core in options.gateway_cores.split(",")} if options.gateway_cores else {allowed[-1]}
        self.gateway_cores = chosen & set(allowed)
        self.load_cores = set(allowed) - chosen
        if not self.gateway_cores or not self.load_cores:
            raise BenchError(f"--gateway-cores must leave some of the cores {allowed} to the load, and name some")
        self.processes: list[Launched] = []
        self.gateways: list[Gateway] = []
        self.left_out: list[str] = []
        """A sentence for each row that cannot be had here and need not be."""
        self.backend = ""

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def start_backend(self) -> None:
        """Start the fixed-reply backend and learn its port."""
        argv = [sys.executable, "-m", "loadtests.path.backend", "--hold-s", str(HOLD_S)]
        argv += ["--step-ms", str(self.options.step_ms)]
        backend = self._launch("backend", commands.Command(argv, {"PYTHONPATH": str(commands.ROOT)}), self.load_cores)
        self._until(lambda: backend.log.read_text().strip().isdigit(), backend)
        self.backend = f"http://127.0.0.1:{backend.log.read_text().strip()}"

    def start_gateways(self) -> None:
        """Start each, and check its answers; one that fails keeps its row, with the reason."""
        wanted = [(commands.label(name), name, 1) for name in self.options.gateways]
        if self.options.workers > 1:
            wanted.append((f"penstock x{self.options.workers}", "penstock", self.options.workers))
        for label, name, workers in wanted:
            port = free_port()
            if name == "direct":
                self._admit(Gateway(table.Row(label), self.backend, None))
                continue
            try:
                command = commands.command(name, port, self.backend, self.work, workers, self.options.compiled_python)
            except PeerAbsent as error:
                self.left_out.append(f"{label} is left out: {error}")
                continue
            except PeerError as error:
                self.gateways.append(Gateway(table.Row(label, problems=[str(error)]), "", None))
                continue
            self._start(label, command, port, workers, PACES.get(name, USUAL))
        for template in self.options.command:
            port = free_port()
            self._start(Path(split(template)[0]).name, commands.custom(template, port, self.backend), port)

    def _start(self, label: str, command: commands.Command, port: int, workers: int = 1, pace: Pace = USUAL) -> None:
        row = table.Row(label)
        try:
            process = self._launch(f"gateway-{len(self.gateways)}", command, self.gateway_cores)
        except OSError as error:
            row.problems.append(f"cannot be started: {error.strerror}")
            self.gateways.append(Gateway(row, "", None))
            return
        self._admit(Gateway(row, f"http://127.0.0.1:{port}", process, workers=workers, pace=pace))

    def _launch(self, log: str, command: commands.Command, cores: set[int]) -> Launched:
        process = Launched(command.argv, cores, self.work / f"{log}.log", command.env)
        self.processes.append(process)
        return process

    def _until(self, ready: Callable[[], bool], process: Launched) -> None:
        deadline = time.monotonic() + READY_S
        while not ready():
            if not process.running() or time.monotonic() > deadline:
                raise BenchError(f"{' '.join(process.argv[:3])} ... did not start:\n{process.log_tail()}")
            time.sleep(0.05)

    def _admit(self, gateway: Gateway) -> None:
        """Wait until both questions are answered right."""
        self.say(f"starting {gateway.row.name}")
        self.gateways.append(gateway)
        wrong = ""

        def ready() -> bool:
            nonlocal wrong
            try:
                gateway.size = check.check(gateway.url, commands.API_KEY)
            except check.CheckError as error:
                wrong = str(error)
                return False
            return True

        if gateway.process is None:
            ready()
        else:
            try:
                self._until(ready, gateway.process)
            except BenchError as error:
                self.say(str(error))
        if gateway.size is None:
            gateway.row.problems.append(wrong or "it ended before it answered")

    def sound(self) -> list[Gateway]:
        return [gateway for gateway in self.gateways if not gateway.row.problems]

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.stop()
