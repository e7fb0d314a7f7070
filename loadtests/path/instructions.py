"""How many instructions the gateway takes for one request: a figure that no neighbour on the machine disturbs.

    python -m loadtests.path.instructions                  # plain, with the four headers of wrk
    python -m loadtests.path.instructions --stream         # a stream, and each of its 100 chunks
    python -m loadtests.path.instructions --sdk            # with the seventeen of openai-python
    python -m loadtests.path.instructions --experiment     # of a model with two arms, by the user that the body names
    python -m loadtests.path.instructions --without store  # the path alone: its writer is another process
    python -m loadtests.path.instructions --compiled       # the compiled build, after `make install-compiled`
    python -m loadtests.path.instructions --keep DIR       # see: callgrind_annotate --inclusive=yes DIR/*

The gateway runs under callgrind, which counts only while it is told to; backend and client do not. One kept connection
asks N times; what the gateway does in as many seconds without requests (probes, scrapes) is taken off. Chunks of a
stream come far enough apart to be read one by one. Runs on a busy machine differ by some 2 %.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests.path import check
from loadtests.path.backend import CHUNKS
from loadtests.peers import commands
from loadtests.peers.environments import PeerAbsent
from loadtests.processes.launched import Launched, free_port

START_S = 120.0
WARM_UP = 300
IDLE_S = 3.0
STEP_MS = 2.0  # a compiled gateway takes .2 ms for a chunk under callgrind, the sources .5
SDK = (
    b"accept-encoding: gzip, deflate\r\nconnection: keep-alive\r\naccept: application/json\r\n"
    b"user-agent: OpenAI/Python 2.8.0\r\nx-stainless-lang: python\r\nx-stainless-package-version: 2.8.0\r\n"
    b"x-stainless-os: Linux\r\nx-stainless-arch: x64\r\nx-stainless-runtime: CPython\r\n"
    b"x-stainless-runtime-version: 3.11.7\r\nx-stainless-async: false\r\nx-stainless-retry-count: 0\r\n"
    b"x-stainless-read-timeout: 600\r\n"
)


EXPERIMENT = {"salt": "s1", "unit": "user", "arms": {"control": {}, "canary": {"weight": 50}}}


class CountError(Exception):
    """There is no figure; the message is for the user."""


def request(port: int, more: bytes = b"", stream: bool = False, user: str = "") -> bytes:
    """The benchmark's chat request with these header lines more, of a user if one is named."""
    asked = json.loads(check.body(stream))
    body = json.dumps(asked | {"user": user} if user else asked).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:%d\r\nauthorization: Bearer %b\r\n" % (
        port,
        commands.API_KEY.encode(),
    )
    return b"%b%bcontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (head, more, len(body), body)


def read_answer(client: socket.socket) -> None:
    """Read one whole answer. Raises CountError for one that is not a 200, or is cut off."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += _more(client)
    head, _, body = got.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    if lines[0].split(b" ")[1:2] == [b"200"] and b"transfer-encoding: chunked" in lines:
        while not body.endswith(b"0\r\n\r\n"):
            body += _more(client)
        return
    lengths = [int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:")]
    if lines[0].split(b" ")[1:2] != [b"200"] or len(lengths) != 1:
        raise CountError(f"the gateway answered {head[:200]!r}")
    while len(body) < lengths[0]:
        body += _more(client)


def _more(client: socket.socket) -> bytes:
    data = client.recv(65536)
    if not data:
        raise CountError("the gateway closed the connection")
    return data


def total(dumps: list[str]) -> int:
    """The instructions in these dumps of callgrind, one for each thread."""
    return sum(int(line.split()[1]) for dump in dumps for line in dump.splitlines() if line.startswith("totals:"))


@dataclass(frozen=True)
class Look:
    """What was counted between two looks."""

    dumps: set[Path]
    seconds: float

    def instructions(self) -> int:
        return total([path.read_text() for path in self.dumps])


class Counted:
    """A gateway under callgrind."""

    def __init__(self, python: Path, work: Path, backend: str, *, experiment: bool = False, without: str = "") -> None:
        valgrind = shutil.which("valgrind")
        if valgrind is None:
            raise CountError("this needs valgrind: apt-get install valgrind")
        self.port = free_port()
        self._work = work
        self._read: set[Path] = set()
        self._looked_s = 0.0
        config = work / "penstock.yaml"
        written: dict[str, Any] = commands.penstock_config(backend, work, without)
        if experiment:
            for model in written["models"].values():
                model["experiment"] = EXPERIMENT
        config.write_text(json.dumps(written))
        argv = [valgrind, "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={work}/callgrind.%p"]
        # -P: not the sources of the working directory, which would hide what is installed beside this Python.
        argv += ["--separate-threads=yes", str(python), "-P", "-m", "gateway", "serve", "--config", str(config)]
        argv += ["--host", "127.0.0.1", "--port", str(self.port)]
        self.process = Launched(argv, os.sched_getaffinity(0), work / "gateway.log", {"PYTHONHASHSEED": "0"})

    def control(self, *arguments: str) -> None:
        argv = ["callgrind_control", *arguments, str(self.process.pid)]
        done = subprocess.run(argv, check=False, capture_output=True, text=True)
        if done.returncode:
            raise CountError(f"callgrind_control {' '.join(arguments)}: {done.stderr or done.stdout}")

    def since(self) -> Look:
        """What it did since the last look."""
        self.control("--dump")
        before, self._looked_s = self._looked_s, time.monotonic()
        new = set(self._work.glob("callgrind.*")) - self._read
        self._read |= new
        return Look(new, self._looked_s - before)

    def until_ready(self) -> None:
        deadline = time.monotonic() + START_S
        while True:
            try:
                check.check(f"http://127.0.0.1:{self.port}", commands.API_KEY)
                return
            except check.CheckError as error:
                if not self.process.running() or time.monotonic() > deadline:
                    raise CountError(f"the gateway does not serve ({error}):\n{self.process.log_tail()}") from None
                time.sleep(0.3)


def count(
    python: Path,
    requests: int,
    asked: Callable[[int], bytes],
    keep: Path | None = None,
    *,
    experiment: bool = False,
    without: str = "",
) -> float:
    """Instructions per request of the gateway that `python` runs; its dumps go into `keep`. Raises CountError.

    `asked` makes the request for the gateway's port; `without` is a part as `commands.penstock_config` knows it.
    """
    with tempfile.TemporaryDirectory(prefix="instructions-") as found:
        work = Path(found)
        argv = [sys.executable, "-m", "loadtests.path.backend"]
        port = str(free_port())
        backend = Launched(
            [*argv, "--port", port, "--step-ms", str(STEP_MS)],
            os.sched_getaffinity(0),
            work / "backend.log",
            {"PYTHONPATH": str(commands.ROOT)},
        )
        try:
            gateway = Counted(python, work, f"http://127.0.0.1:{port}", experiment=experiment, without=without)
            try:
                gateway.until_ready()
                with socket.create_connection(("127.0.0.1", gateway.port)) as client:
                    one = asked(gateway.port)
                    gateway.control("--instr=on")
                    for _ in range(min(WARM_UP, requests)):
                        client.sendall(one)
                        read_answer(client)
                    gateway.since()
                    for _ in range(requests):
                        client.sendall(one)
                        read_answer(client)
                    busy = gateway.since()
                    time.sleep(IDLE_S)
                    idle = gateway.since()
                    if keep is not None:
                        keep.mkdir(parents=True, exist_ok=True)
                        for dump in busy.dumps:
                            shutil.copy(dump, keep)
                    return (busy.instructions() - idle.instructions() / idle.seconds * busy.seconds) / requests
            finally:
                gateway.process.stop()
        finally:
            backend.stop()


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m loadtests.path.instructions", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--requests", type=int, metavar="N", help="default: 1000, or 40 streams")
    parser.add_argument("--stream", action="store_true", help="streams of 100 chunks")
    parser.add_argument("--sdk", action="store_true", help="with the headers of openai-python")
    parser.add_argument("--experiment", action="store_true", help="of a model with two arms")
    parser.add_argument("--without", choices=("store", "log"), default="", help="with this feature off")
    parser.add_argument("--compiled", action="store_true", help="the compiled build, of --compiled-python")
    parser.add_argument("--compiled-python", type=Path, metavar="PATH", help="default: .envs/compiled/bin/python")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep callgrind's dumps of the requests there")
    options = parser.parse_args(argv)
    try:
        python = commands.compiled_python(options.compiled_python) if options.compiled else Path(sys.executable)
        more, stream = SDK if options.sdk else b"", options.stream
        requests = options.requests or (40 if stream else 1000)
        user = "user-1" if options.experiment else ""
        made = count(
            python,
            requests,
            lambda port: request(port, more, stream, user),
            options.keep,
            experiment=options.experiment,
            without=options.without,
        )
        each = f", {made / CHUNKS:,.0f} for each of its {CHUNKS} chunks" if stream else ""
        print(f"{made:,.0f} instructions per {'stream' if stream else 'plain request'}{each}")
    except (CountError, PeerAbsent) as error:
        print(f"instructions: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
