"""The real command, drained while a launched engine still works: who comes new is turned away at once, and not held."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.children import pids

pytestmark = pytest.mark.slow

PATIENCE_S = 60.0
ASK = [{"role": "user", "content": "Hello"}]
FILE = """
server: {{port: 0, workers: {workers}, grace_s: 60}}
data_dir: '{data_dir}'
telemetry: {{access_log: off}}
engines: {{sim: {{kind: simulator, replicas: 1, ttft_ms: 1, itl_ms: 200}}}}
models: {{chat: {{targets: [{{engine: sim}}]}}}}
"""


class Served:
    """`penstock serve` in a process of its own."""

    def __init__(self, directory: Path, workers: int) -> None:
        self.file = file = directory / "penstock.yaml"
        file.write_text(FILE.format(workers=workers, data_dir=directory / "data"))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve", "--config", str(file)], stderr=subprocess.PIPE, text=True
        )
        self.watchdog = threading.Timer(2 * PATIENCE_S, self.process.kill)
        self.watchdog.start()
        self.port = int(self.until(r'"url": "http://[^:]+:(\d+)"'))

    def until(self, pattern: str) -> str:
        """What the first group of `pattern` is in the first line of stderr that holds it."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if found := re.search(pattern, line):
                return found[1]
        raise AssertionError(f"it ended before it said {pattern!r}")

    def streaming(self) -> socket.socket:
        """A stream that does not end; asked for until the worker has heard that its engine is ready."""
        body = json.dumps({"model": "chat", "stream": True, "max_tokens": 10_000, "ignore_eos": True, "messages": ASK})
        request = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(body)}\r\n\r\n{body}"
        while True:
            stream = self.connected()
            stream.sendall(request.encode())
            head = stream.recv(12)
            if head != b"HTTP/1.1 503":
                assert head == b"HTTP/1.1 200"
                return stream
            stream.close()

    def connected(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)


@contextlib.contextmanager
def served(directory: Path, workers: int) -> Iterator[Served]:
    served = Served(directory, workers)
    try:
        yield served
    finally:
        served.watchdog.cancel()
        served.process.kill()
        served.process.communicate()


@pytest.mark.parametrize("workers", [1, 2])
def test_who_comes_while_a_launched_engine_still_works_is_turned_away_at_once(tmp_path: Path, workers: int) -> None:
    with served(tmp_path, workers) as gateway:
        gateway.until(r'("state": "ready")')
        with gateway.streaming() as running:
            gateway.process.send_signal(signal.SIGTERM)
            gateway.until(r"(draining)")
            with contextlib.suppress(ConnectionRefusedError):
                while True:  # one that was accepted in the last moment is served or hung up on, never left waiting
                    with gateway.connected() as late, contextlib.suppress(ConnectionResetError, BrokenPipeError):
                        late.sendall(b"GET /health HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n")
                        late.recv(1)
            assert gateway.process.poll() is None
            assert len(pids("engines.simulator", of=gateway.process.pid)) == 1
            assert running.recv(1) != b""
        assert gateway.process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize("signalled", [True, False])
@pytest.mark.parametrize("workers", [1, 2])
def test_one_that_drains_leaves_its_configuration_alone_and_its_engine_with_it(
    tmp_path: Path, workers: int, signalled: bool
) -> None:
    with served(tmp_path, workers) as gateway:
        gateway.until(r'("state": "ready")')
        (engine,) = pids("engines.simulator", of=gateway.process.pid)
        with gateway.streaming() as running:
            gateway.process.send_signal(signal.SIGTERM)
            gateway.until(r"(draining)")
            gateway.file.write_text(gateway.file.read_text().replace("ttft_ms: 1,", "ttft_ms: 2,"))  # restarts it
            if signalled:
                gateway.process.send_signal(signal.SIGHUP)
            assert gateway.until(r'"event": "(config_\w+)"') == "config_ignored"
            assert running.recv(1) != b""
            assert pids("engines.simulator", of=gateway.process.pid) == [engine]
        assert gateway.process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_says_how_many_it_waits_for_and_a_second_one_stops_now(tmp_path: Path, workers: int) -> None:
    with served(tmp_path, workers) as gateway, gateway.streaming() as stream:
        gateway.process.send_signal(signal.SIGINT)
        assert gateway.until(r'"requests": (\d+).*"waiting_for_requests"') == "1"
        gateway.process.send_signal(signal.SIGINT)  # its grace would last for a minute
        assert gateway.until(r'"streams": (\d+).*"cut_off"') == "1"
        with contextlib.suppress(ConnectionResetError):
            while stream.recv(65_536):
                pass
        assert gateway.process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_terminal_s_ctrl_c_reaches_the_parent_alone_and_all_share_a_core_as_one_session(
    tmp_path: Path, workers: int
) -> None:
    with served(tmp_path, workers) as gateway:
        ours = gateway.process.pid
        found = [pid for name in ("gateway.store", "gateway.workers") for pid in pids(f" {name} ", ours)]
        assert len(found) == 1 + (workers if workers > 1 else 0)
        assert {os.getsid(pid) for pid in found} == {os.getsid(ours)}
        assert [os.getpgid(pid) for pid in found] == found
