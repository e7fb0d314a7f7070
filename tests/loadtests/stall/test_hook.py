"""The hook sees the longest turn of a program's loop, in the program's own CPU time, and only since the reset."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from time import thread_time_ns

import pytest
import uvloop

from loadtests.stall import hook
from loadtests.stall.hook import Board, Turns

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import asyncio, sys, time, uvloop

async def main():
    end = time.thread_time() + float(sys.argv[1])
    while time.thread_time() < end:
        pass
    for _ in range(5):
        await asyncio.sleep(0)

with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(main())
"""


def test_a_program_that_holds_its_loop_for_thirty_milliseconds_is_seen_to(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    argv = [sys.executable, "-m", "loadtests.stall.hook", str(tmp_path / "board"), str(tmp_path / "program.py"), "0.03"]

    subprocess.run(argv, cwd=ROOT, check=True)

    board = Board(tmp_path / "board")
    assert board.longest_cpu_ms >= 30
    assert board.cpu_s >= 0.03
    assert board.turns >= 5


def burn(milliseconds: int) -> None:
    end = thread_time_ns() + milliseconds * 1_000_000
    while thread_time_ns() < end:
        pass


def test_a_reading_knows_nothing_of_what_was_before_it(tmp_path: Path) -> None:
    board = Board(tmp_path / "board")
    seen: list[float] = []

    async def main() -> None:
        Turns(asyncio.get_running_loop(), board)
        await asyncio.sleep(0)
        burn(50)
        await asyncio.sleep(0)
        seen.append(board.longest_cpu_ms)
        board.reset()
        assert not board.fresh
        await asyncio.sleep(0)
        assert board.fresh
        seen.append(board.longest_cpu_ms)

    asyncio.run(main())

    assert seen[0] >= 50
    assert seen[1] == 0


def test_every_loop_that_uvloop_makes_from_then_on_is_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uvloop, "new_event_loop", uvloop.new_event_loop)
    board = Board(tmp_path / "board")
    hook.install(board)

    async def main() -> None:
        for _ in range(3):
            await asyncio.sleep(0)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())

    assert board.turns >= 2
