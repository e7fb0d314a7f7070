"""What does the path through a gateway cost, and against its peers? One command, one table (`make bench-path`).

The gateway, with all its processes, has one core; wrk and a backend that always answers the same have the others.
Rounds go A B C A B C, so that a slow minute of the machine hits all alike, and medians are printed. CPU is the
gateway's own processes, from /proc. Each gateway must answer right before it is measured, and a round with one error
makes its row invalid.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import split

from loadtests.path import check, table, wrk
from loadtests.peers import commands
from loadtests.peers.environments import PeerError
from loadtests.processes import proc
from loadtests.processes.launched import Launched, free_port, on_cores

READY_S = 60.0
HOLD_S = 3.0
"""Between the chunks of a held stream; memory is watched for twice that, so that every stream relays one more."""


class BenchError(Exception):
    """The benchmark cannot run here; the message is for the user."""


@dataclass(slots=True)
class Gateway:
    """One row under measurement; `direct` has no process."""

    row: table.Row
    url: str
    process: Launched | None
    size: check.ReplySize | None = None
    workers: int = 1

    def cpu_s(self) -> float | None:
        return self.process.cpu_s() if self.process else None


class Bench:
    """Runs all phases against all gateways."""

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
        wanted: list[tuple[str, str, int]] = [(name, name, 1) for name in self.options.gateways]
        if self.options.workers > 1:
            wanted.append((f"penstock x{self.options.workers}", "penstock", self.options.workers))
        for label, name, workers in wanted:
            port = free_port()
            if name == "direct":
                self._admit(Gateway(table.Row(label), self.backend, None))
                continue
            try:
                command = commands.command(name, port, self.backend, self.work, workers)
            except PeerError as error:
                self.gateways.append(Gateway(table.Row(label, problems=[str(error)]), "", None))
                continue
            self._start(label, command, port, workers)
        for template in self.options.command:
            port = free_port()
            self._start(Path(split(template)[0]).name, commands.custom(template, port, self.backend), port)

    def _start(self, label: str, command: commands.Command, port: int, workers: int = 1) -> None:
        row = table.Row(label)
        try:
            process = self._launch(f"gateway-{len(self.gateways)}", command, self.gateway_cores)
        except OSError as error:
            row.problems.append(f"cannot be started: {error.strerror}")
            self.gateways.append(Gateway(row, "", None))
            return
        self._admit(Gateway(row, f"http://127.0.0.1:{port}", process, workers=workers))

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

    def _sound(self) -> list[Gateway]:
        return [gateway for gateway in self.gateways if not gateway.row.problems]

    def _wrk(self, gateway: Gateway, stream: bool, connections: int, duration_s: float) -> subprocess.Popen[str]:
        text = check.body(stream)
        argv = wrk.command(gateway.url, text, commands.API_KEY, connections, duration_s)
        return wrk.start(argv, self.load_cores)

    def _round(self, gateway: Gateway, stream: bool, connections: int, duration_s: float) -> table.Round | None:
        assert gateway.size is not None
        before, foreign = gateway.cpu_s(), self._foreign_s(gateway)
        result = wrk.finish(self._wrk(gateway, stream, connections, duration_s))
        after, foreign = gateway.cpu_s(), self._foreign_s(gateway) - foreign
        wrong = result.problem(gateway.size.stream_bytes if stream else gateway.size.plain_bytes)
        if wrong:
            gateway.row.problems.append(f"{'stream' if stream else 'plain'}: {wrong}")
            return None
        cpu_s = None if before is None or after is None else after - before
        return table.Round(result.duration_s, result.requests, cpu_s, result.p50_us, result.p99_us, foreign)

    def _foreign_s(self, gateway: Gateway) -> float:
        """CPU seconds of the machine less those of gateway, backend, wrk (a child that has ended) and ourselves."""
        ours = sum(os.times()[:4]) + self.processes[0].cpu_s() + (gateway.cpu_s() or 0.0)
        return proc.machine_busy_s() - ours

    def run_rounds(self) -> None:
        """Plain, streamed and latency rounds; within each, every gateway has its turn before any has its next."""
        options = self.options
        for gateway in self._sound():
            self._round(gateway, False, options.connections, 1)
            self._round(gateway, True, options.streams, 1)
        phases: list[tuple[str, bool, int]] = [
            ("plain", False, options.connections),
            ("stream", True, options.streams),
            ("latency", False, 4),
        ]
        for phase, stream, connections in phases:
            if phase not in options.phases:
                continue
            for number in range(options.rounds):
                for gateway in self._sound():
                    self.say(f"{phase} {number + 1}/{options.rounds} {gateway.row.name}")
                    # Each worker gets what a single one would: what it does depends on how much it finds to do at once.
                    each = connections if phase == "latency" else connections * gateway.workers
                    done = self._quiet_round(gateway, stream, each)
                    if done is not None:
                        getattr(gateway.row, phase).append(done)

    def _quiet_round(self, gateway: Gateway, stream: bool, connections: int) -> table.Round | None:
        """A round without neighbours: repeated up to `--tries` times, and the quietest taken when none was quiet."""
        best: table.Round | None = None
        for _ in range(self.options.tries):
            done = self._round(gateway, stream, connections, self.options.duration)
            if done is None:
                return None
            if best is None or done.foreign_s < best.foreign_s:
                best = done
            if best.foreign_s / best.duration_s <= table.NOISE:
                break
        return best

    def run_memory(self) -> None:
        """Open the streams through one gateway after the other; read its memory before, while and after."""
        for gateway in self._sound():
            if gateway.process is not None:
                self.say(f"{self.options.open_streams} open streams: {gateway.row.name}")
                self._hold(gateway, gateway.process, self.options.open_streams)

    def _hold(self, gateway: Gateway, process: Launched, count: int) -> None:
        self._round(gateway, False, self.options.connections, 1)
        before = process.rss_bytes()
        argv = [sys.executable, "-m", "loadtests.path.open_streams", "--url", gateway.url, "--key", commands.API_KEY]
        pipe = subprocess.PIPE
        with on_cores(self.load_cores):
            holder = subprocess.Popen(
                [*argv, "--count", str(count)], stdin=pipe, stdout=pipe, text=True, cwd=commands.ROOT
            )
        assert holder.stdout is not None
        opened = json.loads(holder.stdout.readline() or '{"open": 0, "failed": 0}')
        most = 0
        deadline = time.monotonic() + 2 * HOLD_S
        while time.monotonic() < deadline:
            most = max(most, process.rss_bytes())
            time.sleep(0.5)
        rest, _ = holder.communicate()
        chunks = json.loads(rest or '{"chunks": 0}')["chunks"]
        time.sleep(1)
        if opened["open"] != count or chunks < 2 * count:
            gateway.row.problems.append(f"{opened['open']} of {count} streams opened, {chunks} chunks in all")
        else:
            gateway.row.memory = table.Memory(count, before, most, process.rss_bytes())

    def run_soak(self) -> None:
        """Full load, half plain and half streamed, for minutes; growth of memory after the first fifth of the time."""
        for gateway in self._sound():
            process = gateway.process
            if process is None:
                continue
            length_s = self.options.soak * 60
            self.say(f"soak {self.options.soak:g} min: {gateway.row.name}")
            each = max(1, self.options.connections // 2)
            runs = [self._wrk(gateway, stream, each, length_s) for stream in (False, True)]
            started = time.monotonic()
            samples: list[tuple[float, float]] = []
            while any(run.poll() is None for run in runs):
                time.sleep(min(5.0, length_s / 20))
                since_s = time.monotonic() - started
                if length_s / 5 < since_s < length_s:
                    samples.append((since_s, process.rss_bytes() / 1024))
            for run in runs:
                result = wrk.finish(run)
                if result.errors:
                    gateway.row.problems.append("soak: " + result.problem(0))
            gateway.row.soak_kib_per_min = table.slope_per_min(samples)

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.stop()


def parse_options(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtests.path", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--gateways", default="penstock,bare,vllm-router,sglang-router,direct", help="of: " + ", ".join(commands.NAMES)
    )
    parser.add_argument(
        "--command",
        action="append",
        default=[],
        metavar="CMD",
        help="one more gateway; {port} and {backend} are filled in",
    )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="adds a row for penstock with N workers")
    parser.add_argument("--phases", default="plain,stream,latency", help="leave some out for a quick look")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--duration", type=float, default=5.0, metavar="S", help="seconds per round")
    parser.add_argument("--tries", type=int, default=1, help="repeat a round disturbed by other processes, so often")
    parser.add_argument("--connections", type=int, default=32, help="wrk connections of plain rounds")
    parser.add_argument("--streams", type=int, default=32, help="wrk connections of streamed rounds")
    parser.add_argument(
        "--step-ms", type=float, default=0.0, help="time between the chunks of a stream; 0: as fast as it goes"
    )
    parser.add_argument(
        "--open-streams", type=int, default=9000, metavar="N", help="streams held for the memory figure; 0: none"
    )
    parser.add_argument(
        "--soak", type=float, default=0.0, metavar="MINUTES", help="full load on each gateway, growth in KiB/min"
    )
    parser.add_argument("--gateway-cores", default="", metavar="LIST", help="such as 1 or 2,3; default: the last core")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every round and figure there")
    options = parser.parse_args(argv)
    options.phases = options.phases.split(",")
    options.gateways = [name for name in options.gateways.split(",") if name]
    unknown = [name for name in options.gateways if name not in commands.NAMES]
    if unknown:
        parser.error(f"no gateway is called {unknown[0]}; known: {', '.join(commands.NAMES)}")
    return options


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


def run(options: argparse.Namespace) -> list[table.Row]:
    """All phases. Whatever was started is stopped, also on an interrupt."""
    wrk.find()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if 2 * options.open_streams + 200 > most:
        raise BenchError(
            f"{options.open_streams} open streams need {2 * options.open_streams + 200} descriptors, {most} are allowed"
        )
    with tempfile.TemporaryDirectory(prefix="path-bench-") as work:
        bench = Bench(options, Path(work))
        try:
            bench.start_backend()
            bench.start_gateways()
            if options.rounds:
                bench.run_rounds()
            if options.open_streams:
                bench.run_memory()
            if options.soak:
                bench.run_soak()
        finally:
            bench.stop()
        return [gateway.row for gateway in bench.gateways]


def main(argv: list[str]) -> int:
    """Exit status 0 when every row is valid."""
    options = parse_options(argv)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        rows = run(options)
    except (BenchError, wrk.WrkError) as error:
        print(f"bench-path: {error}", file=sys.stderr)
        return 2
    direct = next((row for row in rows if row.name == "direct"), None)
    figures = [table.figures(row, direct) for row in rows]
    print(table.render(figures))
    # Builds differ: one without profile-guided optimisation, as version managers make, takes a sixth more.
    python = f"{platform.python_implementation()} {platform.python_version()} [{platform.python_compiler()}]"
    print(f"The gateways in Python ran on {python}, {Path(sys.base_prefix) / 'bin'}.")
    foreign = table.foreign_cores(rows)
    if foreign > table.NOISE:
        print(f"Other processes used {foreign:.2f} cores meanwhile: compare rows, and run again on a quiet machine.")
    if options.json:
        rounds = [asdict(row) for row in rows]
        options.json.write_text(
            json.dumps({"python": python, "foreign_cores": foreign, "figures": figures, "rounds": rounds}, indent=1)
            + "\n"
        )
    return 1 if any(row.problems for row in rows) else 0
