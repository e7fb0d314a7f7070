"""A configuration is read in a child process: the same result, the same complaints, and nothing waits for it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateway.control.configuration import reading as reading_module
from gateway.control.configuration.reader import Read, Refused, Wanted
from gateway.control.configuration.reading import Reading, in_child, in_thread
from gateway.control.configuration.source import Source
from gateway.settings import ConfigError, load_settings
from gateway.settings.sealed import Sealed, seal
from tests.gateway.control.fakes import FILE

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
SECRET = FILE.replace("kind: openai", "kind: openai, api_key: '${KEY}'")
WANTED = Wanted(None, FILE, b"", {}, [])


@pytest.fixture(params=[in_thread, in_child], ids=["thread", "child"])
def reading(request: pytest.FixtureRequest) -> Reading:
    found: Reading = request.param
    return found


async def test_what_is_read_is_what_is_written(tmp_path: Path, reading: Reading) -> None:
    file = tmp_path / "ü.yaml"
    file.write_text(SECRET)
    source = Source(file, environ={"KEY": "secret", "ODD": "\udcff"}, server={"port": 1}, reading=reading)
    assert await source.read() == seal(load_settings(SECRET, {"KEY": "secret"}, server={"port": 1}))


async def test_a_text_is_read_too(reading: Reading) -> None:
    assert await Source(None, FILE, environ={}, reading=reading).read() == seal(load_settings(FILE, {}))


async def test_a_complaint_comes_back_whole(tmp_path: Path, reading: Reading) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text(SECRET.replace("models:", "modles:"))
    with pytest.raises(ConfigError) as found:
        await Source(file, environ={"KEY": "secret"}, reading=reading).read()
    with pytest.raises(ConfigError) as expected:
        load_settings(file, {"KEY": "secret"})
    assert (found.value.problems, found.value.source) == (expected.value.problems, str(file))
    assert "modles" in str(found.value)


async def test_a_pipe_in_the_place_of_the_file_holds_nothing_up(tmp_path: Path, reading: Reading) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ConfigError, match="it is not a regular file"):
        await Source(tmp_path / "fifo", environ={}, reading=reading).read()


async def test_what_a_child_has_read_is_taken_in_in_a_turn_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    async def own_turn() -> None:
        done.append("turn")

    def taken(result: Read | Refused) -> Sealed:
        done.append("taken")
        assert isinstance(result, Read)
        return result.sealed

    monkeypatch.setattr(reading_module, "own_turn", own_turn)
    monkeypatch.setattr(reading_module, "_taken", taken)
    await in_child(WANTED)
    assert done == ["turn", "turn", "taken"]  # it is decoded between the two


async def test_without_a_process_there_is_a_complaint() -> None:
    with pytest.raises(ConfigError, match="no such file"):
        await in_child(WANTED, command=["/nowhere"])


@pytest.mark.parametrize(
    ("program", "why"),
    [
        ("raise SystemExit(3)", r"its reader ended with status 3$"),
        ("import sys; sys.stdin.buffer.read(); raise MemoryError('sk-secret')", r"status 1 \(MemoryError\)$"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "status -9$"),
        ("import sys; sys.stdin.buffer.read(); print('hello')", "its reader talks nonsense$"),
        ("import sys; sys.stdin.buffer.read()", "its reader talks nonsense$"),
        ("import sys; sys.stdin.buffer.read(); sys.stdout.buffer.write(b'\\x80')", "its reader talks nonsense$"),
    ],
)
async def test_a_reader_that_fails_is_a_complaint(program: str, why: str) -> None:
    with pytest.raises(ConfigError) as found:
        await in_child(WANTED, command=(sys.executable, "-c", program))
    assert re.search(why, found.value.problems[0].message)


async def test_a_reader_that_takes_too_long_is_ended_and_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    readers: list[subprocess.Popen[bytes]] = []
    started = reading_module._started

    def kept(command: Sequence[str]) -> subprocess.Popen[bytes]:
        readers.append(started(command))
        return readers[0]

    monkeypatch.setattr(reading_module, "_started", kept)
    command = (sys.executable, "-c", "import threading; threading.Event().wait()")
    with pytest.raises(ConfigError, match=r"it took more than 0\.01 s"):
        await in_child(WANTED, command=command, timeout_s=0.01)
    assert [reader.returncode for reader in readers] == [-signal.SIGKILL]
