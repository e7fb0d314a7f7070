"""Locust with our locustfile, in processes of their own: importing locust replaces the sockets of whoever does it."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from loadtests.processes.launched import free_port
from tests.loadtests.scripted import Scripted, scripted

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
LIMIT_S = 60.0


def locust(*words: object) -> list[str]:
    file = ROOT / "loadtests" / "locust" / "locustfile.py"
    return [sys.executable, "-m", "locust", "-f", str(file), "--skip-log-setup", *map(str, words)]


def load(server: Scripted, out: Path) -> list[object]:
    options = ("--host", server.url, "--model", "m", "--workload", "short", "--rate", 40, "--duration", "1s")
    return [*options, "--slo", "e2e=30s", "--load-out", out]


def value(text: str, name: str) -> str:
    found = re.search(rf"^  {name} +(.+?)(?:  |$)", text, re.MULTILINE)
    assert found is not None, text
    return found[1]


def test_headless_it_runs_the_schedule_once_and_prints_the_tables(tmp_path: Path) -> None:
    with scripted() as server:
        words = locust("--headless", "-u", 1, *load(server, tmp_path))
        ended = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S, cwd=tmp_path, check=False)
        sent = len(server.bodies)
    assert ended.returncode in (0, 3), ended.stderr
    assert str(sent) == value(ended.stdout, "Scheduled") == value(ended.stdout, "Sent")
    assert sent == len((tmp_path / "records-0.jsonl").read_text().splitlines())
    assert "0" == value(ended.stdout, "Failed")
    assert (ended.returncode == 3) == value(ended.stdout, "Verdict").startswith("INVALID")


def test_master_and_two_workers_send_one_schedule_between_them(tmp_path: Path) -> None:
    port = free_port()
    with scripted() as server:
        workers = [
            subprocess.Popen(
                locust("--worker", "--master-port", port, "--load-out", tmp_path),
                cwd=tmp_path,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for _ in range(2)
        ]
        try:
            master = ("--master", "--headless", "--expect-workers", 2, "--master-bind-port", port, "-u", 1)
            words = locust(*master, *load(server, tmp_path))
            ended = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S, cwd=tmp_path, check=False)
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()
        bodies = set(server.bodies)
    records = [
        json.loads(line) for n in range(2) for line in (tmp_path / f"records-{n}.jsonl").read_text().splitlines()
    ]
    assert ended.returncode in (0, 3), ended.stderr
    assert list(range(len(bodies))) == sorted(record["index"] for record in records)
    assert str(len(bodies)) == value(ended.stdout, "Scheduled") == value(ended.stdout, "Sent")


def test_the_web_page_has_our_tabs_and_tables(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with scripted() as server:
        words = locust("--web-host", "127.0.0.1", "--web-port", port, "-u", 1, "--autostart", *load(server, tmp_path))
        process = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            page, stats = until_stopped(url, process)
        finally:
            process.kill()
            process.communicate()
    assert '"title": "LLM latency"' in page
    tables = {table["key"]: table["data"] for table in stats["extended_stats"]}
    assert {"llmlatency", "llmgoodput", "llmhonesty"} == set(tables)
    rows = {row["name"]: row for row in tables["llmlatency"]}
    assert str(stats["stats"][0]["num_requests"]) == rows["End to end, from intended send"]["count"]
    assert {"name", "count", "mean", "p50", "p90", "p95", "p99", "p999", "max"} == set(rows["Chunk gap"])


def until_stopped(url: str, process: subprocess.Popen[str]) -> tuple[str, dict[str, Any]]:
    """The page and the figures, once the test that started by itself is over."""
    stats: dict[str, Any] = {}
    while stats.get("state") != "stopped":
        assert process.poll() is None, "locust ended by itself"
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.05)  # asked without a pause, its page takes the core from the test it shows
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/stats/requests", timeout=LIMIT_S) as answer:
            stats = json.load(answer)
    with urllib.request.urlopen(url, timeout=LIMIT_S) as answer:
        return answer.read().decode(), stats
