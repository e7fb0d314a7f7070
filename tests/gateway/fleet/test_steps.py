"""Steps let the loop turn, and what one of them raises is raised."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator

import pytest

from engines.turns import own_turn
from gateway.fleet.steps import at_once, in_slices, slices
from gateway.serve import settle_memory

pytestmark = pytest.mark.anyio


@pytest.fixture
def no_passes() -> Iterator[None]:
    """A pass of the collector would have a turn of its own."""
    gc.disable()
    yield
    gc.enable()


def steps(count: int, done: list[int], fails_at: int = -1) -> Iterator[None]:
    for number in range(count):
        if number == fails_at:
            raise ValueError(f"step {number}")
        done.append(number)
        yield


@pytest.mark.usefixtures("no_passes")
async def test_others_run_between_slices() -> None:
    done: list[int] = []
    seen: list[int] = []
    working = asyncio.ensure_future(in_slices(steps(5, done), slice_s=0.0))
    while not working.done():
        seen.append(len(done))
        await asyncio.sleep(0)
    assert done == [0, 1, 2, 3, 4]
    assert seen == [0, 1, 2, 3, 4, 5]


async def test_what_fits_into_a_slice_is_one_turn() -> None:
    done: list[int] = []
    working = asyncio.ensure_future(in_slices(steps(5, done), slice_s=3600.0))
    await asyncio.sleep(0)
    assert working.done()
    assert done == [0, 1, 2, 3, 4]


@pytest.mark.usefixtures("no_passes")
async def test_who_works_in_steps_at_the_same_time_has_turns_of_its_own() -> None:
    turns: list[list[str]] = [[]]

    def working(name: str) -> Iterator[None]:
        for _ in range(4):
            turns[-1].append(name)
            yield

    works = asyncio.gather(*(in_slices(working(name), slice_s=0.0) for name in "abc"))
    while not works.done():
        await asyncio.sleep(0)
        turns.append([])
    assert [piece for turn in turns for piece in turn] == list("abcabcabcabc")
    assert max(map(len, turns)) == 1


async def test_whoever_is_alone_has_every_turn() -> None:
    turn, seen = 0, list[int]()

    async def working() -> None:
        for _ in range(4):
            await own_turn()
            seen.append(turn)

    work = asyncio.ensure_future(working())
    while not work.done():
        await asyncio.sleep(0)
        turn += 1
    assert seen == [1, 2, 3, 4]


@pytest.mark.usefixtures("no_passes")
async def test_who_is_cancelled_while_it_waits_holds_nobody_up() -> None:
    done: list[int] = []
    first, second, third = (asyncio.ensure_future(in_slices(steps(2, done), slice_s=0.0)) for _ in range(3))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.gather(first, third)
    assert (done, second.cancelled()) == ([0, 0, 1, 1], True)
    await asyncio.wait_for(own_turn(), 60.0)


async def test_a_step_that_fails_ends_them_with_what_it_raised() -> None:
    done: list[int] = []
    with pytest.raises(ValueError, match="step 2"):
        await in_slices(steps(5, done, fails_at=2), slice_s=0.0)
    with pytest.raises(ValueError, match="step 2"):
        at_once(steps(5, done, fails_at=2))
    assert done == [0, 1, 0, 1]


def test_no_pass_of_the_collector_has_much_to_look_through_while_much_is_built() -> None:
    kept: list[list[int]] = []
    looked: list[int] = []

    def building() -> Iterator[None]:
        for _ in range(20):
            kept.extend([] for _ in range(1_500))
            yield
        kept.extend([] for _ in range(5_000))  # so many that a pass comes by itself

    def look(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            looked.append(sum(len(gc.get_objects(young)) for young in range(info["generation"] + 1)))

    thresholds = gc.get_threshold()
    settle_memory()
    gc.callbacks.append(look)
    try:
        for _ in slices(building(), slice_s=0.0):
            pass
    finally:
        gc.callbacks.remove(look)
        gc.set_threshold(*thresholds)
    assert len(looked) > 15
    assert max(looked) < 8_000  # 1.5 ms
