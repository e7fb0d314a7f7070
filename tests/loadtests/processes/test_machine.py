"""One benchmark at a time, and none beside a test lane."""

from __future__ import annotations

import fcntl
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
