"""What does the path through a gateway cost, and against its peers? One command, one table (`make bench-path`).

The gateway, with all its processes, has one core; wrk and a backend that always answers the same have the others.
Rounds go A B C A B C, so that a slow minute of the machine hits all alike, and medians are printed. CPU is the
gateway's own processes, from /proc, with the one that writes records apart. Each gateway must answer right before it is
measured, and a round with one error makes its row invalid.
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
from dataclasses import asdict
from pathlib import Path

from loadtests.path import check, table, tail, wrk
from loadtests.path.options import parse_options
from loadtests.path.stage import HOLD_S, BenchError, Gateway, Stage
from loadtests.path.table import Cpu
from loadtests.peers import commands
from loadtests.processes import proc
from loadtests.processes.launched import Launched, on_cores
from loadtests.processes.machine import alone

BASE = "vllm-router"
"""The peer whose tail is the bar."""


SETTLE_S = 0.8
"""Longer than the writer waits before it looks whether there is more (`gateway.store.writing.writer.SWEEP_S`)."""
SETTLED = 0.03
MOST_SETTLING_S = 25.0


def at_rest(cpu: Callable[[], Cpu | None], sleep: Callable[[float], None] = time.sleep) -> Cpu | None:
    """CPU of a gateway once it does nothing any more: what it put off (records that wait for a file to be read) is part
    of its round, and must not be part of the next one's."""
    before = cpu()
    if before is None:
        return None
    for _ in range(int(MOST_SETTLING_S / SETTLE_S)):
        sleep(SETTLE_S)
        after = cpu()
        if after is None:
            return None
        if after.since(before).all_s < SETTLED * SETTLE_S:
            return after
        before = after
    return before


class Bench:
    """Runs all phases against all gateways of a stage."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.options = stage.options

    def _wrk(self, gateway: Gateway, stream: bool, connections: int, duration_s: float) -> subprocess.Popen[str]:
        text = check.body(stream)
        argv = wrk.command(gateway.url, text, commands.API_KEY, connections, duration_s)
        return wrk.start(argv, self.stage.load_cores)

    def _round(self, gateway: Gateway, stream: bool, connections: int, duration_s: float) -> table.Round | None:
        assert gateway.size is not None
        connections, duration_s = gateway.pace.of(stream, connections, duration_s)
        before, foreign = gateway.cpu(), self._foreign_s(gateway)
        result = wrk.finish(self._wrk(gateway, stream, connections, duration_s))
        foreign = self._foreign_s(gateway) - foreign
        after = at_rest(gateway.cpu)
        wrong = result.problem(gateway.size.stream_bytes if stream else gateway.size.plain_bytes)
        if wrong:
            gateway.row.problems.append(f"{'stream' if stream else 'plain'}: {wrong}")
            return None
        used = None if before is None or after is None else after.since(before)
        return table.Round(result.duration_s, result.requests, used, result.p50_us, result.p99_us, foreign)

    def _foreign_s(self, gateway: Gateway) -> float:
        """CPU seconds of the machine less those of gateway, backend, wrk (a child that has ended) and ourselves."""
        theirs = gateway.cpu() or Cpu(0.0)
        return proc.machine_busy_s() - sum(os.times()[:4]) - self.stage.processes[0].cpu_s() - theirs.all_s

    def run_rounds(self) -> None:
        """Plain, streamed and latency rounds; within each, every gateway has its turn before any has its next."""
        options = self.options
        for gateway in self.stage.sound():
            self._round(gateway, False, options.connections, 1)
            self._round(gateway, True, options.streams, 1)
        for phase, stream, connections in (("plain", False, options.connections), ("stream", True, options.streams)):
            for number in range(options.rounds if phase in options.phases else 0):
                for gateway in self.stage.sound():
                    self.stage.say(f"{phase} {number + 1}/{options.rounds} {gateway.row.name}")
                    # Each worker gets what a single one would: what it does depends on how much it finds to do at once.
                    done = self._quiet_round(gateway, stream, connections * gateway.workers)
                    if done is not None:
                        (gateway.row.stream if stream else gateway.row.plain).append(done)
        for number in range(options.rounds if "latency" in options.phases else 0):
            for connections in options.latency_connections:
                for gateway in self.stage.sound():
                    self.stage.say(f"latency {number + 1}/{options.rounds} at {connections}: {gateway.row.name}")
                    done = self._quiet_round(gateway, False, connections)
                    if done is not None:
                        gateway.row.latency.setdefault(connections, []).append(done)

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
        for gateway in self.stage.sound():
            if gateway.process is not None:
                self.stage.say(f"{self.options.open_streams} open streams: {gateway.row.name}")
                self._hold(gateway, gateway.process, self.options.open_streams)

    def _hold(self, gateway: Gateway, process: Launched, count: int) -> None:
        self._round(gateway, False, self.options.connections, 1)
        before = process.rss_bytes()
        argv = [sys.executable, "-m", "loadtests.path.open_streams", "--url", gateway.url, "--key", commands.API_KEY]
        pipe = subprocess.PIPE
        with on_cores(self.stage.load_cores):
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
        for gateway in self.stage.sound():
            process = gateway.process
            if process is None:
                continue
            length_s = self.options.soak * 60
            self.stage.say(f"soak {self.options.soak:g} min: {gateway.row.name}")
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


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


def run(options: argparse.Namespace) -> Stage:
    """All phases. Whatever was started is stopped, also on an interrupt."""
    wrk.find()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if 2 * options.open_streams + 200 > most:
        raise BenchError(
            f"{options.open_streams} open streams need {2 * options.open_streams + 200} descriptors, {most} are allowed"
        )
    with alone(), tempfile.TemporaryDirectory(prefix="path-bench-") as work:
        stage = Stage(options, Path(work))
        bench = Bench(stage)
        try:
            stage.start_backend()
            stage.start_gateways()
            if options.rounds:
                bench.run_rounds()
            if options.open_streams:
                bench.run_memory()
            if options.soak:
                bench.run_soak()
        finally:
            stage.stop()
        return stage


def main(argv: list[str]) -> int:
    """Exit status 0 when every row is valid."""
    options = parse_options(argv)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        stage = run(options)
    except (BenchError, wrk.WrkError) as error:
        print(f"bench-path: {error}", file=sys.stderr)
        return 2
    rows = [gateway.row for gateway in stage.gateways]
    by_name = {row.name: row for row in rows if not row.problems}
    figures = [table.figures(row, by_name.get("direct"), by_name.get("nginx")) for row in rows]
    print(table.render(figures))
    tails = tail.against(by_name, BASE)
    logs, stores = tail.log_on_against_off(by_name), tail.store_on_against_off(by_name)
    for line in [*tail.lines(tails, BASE), *tail.log_lines(logs), *tail.store_lines(stores), *stage.left_out]:
        print(line)
    # Builds differ: one without profile-guided optimisation, as version managers make, takes a sixth more.
    python = f"{platform.python_implementation()} {platform.python_version()} [{platform.python_compiler()}]"
    print(f"The gateways in Python ran on {python}, {Path(sys.base_prefix) / 'bin'}.")
    foreign = table.foreign_cores(rows)
    if foreign > table.NOISE:
        print(f"Other processes used {foreign:.2f} cores meanwhile: compare rows, and run again on a quiet machine.")
    if options.json:
        found = {"python": python, "foreign_cores": foreign, "figures": figures}
        found |= {"tail": [asdict(one) for one in tails], "log_on_less_off": [asdict(one) for one in logs]}
        found |= {"store_on_less_off": [asdict(one) for one in stores]}
        found |= {"rounds": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    return 1 if any(row.problems for row in rows) else 0
