"""The newcomer's first minute, checked: `penstock serve` as `make serve` runs it, and the curl it prints.

Starts the quickstart configuration on a free port, waits for the event that has its curl, runs it as it stands, streams
once, reads /metrics, and stops the gateway with SIGTERM. Exit status 0 and one line when all of it worked.
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.request
from typing import Any

START_S = 60.0


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        environment = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
        gateway = subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve", "--port", "0"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=directory,
            env={**environment, "PYTHONPATH": str(pathlib.Path.cwd())},
        )
        watchdog = threading.Timer(START_S, gateway.kill)
        watchdog.start()
        try:
            check(opening(gateway))
        finally:
            watchdog.cancel()
            gateway.send_signal(signal.SIGTERM)
            code = gateway.wait(timeout=60)
        if code != 0:
            sys.exit(f"smoke: the gateway ended with status {code}")
    print("smoke: 1 passed, the printed curl, a stream, the metrics and a clean stop")


def opening(gateway: subprocess.Popen[str]) -> dict[str, Any]:
    """The event that says where the gateway is. Every line before it is JSON, too: a log shipper reads this pipe."""
    lines = []
    assert gateway.stderr is not None
    for line in gateway.stderr:
        lines.append(line)
        try:
            event: dict[str, Any] = json.loads(line)
        except ValueError:
            sys.exit(f"smoke: a line of the log is no JSON: {line}")
        if event["event"] == "ready":
            threading.Thread(target=gateway.stderr.read, daemon=True).start()  # keep the pipe from filling
            return event
    sys.exit("smoke: the gateway ended before it was ready:\n" + "".join(lines))


def check(event: dict[str, Any]) -> None:
    url, command = event["url"], event["curl"]
    if shutil.which("curl") and shutil.which("sh"):
        answer = json.loads(subprocess.run(["sh", "-c", command], check=True, capture_output=True, text=True).stdout)
    else:
        answer = json.loads(ask(url, {"model": "chat", "messages": [{"role": "user", "content": "Hello"}]}))
    expect("simulat" in answer["system_fingerprint"], f"not named as simulated: {answer}")
    expect(bool(answer["choices"][0]["message"]["content"]), f"no content: {answer}")
    stream = ask(url, {"model": "chat", "stream": True, "messages": [{"role": "user", "content": "Hello"}]})
    expect(stream.rstrip().endswith("data: [DONE]"), f"the stream did not end in [DONE]: {stream[-200:]}")
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as metrics:
        text = metrics.read().decode()
    counted = re.search(
        r'^penstock_requests_total\{arm="",code="200",engine="sim",model="chat"\} (\S+)$', text, re.MULTILINE
    )
    expect(counted is not None and float(counted[1]) == 2, text)


def ask(url: str, body: dict[str, object]) -> str:
    request = urllib.request.Request(
        f"{url}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        text: str = answer.read().decode()
    return text


def expect(condition: bool, otherwise: str) -> None:
    if not condition:
        sys.exit(f"smoke: {otherwise}")


if __name__ == "__main__":
    main()
