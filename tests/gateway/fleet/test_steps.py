"""Steps let the loop turn, and what one of them raises is raised."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator

import pytest

from gateway.fleet.steps import at_once, in_slices, slices
from gateway.serve import settle_memory

pytestmark = pytest.mark.anyio


def steps(count: int, done: list[int], fails_at: int = -1) -> Iterator[None]:
    for number in range(count):
        if number == fails_at:
            raise ValueError(f"step {number}")
        done.append(number)
        yield


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
