"""What engines say of their load reaches the workers: what is new, in few messages, and nothing that is old."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from engines.errors import ConnectFailed
from engines.loads import EngineLoad
from gateway.control.asking.loads import COALESCE_S, EngineLoads
from gateway.control.pacing import HURRY_S, PAUSE_S, PER_TURN
from gateway.workers.exchange.messages import LoadReport
from tests.gateway.flights import FakeEngine
from tests.gateway.virtual_time import in_virtual_time

IDLE = EngineLoad(0, 0, 0.0, 16_000)
INTERVAL_S = 2.0


class Telling(FakeEngine):
    """Tells `loads` by replica; None is a 404, an exception is raised, and a replica without any hangs."""

    def __init__(self, **loads: EngineLoad | Exception | None) -> None:
        super().__init__("e", 0, (), True)
        self.loads: dict[str, EngineLoad | Exception | None] = {}
        self.say(**loads)
        self.hangs: set[str] = set()
        self.asked = 0

    def say(self, **loads: EngineLoad | Exception | None) -> None:
        self.loads |= {name.removeprefix("r"): load for name, load in loads.items()}
        self.replicas = FakeEngine("e", len(self.loads), (), True).replicas

    async def load(self, replica_id: str) -> EngineLoad | None:
        self.asked += 1
        if replica_id in self.hangs:
            await asyncio.sleep(3600.0)
        load = self.loads[replica_id]
        if isinstance(load, Exception):
            raise load
        return load


class Story:
    """Rounds over one engine, and what was told of it."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine
        self.told: list[list[LoadReport]] = []
        self.goes_out = True
        self.loads = EngineLoads(lambda: [("e", engine)], self._tell)

    def _tell(self, reports: list[LoadReport], interval_s: float) -> bool:
        assert interval_s == INTERVAL_S
        self.told.append(reports)
        return self.goes_out

    async def round(self) -> list[LoadReport]:
        """What was told in one round, all in one message or none at all."""
        before = len(self.told)
        await self.loads.ask_all(INTERVAL_S)
        await asyncio.sleep(2 * COALESCE_S)
        assert len(self.told) - before <= 1
        return self.told[-1] if len(self.told) > before else []


def story(work: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await work()

    in_virtual_time(run)


def report(replica: str, load: EngineLoad, *, restarted: bool = False) -> LoadReport:
    return LoadReport("e", replica, load.running, load.waiting, load.kv_usage, load.cache_tokens, restarted)


def test_all_replicas_are_told_of_in_one_message_and_idle_ones_once() -> None:
    async def work() -> None:
        busy = EngineLoad(3, 1, 0.5, 16_000)
        told = Story(Telling(r0=IDLE, r1=busy, r2=IDLE))
        assert await told.round() == [report("0", IDLE), report("1", busy), report("2", IDLE)]
        assert await told.round() == [report("1", busy)]  # the same again, or it would be taken to have ended
        told.engine.say(r1=IDLE)  # type: ignore[attr-defined]
        assert await told.round() == [report("1", IDLE)]
        assert await told.round() == []

    story(work)


def test_a_large_fleet_is_told_of_in_few_messages() -> None:
    async def work() -> None:
        engine = Telling(**{f"r{number}": IDLE for number in range(1000)})
        told = Story(engine)
        await told.loads.ask_all(INTERVAL_S)
        await asyncio.sleep(1.0)
        assert sum(len(reports) for reports in told.told) == 1000
        assert len(told.told) <= 1000 * 0.01 / 4 / COALESCE_S + 2

    story(work)


@pytest.mark.parametrize("silence", [None, ConnectFailed("refused")])
def test_one_that_is_gone_or_has_no_such_page_is_told_of_no_more(silence: Exception | None) -> None:
    async def work() -> None:
        busy = EngineLoad(3, 1, 0.5)
        engine = Telling(r0=busy, r1=busy)
        told = Story(engine)
        await told.round()
        engine.say(r0=silence)
        assert await told.round() == [report("1", busy)]
        assert list(told.loads.waiting()) == [(("e", "0"), 1.0), (("e", "1"), 1.0)]
        await asyncio.sleep(INTERVAL_S)
        await told.round()
        await asyncio.sleep(INTERVAL_S)
        await told.round()
        await asyncio.sleep(INTERVAL_S)
        await told.round()
        assert list(told.loads.waiting()) == [(("e", "1"), 1.0)]

    story(work)


def test_one_that_hangs_holds_up_neither_what_is_told_of_others_nor_the_next_round() -> None:
    async def work() -> None:
        busy = EngineLoad(3, 1, 0.5)
        engine = Telling(r0=busy, r1=busy)
        engine.hangs = {"0"}
        told = Story(engine)
        loop = asyncio.get_running_loop()
        asking = loop.create_task(told.loads.ask_all(INTERVAL_S))
        await asyncio.sleep(2 * COALESCE_S)
        assert told.told == [[report("1", busy)]]
        await asking
        assert loop.time() == INTERVAL_S
        assert told.loads.rest_s(INTERVAL_S) == 0.0

    story(work)


def test_an_engine_whose_counters_fall_has_started_anew() -> None:
    async def work() -> None:
        engine = Telling(r0=EngineLoad(0, 0, 0.0, 16_000, 16, 1000, 900))
        told = Story(engine)
        assert [one.restarted for one in await told.round()] == [False]
        engine.say(r0=EngineLoad(0, 0, 0.0, 16_000, 16, 2000, 1800))
        await told.round()
        assert dict(told.loads.hit_ratios()) == pytest.approx({("e", "0"): 0.9})
        engine.say(r0=EngineLoad(0, 0, 0.0, 16_000, 16, 500, 100))
        assert [one.restarted for one in await told.round()] == [True]
        assert dict(told.loads.hit_ratios()) == pytest.approx({("e", "0"): 0.2})
        engine.say(r0=EngineLoad(1, 0, 0.1, 16_000, 16, 600, 100))
        assert [one.restarted for one in await told.round()] == [False]

    story(work)


def test_what_did_not_go_out_is_told_again() -> None:
    async def work() -> None:
        engine = Telling(r0=EngineLoad(0, 0, 0.0, 16_000, 16, 1000, 900))
        told = Story(engine)
        await told.round()
        told.goes_out = False
        engine.say(r0=EngineLoad(0, 0, 0.0, 16_000, 16, 1, 0))
        assert [one.restarted for one in await told.round()] == [True]
        told.goes_out = True
        assert [one.restarted for one in await told.round()] == [True]
        assert [one.restarted for one in await told.round()] == [False]
        assert await told.round() == []

    story(work)


def test_a_worker_that_joins_is_told_of_idle_replicas_too() -> None:
    async def work() -> None:
        told = Story(Telling(r0=IDLE))
        await told.round()
        assert await told.round() == []
        told.loads.tell_again()
        assert await told.round() == [report("0", IDLE)]
        assert await told.round() == []
        told.loads.tell_again()
        told.goes_out = False
        assert await told.round() == [report("0", IDLE)]
        told.loads.tell_again()
        told.goes_out = True
        assert await told.round() == [report("0", IDLE)]
        assert await told.round() == []

    story(work)


def test_the_first_round_is_in_a_hurry_and_no_other() -> None:
    async def work() -> None:
        told = Story(Telling(**{f"r{number}": IDLE for number in range(1000)}))
        loop, took_s = asyncio.get_running_loop(), list[float]()
        for _ in range(3):
            began_s = loop.time()
            await told.loads.ask_all(INTERVAL_S)
            took_s.append(loop.time() - began_s)
        usual_s = pytest.approx((1000 // PER_TURN - 1) * PAUSE_S)
        assert took_s == [pytest.approx((1000 // PER_TURN - 1) * HURRY_S), usual_s, usual_s]

    story(work)


def test_a_replica_that_has_left_is_forgotten() -> None:
    async def work() -> None:
        engine = Telling(r0=EngineLoad(3, 1, 0.5), r1=EngineLoad(3, 1, 0.5))
        told = Story(engine)
        await told.round()
        del engine.loads["1"]
        engine.say()
        await told.round()
        assert list(told.loads.waiting()) == [(("e", "0"), 1.0)]

    story(work)


def test_a_cache_that_somebody_emptied_is_told_with_the_next_report_though_nothing_else_is_new() -> None:
    async def run() -> None:
        story = Story(Telling(r0=IDLE))
        assert [report.restarted for report in await story.round()] == [False]
        assert await story.round() == []
        story.loads.emptied("e", "0")
        story.loads.emptied("e", "nobody")
        assert [report.restarted for report in await story.round()] == [True]
        assert [report.restarted for report in await story.round()] == [False], "and it is said once"

    in_virtual_time(run)
