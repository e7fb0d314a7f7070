"""The log of a child: one older file, a bound, and quotable last lines."""

from __future__ import annotations

import os
from pathlib import Path

from engines.launch.child_log import ChildLog


def run(log: ChildLog, text: str) -> None:
    descriptor = log.begin()
    os.write(descriptor, text.encode())
    os.close(descriptor)


def test_each_run_starts_a_new_file_and_keeps_the_one_before(tmp_path: Path) -> None:
    log = ChildLog(tmp_path / "logs" / "a.log")
    for text in ("one\n", "two\n", "three\n"):
        run(log, text)
    assert {path.name: path.read_text() for path in (tmp_path / "logs").iterdir()} == {
        "a.log": "three\n",
        "a.log.1": "two\n",
    }


def test_only_its_owner_can_read_a_log(tmp_path: Path) -> None:
    log = ChildLog(tmp_path / "a.log", max_bytes=1)
    run(log, "prompt")
    log.trim()
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_log_over_the_limit_is_moved_aside_while_the_child_writes_on(tmp_path: Path) -> None:
    log = ChildLog(tmp_path / "a.log", max_bytes=10)
    descriptor = log.begin()
    os.write(descriptor, b"0123456789")
    assert not log.trim()
    os.write(descriptor, b"x")
    assert log.trim()
    os.write(descriptor, b"after")
    os.close(descriptor)
    assert (tmp_path / "a.log").read_text() == "after"
    assert (tmp_path / "a.log.1").read_text() == "0123456789x"


def test_the_tail_is_bounded_in_lines_and_in_bytes(tmp_path: Path) -> None:
    log = ChildLog(tmp_path / "a.log")
    assert log.tail() == ""
    assert not log.trim()
    run(log, "".join(f"line {number}\n" for number in range(100)))
    assert log.tail(2) == "line 98\nline 99"
    run(log, "x" * 100_000)
    assert len(log.tail()) == 4096


def test_a_tail_that_is_not_utf8_is_still_quoted(tmp_path: Path) -> None:
    log = ChildLog(tmp_path / "a.log")
    descriptor = log.begin()
    os.write(descriptor, b"\xff\xfe bad\n")
    os.close(descriptor)
    assert log.tail() == "\ufffd\ufffd bad"
