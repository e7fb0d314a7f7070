"""Starts are read off the log."""

from __future__ import annotations

import json

from loadtests.wakeups.starts import Starts


def line(state: str, replica: str = "e-0") -> bytes:
    return json.dumps({"event": "launched_replica", "engine": "e", "replica": replica, "state": state}).encode()


def test_a_start_is_from_starting_to_ready() -> None:
    now = [10.0]
    starts = Starts(lambda: now[0])
    starts.line(line("starting"))
    now[0] = 11.5
    starts.line(line("ready"))
    now[0] = 20.0
    starts.line(line("starting"))
    now[0] = 23.0
    starts.line(line("ready"))
    assert (starts.first_since("e", 0.0), starts.first_since("e", 12.0)) == (1.5, 3.0)
    assert (starts.first_since("e", 24.0), starts.first_since("other", 0.0)) == (None, None)


def test_one_that_fails_is_counted_and_is_no_start() -> None:
    starts = Starts(lambda: 1.0)
    for state in ("starting", "backoff", "ready", "stopped"):
        starts.line(line(state))
    assert (starts.failed, starts.first_since("e", 0.0)) == (1, None)


def test_other_lines_are_fine() -> None:
    starts = Starts(lambda: 1.0)
    for other in (b"", b"text", b"[]", b'{"event": "autoscaled"}'):
        starts.line(other)
    assert starts.first_since("e", 0.0) is None
