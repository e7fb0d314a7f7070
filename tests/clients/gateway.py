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

ROOT = pathlib.Path(__file__).resolve().parents[2]
START_S = 90.0
PATIENCE_S = 20.0
KEY = "sk-of-the-clients"


def failing(kind: str) -> dict[str, object]:
    """An engine that always fails in this way."""
    return {"kind": "simulator", "failure_rate": 1, "failure_kinds": [kind], "ttft_ms": 1, "itl_ms": 2}


CONFIG = {
    "server": {"port": 0},
    "auth": {"keys": [{"id": "clients", "sha256": hashlib.sha256(KEY.encode()).hexdigest()}]},
    "telemetry": {"access_log": "off"},
    "store": {"url": "off"},
    "breaker": {"min_failures": 100_000},
    "health": {"interval_s": 60},
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

    def in_flight(self) -> float:
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        return sum(
            float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith("penstock_in_flight{")
        )

    def until_idle(self) -> None:
        """Wait until nobody is answered any more. Raises AssertionError when somebody still is."""
        until = time.monotonic() + PATIENCE_S
        while left := self.in_flight():
            assert time.monotonic() < until, f"{left:g} requests are still in flight"
            time.sleep(0.05)


@contextlib.contextmanager
def running(directory: pathlib.Path) -> Iterator[Gateway]:
    """A gateway until the block ends."""
    config = directory / "penstock.yaml"
    config.write_text(json.dumps({**CONFIG, "data_dir": str(directory / "data")}))
    python = os.environ.get("PENSTOCK_PYTHON", str(ROOT / ".venv" / "bin" / "python"))
    process = subprocess.Popen(
        [python, "-m", "gateway", "serve", "--config", str(config)],
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    watchdog = threading.Timer(START_S, process.kill)
    watchdog.start()
    try:
        gateway = Gateway(_url(process))
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


def _url(process: subprocess.Popen[str]) -> str:
    """Once the gateway and each of its engines are ready."""
    assert process.stderr is not None
    said, url, ready = [], "", 0
    for line in process.stderr:
        said.append(line)
        event = json.loads(line)
        if event["event"] == "ready":
            url = event["url"]
        ready += event.get("state") == "ready"
        if url and ready == len(CONFIG["engines"]):  # type: ignore[arg-type]  # the value is a dict
            threading.Thread(target=process.stderr.read, daemon=True).start()  # keep the pipe from filling
            return url
    raise AssertionError("the gateway ended before it was ready:\n" + "".join(said))
