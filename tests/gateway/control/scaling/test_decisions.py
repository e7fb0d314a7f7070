"""Decisions reach the store once it takes them, in order, and memory keeps the last."""

from __future__ import annotations

import pytest

from gateway.control.scaling.decisions import AT_ONCE, KEPT, Decided, ScalingLog
from gateway.store.scalings.messages import KeepScalings, ScalingsKept

pytestmark = pytest.mark.anyio


class Store:
    def __init__(self) -> None:
        self.away = ""
        self.heard: list[KeepScalings] = []

    async def keep(self, asked: KeepScalings) -> ScalingsKept:
        self.heard.append(asked)
        return ScalingsKept(self.away)

    def numbers(self) -> list[list[int]]:
        heard, self.heard = self.heard, []
        return [[one.number for one in asked.decided] for asked in heard]


def decide(log: ScalingLog, count: int) -> None:
    for number in range(count):
        log.decided(Decided("2026-11-28T02:00:00Z", "e", number, number + 1, "load", "so"), 1_790_000_000_000 + number)


async def test_what_the_store_does_not_confirm_it_is_told_again() -> None:
    store = Store()
    log = ScalingLog(store.keep)
    store.away = "it is away"
    decide(log, 2)
    await log.send()
    decide(log, 1)
    store.away = ""
    await log.send()
    assert len({asked.run for asked in store.heard}) == 1
    assert store.numbers() == [[1, 2], [1, 2, 3]]
    await log.send()
    assert store.numbers() == []


async def test_many_are_told_in_parts_and_while_it_is_away_only_the_last_are_kept_for_it() -> None:
    store = Store()
    log = ScalingLog(store.keep)
    store.away = "it is away"
    decide(log, KEPT + 5)
    await log.send()
    assert store.numbers() == [[*range(6, 6 + AT_ONCE)]]
    store.away = ""
    await log.send()
    assert [number for part in store.numbers() for number in part] == [*range(6, KEPT + 6)]


async def test_without_a_store_memory_has_the_last_of_them() -> None:
    log = ScalingLog()
    decide(log, KEPT + 5)
    await log.send()
    assert [one.had for one in log.last] == [*reversed(range(5, KEPT + 5))]
