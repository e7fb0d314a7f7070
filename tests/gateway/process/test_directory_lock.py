"""A directory is of one gateway at a time: the next has it once that one has ended, however it did."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.process.directory_lock import DirectoryLock

HOLDS = """
import sys
from pathlib import Path
from gateway.process.directory_lock import DirectoryLock

lock = DirectoryLock(Path(sys.argv[1]))
print(lock.take(), flush=True)
sys.stdin.read()
"""


def test_the_second_has_it_once_the_first_has_let_go(tmp_path: Path) -> None:
    first, second = DirectoryLock(tmp_path), DirectoryLock(tmp_path)
    assert (first.holder, first.take(), first.take(), second.take()) == (None, True, True, False)
    assert second.holder == os.getpid()
    first.release()
    first.release()
    assert (first.take(), first.holder, second.take()) == (False, None, True)
    second.release()


def test_a_gateway_that_is_killed_holds_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDS, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        lock = DirectoryLock(tmp_path)
        assert (lock.take(), lock.holder) == (False, other.pid)
        other.kill()
    assert (lock.take(), lock.holder) == (True, os.getpid())
    lock.release()


def test_where_files_cannot_be_locked_everybody_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(fd: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    first, second = DirectoryLock(tmp_path), DirectoryLock(tmp_path)
    assert (first.take(), second.take(), second.holder) == (True, True, None)


def test_a_directory_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        DirectoryLock(tmp_path / "missing")
