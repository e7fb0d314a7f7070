"""What a worker has counted is told soon, whole, a few series at a time, and only when it has changed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.telemetry.metrics import Accumulator, Metrics, merge
from gateway.telemetry.metrics.families.retries import RETRIES
from gateway.workers.exchange.counting import AT_ONCE, CountTelling
from gateway.workers.exchange.messages import Counters, SeriesCounted, ToPlane


class Ear:
    """Takes every message, or drops it while `deaf`."""

    def __init__(self) -> None:
        self.deaf = False
        self.heard: list[ToPlane] = []

    def __call__(self, message: ToPlane) -> bool:
        if not self.deaf:
            self.heard.append(message)
        return not self.deaf

    def series(self) -> list[list[str]]:
        return [[one.model for one in told.series] for told in self.heard if isinstance(told, SeriesCounted)]


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def counted(models: int) -> Metrics:
    metrics = Metrics([f"m{number}" for number in range(models)])
    for model in sorted(metrics.models):
        metrics.series(model, "e").settle(200, 0.1)
    return metrics


def test_only_what_has_changed_is_told_again() -> None:
    metrics, ear = counted(3), Ear()
    counting = CountTelling(metrics, ear)
    run(counting.tell())
    metrics.series("m1", "e").error("cut_off")
    run(counting.tell())
    run(counting.tell())
    assert ear.series() == [["m0", "m1", "m2"], ["m1"]]
    assert [type(message) for message in ear.heard].count(Counters) == 3


def test_many_series_are_told_in_pieces_between_which_the_loop_turns() -> None:
    metrics, ear = counted(AT_ONCE * 2 + 1), Ear()
    turns: list[int] = []

    async def tell() -> None:
        loop = asyncio.get_running_loop()

        def turn() -> None:
            turns.append(len(ear.heard))
            loop.call_soon(turn)

        loop.call_soon(turn)
        await CountTelling(metrics, ear).tell()

    run(tell())
    assert [len(piece) for piece in ear.series()] == [AT_ONCE, AT_ONCE, 1]
    assert turns[:3] == [1, 2, 3]


def test_what_found_no_room_is_told_the_next_time() -> None:
    metrics, ear = counted(2), Ear()
    counting = CountTelling(metrics, ear)
    ear.deaf = True
    run(counting.tell())
    ear.deaf = False
    run(counting.tell())
    assert ear.series() == [["m0", "m1"]]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.booleans()), max_size=30))
def test_what_was_heard_adds_up_to_what_was_counted(steps: list[tuple[int, bool, bool]]) -> None:
    metrics, ear, accumulator = Metrics([f"m{number}" for number in range(4)]), Ear(), Accumulator()
    counting = CountTelling(metrics, ear)
    for model, tells, deaf in steps:
        metrics.series(f"m{model}", "e").settle(200, 0.25)
        metrics.count(RETRIES, "e", "overloaded")
        ear.deaf = deaf
        if tells:
            run(counting.tell())
    ear.deaf = False
    ear.heard.append(run(counting.answer()))
    for message in ear.heard:
        match message:
            case SeriesCounted():
                accumulator.update_series("w", message.series)
            case Counters():
                accumulator.update_others("w", message.counters, message.gauges)
    assert accumulator.total() == merge([metrics.snapshot()])
    accumulator.departed("w")
    assert accumulator.total() == merge([metrics.snapshot()])
