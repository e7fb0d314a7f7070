"""Looks by a request id are few at once, and whoever names a record does not wait for them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from gateway.store.feedback.giving import LOOKS, MOST_AT_ONCE, TOO_MANY, Gathering, Giving
from gateway.store.feedback.messages import FeedbackGiven, GiveFeedback

pytestmark = pytest.mark.anyio


def given(record_id: str = "", request_id: str = "") -> GiveFeedback:
    return GiveFeedback("shop", "app", record_id, request_id, "good", 1.0, "", "", "", 0, {})


class Table:
    """One whose looks by a request id last until they may end."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.all_look = threading.Barrier(LOOKS + 1)
        self.looked: list[str] = []

    def give(self, given: GiveFeedback) -> FeedbackGiven:
        if given.request_id == "raises":
            raise ValueError(given.request_id)
        if given.request_id:
            self.looked.append(given.request_id)
            if len(self.looked) <= LOOKS:
                self.all_look.wait(30)
            assert self.may_end.wait(30)
        return FeedbackGiven(record_id=given.record_id or given.request_id)


async def test_looks_are_few_at_once_and_records_do_not_wait_for_them() -> None:
    table = Table()
    giving, hasty = Giving(table.give), Giving(table.give, wait_s=0.0)
    hasty._looks = giving._looks
    async with asyncio.TaskGroup() as group:
        looks = [group.create_task(giving.give(given(request_id=str(number)))) for number in range(LOOKS + 1)]
        await asyncio.to_thread(table.all_look.wait, 30)
        assert "aa" == (await giving.give(given("aa"))).record_id
        assert FeedbackGiven("away", TOO_MANY) == await hasty.give(given(request_id="hasty"))
        assert LOOKS == len(table.looked)
        table.may_end.set()
    assert ["0", "1", "2"] == [look.result().record_id for look in looks]


async def test_a_look_that_fails_gives_its_place_back() -> None:
    giving = Giving(Table().give, wait_s=30.0)
    for _ in range(LOOKS + 1):
        with pytest.raises(ValueError, match="raises"):
            await giving.give(given(request_id="raises"))


class Kept:
    """Keeps what it is given together, when it may."""

    def __init__(self) -> None:
        self.together: list[list[str]] = []
        self.may = asyncio.Event()

    async def give(self, given: Sequence[GiveFeedback]) -> list[FeedbackGiven]:
        self.together.append([one.record_id for one in given])
        await self.may.wait()
        if "raises" in self.together[-1]:
            raise ValueError("raises")
        return [FeedbackGiven(record_id=one.record_id) for one in given]


async def test_what_comes_while_another_is_kept_is_kept_together_and_each_hears_of_its_own() -> None:
    kept = Kept()
    giving = Gathering(kept.give)
    names = ["first", *[f"{number:02}" for number in range(MOST_AT_ONCE + 1)]]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(giving.give(given(name))) for name in names]
        while not kept.together:
            await asyncio.sleep(0)
        kept.may.set()
    assert [task.result().record_id for task in tasks] == names
    assert kept.together == [["first"], names[1 : MOST_AT_ONCE + 1], names[MOST_AT_ONCE + 1 :]]


async def test_what_cannot_be_kept_fails_for_all_of_it_and_for_nothing_after_it() -> None:
    kept = Kept()
    giving = Gathering(kept.give)
    tasks = [asyncio.ensure_future(giving.give(given(name))) for name in ("first", "raises", "beside")]
    while not kept.together:
        await asyncio.sleep(0)
    kept.may.set()
    told = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(one) for one in told] == [FeedbackGiven, ValueError, ValueError]
    assert (await giving.give(given("after"))).record_id == "after"
