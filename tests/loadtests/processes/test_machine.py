"""One benchmark at a time, and none beside a test lane."""

from __future__ import annotations

import contextlib
import fcntl
import signal
from pathlib import Path

import pytest

from loadtests.processes.machine import alone, lock_path


def _free(path: Path, kind: int) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def test_nobody_else_measures_or_tests_inside_and_everybody_may_after(tmp_path: Path) -> None:
    place = tmp_path / "lock"

    with alone(place):
        assert not _free(place, fcntl.LOCK_SH)
        assert not _free(place, fcntl.LOCK_EX)

    assert _free(place, fcntl.LOCK_EX)


def test_a_benchmark_that_fails_lets_go(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no wrk"), alone(tmp_path / "lock"):
        raise RuntimeError("no wrk")

    assert _free(tmp_path / "lock", fcntl.LOCK_EX)


def test_the_lock_lies_where_tmpdir_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/scratch")
    assert lock_path() == Path("/scratch/penstock-bench.lock")


def test_what_is_started_inside_is_stopped_when_the_benchmark_is_told_to_end(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    stopped: list[bool] = []
    started = contextlib.ExitStack()
    started.callback(stopped.append, True)

    with pytest.raises(KeyboardInterrupt), alone(tmp_path / "lock"), started:
        signal.raise_signal(signal.SIGTERM)

    assert stopped
    assert signal.getsignal(signal.SIGTERM) == before
