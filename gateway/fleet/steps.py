"""Work that would hold up the streams, done in small steps between them.

Building is written as a generator that yields between steps of well under a millisecond; `in_slices` runs as many of
them as fit into a slice and then lets the loop turn. So no turn of the loop is held longer than a slice and one step.
Nor do the pieces of several who work at the same time add up: each waits for a turn that is its own (`own_turn`).

The garbage collector is made to keep to that too. Left alone it would wait for its threshold and then look through all
that a large change has built, 11 ms at a time for 19,200 replicas (measured): so each slice has its own objects looked
through while they are few, and what a large change leaves is set aside for good, as the start-up's objects are.
"""

from __future__ import annotations

import gc
from collections.abc import Generator, Iterator
from typing import Any, Final, TypeVar

from engines.turns import own_turn, this_turn
from gateway import clock

T = TypeVar("T")
SLICE_S: Final = 0.0004
_YOUNG: Final = 500
"""Objects that slices may leave unseen: what one more slice adds must not bring the collector's own pass, in it."""
_PASSES: Final = 2
_LARGE: Final = 8
"""Collections that make a change a large one: it built more than 8,000 objects."""

_FREED_AT_ONCE: Final = 256
_LET_GO_AT_ONCE: Final = 8
"""An engine's section of 64 replicas is one of them."""


async def in_slices(steps: Iterator[None], slice_s: float = SLICE_S) -> None:
    """Run all steps, each `slice_s` seconds of them in a turn of their own. Raises what a step raises."""
    await this_turn()
    for _ in slices(steps, slice_s):
        await own_turn()


async def made_in_slices(making: Generator[None, None, T]) -> T:
    """What a generator of steps comes to; see `in_slices`."""
    made: list[T] = []

    def steps() -> Iterator[None]:
        made.append((yield from making))

    await in_slices(steps())
    return made[0]


def slices(steps: Iterator[None], slice_s: float = SLICE_S) -> Iterator[None]:
    """Run all steps, yielding after each `slice_s` seconds."""
    collected = 0
    until_s = clock.monotonic() + slice_s
    for _ in steps:
        if clock.monotonic() >= until_s:
            yield
            if gc.isenabled() and gc.get_count()[0] > _YOUNG:
                look_through()
                collected += 1
                yield  # a turn of its own: it may take as long as a slice
            until_s = clock.monotonic() + slice_s
    if collected > _LARGE:
        gc.freeze()


def look_through() -> None:
    """Collect what is young, and now and then what such passes have left: all of that together is otherwise looked
    through by the next pass that comes by itself, on the loop, however much it is by then."""
    gc.collect(1 if gc.get_count()[1] >= _PASSES else 0)


def emptying(keys: set[tuple[str, str]]) -> Iterator[None]:
    """Empty a set in steps: to free the keys of 19,200 replicas at once takes 5 ms."""
    while keys:
        for _ in range(min(len(keys), _FREED_AT_ONCE)):
            keys.pop()
        yield


def letting_go(held: list[Any]) -> Iterator[None]:
    """Empty a list in steps. What nobody else has is freed; so whoever drops a whole of many parts holds these here."""
    while held:
        del held[-_LET_GO_AT_ONCE:]
        yield


def at_once(steps: Iterator[None]) -> None:
    """Run all steps now, where no stream is held up. Raises what a step raises."""
    for _ in steps:
        pass
