"""Rounds of questions that go on at the same time: what they await together, and what makes room in it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

import pytest

from gateway.control.pacing import AT_ONCE, HURRY_S, PAUSE_S, PER_TURN, SILENT_S, TOGETHER, paced
from tests.gateway.virtual_time import in_virtual_time

FLEET = 2_000
FULL_S = FLEET // PER_TURN * PAUSE_S


class Asked:
    """Counts what is begun and awaited."""

    def __init__(self, answer: Callable[[], Awaitable[object]]) -> None:
        self._answer = answer
        self.begun = self.awaited = self.most = 0

    def questions(self, count: int) -> Iterator[Callable[[], Coroutine[Any, Any, None]]]:
        return (self.ask for _ in range(count))

    async def ask(self) -> None:
        self.begun += 1
        self.awaited += 1
        self.most = max(self.most, self.awaited)
        try:
            await self._answer()
        finally:
            self.awaited -= 1


def test_three_rounds_go_on_at_full_pace_while_answers_take_a_twentieth_of_a_second() -> None:
    async def work() -> None:
        asked = Asked(lambda: asyncio.sleep(0.05))
        await asyncio.gather(*(paced(asked.questions(FLEET)) for _ in range(3)))
        assert asked.begun == 3 * FLEET
        assert asyncio.get_running_loop().time() == pytest.approx(FULL_S, rel=0.05)

    in_virtual_time(work)


@pytest.mark.parametrize("rounds", [1, 3])
def test_rounds_in_a_hurry_share_a_shorter_pause_and_hold_up_no_other(rounds: int) -> None:
    async def work() -> None:
        loop, asked = asyncio.get_running_loop(), Asked(lambda: asyncio.sleep(0.001))
        usual = asyncio.ensure_future(paced(asked.questions(FLEET)))
        hurried = Asked(lambda: asyncio.sleep(0.001))
        await asyncio.gather(*(paced(hurried.questions(FLEET), hurried=True) for _ in range(rounds)))
        assert hurried.begun == rounds * FLEET
        assert loop.time() == pytest.approx(rounds * FLEET // PER_TURN * HURRY_S, rel=0.05)
        await usual
        assert loop.time() == pytest.approx(FULL_S, rel=0.05)

    in_virtual_time(work)


def test_one_in_a_hurry_that_is_cancelled_leaves_the_pause_to_others() -> None:
    async def work() -> None:
        first, second = (Asked(lambda: asyncio.sleep(0)) for _ in range(2))
        hurrying = [asyncio.ensure_future(paced(each.questions(FLEET), hurried=True)) for each in (first, second)]
        await asyncio.sleep(10 * HURRY_S)
        hurrying[0].cancel()
        await asyncio.wait(hurrying)
        assert first.begun < FLEET == second.begun

    in_virtual_time(work)


def test_what_answers_after_a_hiccup_in_one_turn_is_what_all_rounds_await_together() -> None:
    async def work() -> None:
        over = asyncio.Event()
        asked = Asked(over.wait)
        rounds = asyncio.gather(*(paced(asked.questions(FLEET)) for _ in range(3)))
        await asyncio.sleep(SILENT_S * 0.99)
        assert (asked.awaited, asked.most) == (TOGETHER, TOGETHER)
        over.set()
        await rounds
        assert asked.begun == 3 * FLEET

    in_virtual_time(work)


def test_the_silent_make_room_for_others_until_as_many_as_one_round_may_have() -> None:
    async def work() -> None:
        silent, quick = Asked(asyncio.Event().wait), Asked(lambda: asyncio.sleep(0.001))
        first = asyncio.ensure_future(paced(silent.questions(FLEET)))
        await asyncio.sleep(SILENT_S * (AT_ONCE / TOGETHER + 2))
        assert silent.awaited == AT_ONCE
        began_s = asyncio.get_running_loop().time()
        await paced(quick.questions(FLEET))
        assert asyncio.get_running_loop().time() - began_s == pytest.approx(FULL_S, rel=0.05)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)

    in_virtual_time(work)


@pytest.mark.parametrize("after_s", [0.0, PAUSE_S, PAUSE_S * 10, SILENT_S * 3])
def test_a_round_that_is_cancelled_or_fails_leaves_all_the_room_it_had(after_s: float) -> None:
    async def failing() -> None:
        await asyncio.sleep(after_s)
        raise ValueError("of one")

    async def silent() -> None:
        await asyncio.Event().wait()

    async def work() -> None:
        for _ in range(TOGETHER):
            cancelled = asyncio.ensure_future(paced(Asked(asyncio.Event().wait).questions(FLEET)))
            await asyncio.sleep(after_s)
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            with pytest.raises(ExceptionGroup):
                await paced(iter([silent, failing, silent]))
        over = asyncio.Event()
        asked = Asked(over.wait)
        later = asyncio.ensure_future(paced(asked.questions(TOGETHER)))
        await asyncio.sleep(SILENT_S * 0.99)
        assert asked.awaited == TOGETHER
        over.set()
        await later

    in_virtual_time(work)
