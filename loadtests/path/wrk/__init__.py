"""Runs wrk, the load generator, and reads its figures.

wrk is used because it out-runs every gateway here on a fraction of a core. It keeps latency in buckets of 1 us. It is a
closed loop, and corrects its percentiles for that (a reply that takes longer than twice the mean also counts as the
replies that its connection did not get to ask for), so a tail is rather over- than understated; direct and gateway are
treated alike.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

from loadtests.processes.launched import on_cores

SCRIPT = Path(__file__).with_name("chat.lua")
MISSING = "this benchmark needs wrk: apt-get install wrk (Debian, Ubuntu) or brew install wrk (macOS)"
_ERRORS = ("connect", "read", "write", "status", "timeout")


class WrkError(Exception):
    """wrk is missing, or ended without its figures."""


@dataclass(frozen=True, slots=True)
class WrkResult:
    """One round, as wrk saw it."""

    duration_s: float
    requests: int
    received_bytes: int
    p50_us: float
    p99_us: float
    errors: dict[str, int]
    """Counts that are not zero, by wrk's names: connect, read, write, status (above 399), timeout."""

    def problem(self, reply_bytes: int) -> str:
        """Why this round counts for nothing, or an empty string. `reply_bytes` is the body of one whole reply."""
        if self.errors:
            return "wrk counted " + ", ".join(f"{count} {kind} errors" for kind, count in self.errors.items())
        if not self.requests:
            return "no request was answered"
        if self.received_bytes < self.requests * reply_bytes:
            return f"{self.received_bytes / self.requests:.0f} bytes per reply, a whole one has {reply_bytes}"
        return ""


def find() -> str:
    """Path of wrk. Raises WrkError that says how to get it."""
    path = shutil.which("wrk")
    if path is None:
        raise WrkError(MISSING)
    return path


def parse(output: str) -> WrkResult:
    """Read the JSON line that chat.lua prints. Raises WrkError with wrk's last line when there is none."""
    lines = output.strip().splitlines()
    for line in reversed(lines):
        if line.startswith("{"):
            figures = json.loads(line)
            return WrkResult(
                duration_s=figures["duration_us"] / 1e6,
                requests=figures["requests"],
                received_bytes=figures["bytes"],
                p50_us=figures["p50_us"],
                p99_us=figures["p99_us"],
                errors={kind: figures[kind] for kind in _ERRORS if figures[kind]},
            )
    raise WrkError("wrk printed no figures: " + (lines[-1] if lines else "no output"))


def command(url: str, body: str, key: str, connections: int, duration_s: float) -> list[str]:
    """The command line of one round on one thread."""
    shape = ["-t1", f"-c{connections}", f"-d{duration_s:g}s", "--timeout", "10s", "-s", str(SCRIPT)]
    return [find(), *shape, f"{url}/v1/chat/completions", "--", body, key]


def start(argv: list[str], cores: Set[int]) -> subprocess.Popen[str]:
    """Start a round pinned to `cores`; read it with `finish`."""
    with on_cores(cores):
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process: subprocess.Popen[str]) -> WrkResult:
    """Wait for a round started by `start`."""
    output, _ = process.communicate()
    return parse(output)
