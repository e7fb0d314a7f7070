"""wrk's figures are read right, and a round with anything wrong in it counts for nothing."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from loadtests.path import wrk

FIGURES: dict[str, Any] = {
    "duration_us": 5_000_000,
    "requests": 1000,
    "bytes": 900_000,
    "p50_us": 210,
    "p99_us": 900,
    "connect": 0,
    "read": 0,
    "write": 0,
    "status": 0,
    "timeout": 0,
}


def _output(**changed: int) -> str:
    text = "Running 5s test @ http://127.0.0.1:1\n  1 threads and 32 connections\nRequests/sec:    200.00\n\n"
    return text + json.dumps(FIGURES | changed) + "\n"


def test_figures_are_read_from_the_json_line() -> None:
    assert wrk.WrkResult(5.0, 1000, 900_000, 210, 900, {}) == wrk.parse(_output())


def test_only_errors_that_happened_are_named() -> None:
    assert wrk.parse(_output(status=3, timeout=1)).errors == {"status": 3, "timeout": 1}


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (
            "unable to connect to 127.0.0.1:1 Connection refused\n",
            "unable to connect to 127.0.0.1:1 Connection refused",
        ),
        ("", "no output"),
    ],
)
def test_without_figures_wrks_last_line_is_the_reason(output: str, said: str) -> None:
    with pytest.raises(wrk.WrkError, match=f"^wrk printed no figures: {said}$"):
        wrk.parse(output)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({}, ""),
        ({"status": 3, "read": 2}, "wrk counted 2 read errors, 3 status errors"),
        ({"requests": 0, "bytes": 0}, "no request was answered"),
        ({"bytes": 599_000}, "599 bytes per reply, a whole one has 600"),
    ],
)
def test_a_round_is_refused_for_errors_for_silence_and_for_short_replies(changed: dict[str, int], problem: str) -> None:
    assert problem == wrk.parse(_output(**changed)).problem(reply_bytes=600)


def test_a_missing_wrk_is_asked_for_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(wrk.WrkError, match=r"apt-get install wrk .* brew install wrk"):
        wrk.find()
