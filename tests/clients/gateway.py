"""The gateway under test: a process, its configuration, and what it counts."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import IO, Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
START_S = 90.0
PATIENCE_S = 20.0
KEY = "sk-of-the-clients"


def failing(kind: str) -> dict[str, object]:
    """An engine that always fails in this way."""
    return {"kind": "simulator", "failure_rate": 1, "failure_kinds": [kind], "ttft_ms": 1, "itl_ms": 2}


ALWAYS: dict[str, Any] = {
    "server": {"port": 0},
    "auth": {"keys": [{"id": "clients", "sha256": hashlib.sha256(KEY.encode()).hexdigest()}]},
    "telemetry": {"access_log": "off"},
    "store": {"url": "off"},
    "breaker": {"min_failures": 100_000},
    "health": {"interval_s": 60},
}
CONFIG: dict[str, Any] = {
    **ALWAYS,
    "retry": {"max_attempts": 2, "base_backoff_s": 0.001},
    "engines": {
        "sim": {"kind": "simulator", "ttft_ms": 1, "itl_ms": 2, "tokens": 24, "tool_call_rate": 1},
        "limited": failing("rate_limit"),
        "broken": failing("server_error"),
        "cut": failing("disconnect_mid_stream"),
        "hangs": failing("hang"),
    },
    "models": {
        "chat": {"targets": [{"engine": "sim"}]},
        # What docs/clients.md calls the models of other kinds.
        **{
            name: {"targets": [{"engine": "sim"}]} for name in ("embed", "transcribe", "speech", "image", "gpt-4o-mini")
        },
        "limited": {"targets": [{"engine": "limited"}]},
        "broken": {"targets": [{"engine": "broken"}]},
        "flaky": {"targets": [{"engine": "broken", "model": "broken"}, {"engine": "sim", "model": "chat"}]},
        "cut": {"targets": [{"engine": "cut"}]},
        "hangs": {"targets": [{"engine": "hangs"}]},
    },
}


class Gateway:
    """Where it is, and what is in flight there."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.base_url = f"{url}/v1"
        """For clients of OpenAI."""

    def metrics(self, beginning: str) -> list[float]:
        """The values of the samples whose line begins so."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        return [float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(beginning)]

    def in_flight(self) -> float:
        return sum(self.metrics("penstock_in_flight{"))

    def until(self, beginning: str) -> None:
        """Wait until a sample whose line begins so is above 0. Raises AssertionError when none is."""
        until = time.monotonic() + PATIENCE_S
        while sum(self.metrics(beginning)) <= 0:
            assert time.monotonic() < until, f"no {beginning!r}"
            time.sleep(0.05)

    def until_idle(self) -> None:
        """Wait until nobody is answered any more. Raises AssertionError when somebody still is."""
        until = time.monotonic() + PATIENCE_S
        while left := self.in_flight():
            assert time.monotonic() < until, f"{left:g} requests are still in flight"
            time.sleep(0.05)


@contextlib.contextmanager
def running(directory: pathlib.Path, config: dict[str, Any] = CONFIG) -> Iterator[Gateway]:
    """A gateway until the block ends."""
    file = directory / "penstock.yaml"
    file.write_text(json.dumps({**config, "data_dir": str(directory / "data")}))
    process = started("-m", "gateway", "serve", "--config", str(file), stderr=subprocess.PIPE)
    watchdog = threading.Timer(START_S, process.kill)
    watchdog.start()
    try:
        simulators = sum(engine["kind"] == "simulator" for engine in config["engines"].values())
        gateway = Gateway(_url(process, simulators))
        watchdog.cancel()
        yield gateway
    finally:
        watchdog.cancel()
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        finally:
            process.kill()


def started(*arguments: str, **pipes: Any) -> subprocess.Popen[str]:
    """A process of the project's own interpreter."""
    python = os.environ.get("PENSTOCK_PYTHON", str(ROOT / ".venv" / "bin" / "python"))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([python, *arguments], text=True, cwd=ROOT, env=environment, **pipes)


def _read_out(pipe: IO[str]) -> None:
    """Keep the pipe from filling, to its end."""
    with pipe:
        pipe.read()


def _url(process: subprocess.Popen[str], engines: int) -> str:
    """Once the gateway and as many engines as it starts are ready."""
    assert process.stderr is not None
    said, url, ready = [], "", 0
    for line in process.stderr:
        said.append(line)
        event = json.loads(line)
        if event["event"] == "ready":
            url = event["url"]
        ready += event.get("state") == "ready"
        if url and ready == engines:
            threading.Thread(target=_read_out, args=(process.stderr,), daemon=True).start()
            return url
    raise AssertionError("the gateway ended before it was ready:\n" + "".join(said))
