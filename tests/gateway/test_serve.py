"""`gateway.serve.run`: what the process does about itself before it serves."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from gateway.process.directory_lock import DirectoryLock
from gateway.serve import Hangups

pytestmark = pytest.mark.slow

SERVE = """
import os, resource, signal
from gateway.control.configuration.source import Source
from gateway.serve import run

_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))

def started(opening):
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    print(soft == hard)
    os.kill(os.getpid(), signal.SIGTERM)

text = '''
engines: {e: {kind: openai, base_url: "http://127.0.0.1:9/v1"}}
models: {m: {targets: [{engine: e}]}}
telemetry: {access_log: off}
data_dir: "DIRECTORY"
'''
run(Source(None, text, server={"port": 0}), started=started)
"""


def test_all_descriptors_that_the_machine_grants_are_taken(tmp_path: Path) -> None:
    script = SERVE.replace("DIRECTORY", str(tmp_path))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "True" in done.stdout.splitlines(), done.stdout


SECOND = """
engines: {e: {kind: openai, base_url: "http://127.0.0.1:9/v1"}}
models: {m: {targets: [{engine: e}]}}
telemetry: {access_log: off, log_format: json}
data_dir: "DIRECTORY"
"""


@pytest.mark.parametrize("another", [True, False])
def test_the_second_gateway_in_a_directory_is_told_so_and_serves(tmp_path: Path, another: bool) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text(SECOND.replace("DIRECTORY", str(tmp_path / "data")))
    (tmp_path / "data").mkdir()
    lock = DirectoryLock(tmp_path / "data")
    if another:
        lock.take()
    command = [sys.executable, "-m", "gateway", "serve", "--config", str(file), "--port", "0"]
    said: dict[str, dict[str, Any]] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as serving:
        assert serving.stdout is not None
        for line in serving.stdout:
            event = json.loads(line)
            said[event["event"]] = event
            if event["event"] == "ready":
                serving.send_signal(signal.SIGTERM)
    assert (serving.returncode, "ready" in said, "data_dir_shared" in said) == (0, True, another)
    if another:
        told = said["data_dir_shared"]
        assert (told["level"], told["process"], told["data_dir"]) == ("warning", os.getpid(), str(tmp_path / "data"))
        assert "give each gateway a data_dir of its own" in told["what"]
    lock.release()


def test_however_many_hangups_come_while_one_reloads_one_more_reload_answers_them() -> None:
    asyncio.run(_many_hangups())


async def _many_hangups() -> None:
    begun = 0
    gate = asyncio.Event()
    tasks: list[asyncio.Task[None]] = []

    async def reload() -> bool:
        nonlocal begun
        begun += 1
        await gate.wait()
        return True

    def spawn(name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        assert name == "reload"
        tasks.append(asyncio.ensure_future(work()))

    hangup = Hangups(reload, spawn)
    for _ in range(200):
        hangup()
        await asyncio.sleep(0)
    assert (begun, len(tasks)) == (1, 1)
    gate.set()
    await tasks[0]
    assert begun == 2  # the file may have changed after the first had read it
    hangup()
    await tasks[1]
    assert begun == 3


def test_a_hangup_after_a_reload_that_failed_reloads_again() -> None:
    asyncio.run(_failed_reload())


async def _failed_reload() -> None:
    begun = 0
    tasks: list[asyncio.Task[None]] = []

    async def reload() -> bool:
        nonlocal begun
        begun += 1
        raise OSError("gone")

    def spawn(name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        tasks.append(asyncio.ensure_future(work()))

    hangup = Hangups(reload, spawn)
    for _ in range(2):
        hangup()
        with pytest.raises(OSError, match="gone"):
            await tasks[-1]
    assert begun == 2
