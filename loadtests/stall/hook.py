"""Runs a program with every turn of its event loop timed: `hook.py BOARD PROGRAM [ARGUMENT ...]`.

A callback asks to be called in each turn of the loop, and takes the thread's CPU time since the turn before: that is
what the turn held the loop for, whatever else the machine did meanwhile (a collector's pass counts, waiting for the
interpreter lock does not). The longest is left in a file mapped into memory, where `Board` reads it. The loop never
sleeps while it is watched; what a turn has to do does not change by that.

Nothing of the program is imported here or known of it, but that its loop comes from `uvloop.new_event_loop`.
"""

from __future__ import annotations

import asyncio
import mmap
import runpy
import sys
from pathlib import Path
from time import perf_counter_ns, thread_time_ns

import uvloop

_WANTED, _SEEN, _LONGEST_CPU, _LONGEST_WALL, _CPU, _TURNS = range(6)
_WORDS = 6


class Board:
    """The few numbers that both processes see; each has one writer. A reading begins with `reset`."""

    def __init__(self, path: Path) -> None:
        """The file is made when it is missing."""
        with path.open("a+b") as file:
            file.truncate(8 * _WORDS)
            self._map = mmap.mmap(file.fileno(), 8 * _WORDS)
        self.words = memoryview(self._map).cast("q")

    def reset(self) -> None:
        """Forget what was seen. It counts from the next turn on: see `fresh`."""
        self.words[_WANTED] += 1

    @property
    def fresh(self) -> bool:
        """Whether the loop has turned since `reset`."""
        return self.words[_SEEN] == self.words[_WANTED]

    @property
    def longest_cpu_ms(self) -> float:
        return self.words[_LONGEST_CPU] / 1e6

    @property
    def longest_wall_ms(self) -> float:
        return self.words[_LONGEST_WALL] / 1e6

    @property
    def cpu_s(self) -> float:
        """Of the loop's thread since the reset, the turns that had nothing to do included."""
        return self.words[_CPU] / 1e9

    @property
    def turns(self) -> int:
        return self.words[_TURNS]


class Turns:
    """The callback; one per loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, board: Board) -> None:
        self._loop = loop
        self._words = board.words
        self._cpu = self._wall = 0
        loop.call_soon(self)

    def __call__(self) -> None:
        cpu, wall = thread_time_ns(), perf_counter_ns()
        words = self._words
        if words[_SEEN] != words[_WANTED] or not self._cpu:
            words[_LONGEST_CPU] = words[_LONGEST_WALL] = words[_CPU] = words[_TURNS] = 0
            words[_SEEN] = words[_WANTED]
        else:
            held, passed = cpu - self._cpu, wall - self._wall
            words[_TURNS] += 1
            words[_CPU] += held
            if held > words[_LONGEST_CPU]:
                words[_LONGEST_CPU] = held
            if passed > words[_LONGEST_WALL]:
                words[_LONGEST_WALL] = passed
        self._cpu, self._wall = cpu, wall
        self._loop.call_soon(self)


def install(board: Board) -> None:
    """Every loop that is made from now on is watched."""
    make = uvloop.new_event_loop

    def watched() -> uvloop.Loop:
        loop = make()
        Turns(loop, board)
        return loop

    uvloop.new_event_loop = watched


def main(argv: list[str]) -> None:
    """Run the program as if by its own name."""
    board, program, *rest = argv
    install(Board(Path(board)))
    sys.argv = [program, *rest]
    runpy.run_path(program, run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
