"""Runs the gateway as its users do, as a process, and watches it and the vLLM behind it from outside."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx

from loadtests.processes.launched import free_port

KEY = "sk-real-vllm-tests"
AUTH = {"keys": [{"id": "tests", "sha256": hashlib.sha256(KEY.encode()).hexdigest(), "tenant": "tests"}]}
MODELS = {"tiny": {"targets": [{"engine": "local", "model": "tiny"}]}}

FINISHED = "vllm:request_success_total"
GENERATED = "vllm:generation_tokens_total"
RUNNING = "vllm:num_requests_running"

T = TypeVar("T")


def until(look: Callable[[], T], within_s: float, what: str) -> T:
    """Look until the answer is true and return it; AssertionError naming `what` when time runs out."""
    deadline_s = time.monotonic() + within_s
    while True:
        if found := look():
            return found
        assert time.monotonic() < deadline_s, f"not within {within_s:g} s: {what}"
        time.sleep(0.02)


def metric(base_url: str, name: str, **labels: str) -> float:
    """The sum of the samples called `name` that carry `labels`; 0 when there is none."""
    text = httpx.get(f"{base_url}/metrics", headers={"authorization": f"Bearer {KEY}"}).raise_for_status().text
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    lines = (line for line in text.splitlines() if line.startswith((name + "{", name + " ")))
    return sum(float(line.rpartition(" ")[2]) for line in lines if all(label in line for label in wanted))


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway."""

    url: str
    data_dir: Path
    process: subprocess.Popen[bytes]


def _is_ready(gateway: Gateway, output: Path, replicas: int) -> bool:
    code = gateway.process.poll()
    assert code is None, f"the gateway exited with code {code}:\n{output.read_text()[-4000:]}"
    with contextlib.suppress(httpx.TransportError):
        # `/ready` does not wait for replicas: the request that wakes a gateway scaled to zero must reach it.
        if httpx.get(f"{gateway.url}/ready").status_code == 200:
            return metric(gateway.url, "penstock_replicas", engine="local", state="ready") >= replicas
    return False


@contextlib.contextmanager
def running_gateway(
    directory: Path,
    engine: Mapping[str, Any],
    within_s: float,
    env: Mapping[str, str] | None = None,
    models: Mapping[str, Any] = MODELS,
    replicas: int = 1,
) -> Iterator[Gateway]:
    """`penstock serve` with the engine `local`, from when so many of its replicas are ready to its end by SIGTERM."""
    directory.mkdir(parents=True, exist_ok=True)
    config, output, data_dir = directory / "penstock.yaml", directory / "output.txt", directory / "data"
    document = {"auth": AUTH, "engines": {"local": engine}, "models": models, "data_dir": str(data_dir)}
    config.write_text(json.dumps(document))  # JSON is YAML
    port = free_port()
    with output.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve", "--config", str(config), "--port", str(port)],
            stdout=sink,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
        )
    gateway = Gateway(f"http://127.0.0.1:{port}", data_dir, process)
    try:
        until(
            lambda: _is_ready(gateway, output, replicas), within_s, f"ready; its output:\n{output.read_text()[-4000:]}"
        )
        yield gateway
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
