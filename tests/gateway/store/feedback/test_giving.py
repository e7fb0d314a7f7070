"""Looks by a request id are few at once, and whoever names a record does not wait for them."""

from __future__ import annotations

import asyncio
import threading

import pytest

from gateway.store.feedback.giving import LOOKS, TOO_MANY, Giving
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
