"""Who is asked first whether it sleeps, and how many at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from gateway.control.pacing import PER_TURN
from gateway.control.scaling.greeted import Greeted

pytestmark = pytest.mark.anyio


class Case:
    """Engines that can be asked once they are `known`, and what was asked of them."""

    def __init__(self, *known: str) -> None:
        self.known = set(known)
        self.asked: list[tuple[str, str]] = []
        self.answers = asyncio.Event()
        self.works: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self.greeted = Greeted(lambda _, work: self.works.append(work), lambda engine: engine in self.known, self._ask)

    async def _ask(self, engine: str, replica: str) -> None:
        self.asked.append((engine, replica))
        await self.answers.wait()


async def test_of_many_that_come_at_once_two_are_asked_in_a_turn() -> None:
    case = Case("e")
    case.answers.set()
    for number in range(50):
        case.greeted.add("e", f"{number}")
    (work,) = case.works
    looking, before = asyncio.ensure_future(work()), 0
    while not looking.done():
        await asyncio.sleep(0)
        assert len(case.asked) - before <= PER_TURN
        before = len(case.asked)
    assert case.asked == [("e", f"{number}") for number in range(50)]


async def test_who_comes_while_answers_are_awaited_waits_for_none_of_them() -> None:
    case = Case("e")
    case.greeted.add("e", "silent")
    looking = asyncio.ensure_future(case.works[0]())
    while not case.asked:
        await asyncio.sleep(0)
    while len(case.works) == 1:
        await asyncio.sleep(0)
        case.greeted.add("e", "new")
    later = asyncio.ensure_future(case.works[1]())
    while len(case.asked) == 1:
        await asyncio.sleep(0)
    assert not looking.done()
    assert case.asked == [("e", "silent"), ("e", "new")]
    case.answers.set()
    await asyncio.gather(looking, later)


async def test_whose_engine_cannot_be_asked_yet_is_asked_once_it_can_be_and_only_once() -> None:
    case = Case()
    case.answers.set()
    case.greeted.add("e", "a")
    await case.works[0]()
    await case.greeted.look()
    assert case.asked == []
    case.known.add("e")
    await case.greeted.look()
    await case.greeted.look()
    assert case.asked == [("e", "a")]
    case.greeted.add("e", "b")
    assert len(case.works) == 2
