"""The autoscaling loop over an actuator of paper: what workers tell in, numbers of replicas out."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime

import pytest
from structlog.testing import capture_logs

from gateway.control.scaling.actuator import Standing
from gateway.control.scaling.autoscale import AT_ONCE, Autoscaling
from gateway.fleet.steps import at_once
from gateway.settings import Settings, load_settings
from gateway.workers.exchange.demand import EngineDemand, EngineStart

pytestmark = pytest.mark.anyio

NOON = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)  # a Friday


def settings(autoscale: str = "min: 0, max: 8, startup_s: 30", model: str = "") -> Settings:
    return load_settings(
        f"engines: {{e: {{kind: simulator, autoscale: {{{autoscale}}}}}, other: {{kind: simulator}}}}\n"
        f"models: {{m: {{targets: [{{engine: e}}]{model}}}}}\n",
        {},
    ).settings


class Paper:
    """An actuator whose replicas start when told; it keeps the laws of `gateway.control.scaling.actuator.Actuator`."""

    def __init__(self, ready: int = 0) -> None:
        self.ready = [f"e-{n}" for n in range(ready)]
        self.starting: dict[str, float] = {}
        self.failing: list[str] = []
        self.leaving: list[str] = []
        self.scaled: list[int] = []
        self.retired: list[str] = []
        self.released: list[str] = []
        self.in_flight: Mapping[str, int] = {}
        self.again_s = 4.0
        self.acting = True
        self.looked = 0
        """How often anybody has asked for the standing of an engine."""

    def acts(self, engine: str) -> bool:
        return self.acting

    def standing(self, engine: str, now: float) -> Standing:
        self.looked += 1
        return Standing(self.ready, self.starting, self.failing, self.leaving, "out of memory", self.again_s)

    def scale(self, engine: str, wanted: int, in_flight: Mapping[str, int], now: float) -> None:
        self.scaled.append(wanted)
        self.in_flight = in_flight
        for _ in range(wanted - len(self.ready) - len(self.starting)):
            self.starting[f"e-{len(self.ready) + len(self.starting)}"] = now
        for id in [id for id in self.starting if wanted == 0]:
            del self.starting[id]
        while len(self.ready) + len(self.starting) > wanted:
            self.leaving.append(min(self.ready, key=lambda id: in_flight.get(id, 0)))
            self.ready.remove(self.leaving[-1])

    def idle(self, engine: str, ids: Collection[str]) -> None:
        self.retired += ids

    def release(self, engine: str) -> None:
        self.released.append(engine)

    def serve(self) -> None:
        self.ready += self.starting
        self.starting = {}


def demand(**of: object) -> EngineDemand:
    rest = {"prefill_tokens": 0, "waiting": 0, "waiting_tokens": 0, "ended": 0, "ended_tokens": 0, "in_flight": 0}
    speeds = {"ended_output_tokens": 0, "ms_per_token": 0.25, "base_ms": 20.0, "decode_ms_per_token": 10.0}
    return EngineDemand("e", **{**rest, **speeds, "replicas": [], **of})  # type: ignore[arg-type]


class Bench:
    """The loop, its actuator, and what workers say."""

    def __init__(self, ready: int = 0, config: Settings | None = None) -> None:
        self.paper = Paper(ready)
        self.workers: dict[str, list[EngineDemand] | None] = {"0": [demand()]}
        self.told: list[list[EngineStart]] = []
        self.now = 100.0
        self.wall = NOON
        self.kv: float | None = None
        self.asked: list[list[str]] = []
        self.busy: Collection[str] | None = ()
        self.loop = Autoscaling(
            self.paper,
            self._ask,
            lambda *_: self.kv,
            self.told.append,
            lambda: self.wall,
            lambda: self.now,
            lambda _: self.busy,
        )
        self.loop.use(config or settings())

    async def _ask(self, engines: list[str]) -> dict[str, list[EngineDemand] | None]:
        self.asked.append(engines)
        return self.workers

    async def look(self, times: int = 1, **of: object) -> None:
        for _ in range(times):
            self.now += 2.0
            if of:
                self.workers = {"0": [demand(**of)]}
            await self.loop.look()


async def test_only_engines_that_follow_their_traffic_are_asked_about() -> None:
    bench = Bench()
    await bench.look()
    assert bench.asked == [["e"]]
    assert bench.loop.wanted() == [(("e",), 0.0)]


def many(count: int, least: int = 1, most: int = 8) -> Settings:
    engines = {f"e{at}": {"kind": "simulator", "autoscale": {"min": least, "max": most}} for at in range(count)}
    models = {name: {"targets": [{"engine": name}]} for name in engines}
    return load_settings(json.dumps({"engines": engines, "models": models}), {}).settings


async def test_of_many_engines_a_few_are_looked_at_in_a_turn() -> None:
    bench, turns = Bench(config=many(40)), 0
    looking = asyncio.ensure_future(bench.look())
    while not looking.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns >= 2 * 40 // AT_ONCE  # looked at and decided on, told of
    assert bench.loop.wanted() == [((f"e{at}",), 1.0) for at in range(40)]
    assert bench.paper.scaled == [1] * 40


async def test_who_follows_its_traffic_no_more_is_decided_on_no_more() -> None:
    bench = Bench(config=many(40))
    looking = asyncio.ensure_future(bench.look())
    while len(bench.asked) == 0:
        await asyncio.sleep(0)
    bench.loop.use(many(3))
    await looking
    assert bench.paper.scaled == [1] * AT_ONCE  # those of the first turn
    assert sorted(bench.paper.released) == sorted(f"e{at}" for at in range(3, 40))


class Papers:
    """An actuator of engines of which each has its own replicas."""

    def __init__(self) -> None:
        self.of: defaultdict[str, Paper] = defaultdict(Paper)

    def acts(self, engine: str) -> bool:
        return True

    def standing(self, engine: str, now: float) -> Standing:
        return self.of[engine].standing(engine, now)

    def scale(self, engine: str, wanted: int, in_flight: Mapping[str, int], now: float) -> None:
        self.of[engine].scale(engine, wanted, in_flight, now)

    def idle(self, engine: str, ids: Collection[str]) -> None:
        pass

    def release(self, engine: str) -> None:
        pass


async def in_the_middle(papers: Papers, config: Settings, turns: int, change: Callable[[Autoscaling], None]) -> None:
    """One look, in which something happens after so many turns of the loop."""

    async def ask(_: list[str]) -> dict[str, list[EngineDemand] | None]:
        return {"0": []}

    now_s = itertools.count(100.0, 1e-4)
    loop = Autoscaling(papers, ask, lambda *_: None, lambda _: None, lambda: NOON, lambda: next(now_s))
    loop.use(config)
    looking = asyncio.ensure_future(loop.look())
    for _ in range(turns):
        await asyncio.sleep(0)
    assert not looking.done()
    change(loop)
    await looking


@pytest.mark.parametrize("turns", range(10))
async def test_an_engine_that_is_woken_in_the_middle_of_a_look_stays_so(turns: int) -> None:
    papers, config = Papers(), many(40, least=0)
    await in_the_middle(papers, config, turns, lambda loop: loop.woken(list(config.engines)))
    assert [name for name in config.engines if len(papers.of[name].starting) != 1] == []


@pytest.mark.parametrize("turns", range(10))
async def test_whose_bounds_change_in_the_middle_of_a_look_is_decided_on_by_one_or_the_other(turns: int) -> None:
    papers = Papers()
    await in_the_middle(papers, many(40, 2, 8), turns, lambda loop: loop.use(many(40, 5, 8)))
    by_look = [paper.scaled for name, paper in papers.of.items()]
    assert len(by_look) == 40
    before = AT_ONCE * min(turns, 40 // AT_ONCE)
    assert by_look == [[2]] * before + [[5]] * (40 - before)


async def test_without_such_engines_nobody_is_asked() -> None:
    bench = Bench(config=settings().model_copy(update={"engines": {}}))
    await bench.look()
    assert (bench.asked, bench.loop.status(), bench.loop.wanted()) == ([], [], [])


async def test_a_request_at_zero_starts_one_at_once_and_workers_hear_when_it_serves() -> None:
    bench = Bench()
    assert bench.told[-1] == [EngineStart("e", 30.0)]
    bench.loop.woken(["e", "nobody"])
    assert (bench.paper.scaled, list(bench.paper.starting)) == ([1], ["e-0"])
    assert bench.told[-1] == [EngineStart("e", 30.0, starting=True)]
    bench.loop.woken(["e"])
    assert bench.paper.scaled == [1]
    (decided,) = bench.loop.decisions()
    assert (decided.had, decided.wanted, decided.why, decided.sentence) == (0, 1, "woken", "a request waits")


async def test_an_engine_whose_shift_allows_none_is_not_woken() -> None:
    shut = 'min: 0, max: 8, schedule: [{begin: "20:00", end: "06:00", min: 0, max: 1}]'
    bench = Bench(config=settings(shut))
    bench.wall = NOON.replace(hour=23)
    await bench.look(10, in_flight=50, ended=1000, ended_tokens=4_000_000, waiting=80, waiting_tokens=200_000)
    assert bench.loop.wanted() == [(("e",), 1.0)]
    assert bench.loop.status()[0]["max"] == 1


async def test_what_has_come_is_what_has_ended_and_what_there_is_more() -> None:
    bench = Bench(ready=1)
    came = 0
    for _ in range(40):
        came += 20  # 10 a second, of 1,000 tokens, where a replica computes 4,000 a second
        await bench.look(ended=came, ended_tokens=1000 * came, in_flight=5)
        bench.paper.serve()
    assert bench.loop.status()[0]["load"] == pytest.approx(2.5, rel=0.1)
    assert bench.loop.wanted()[0][1] == 3.0


async def test_workers_are_summed_and_one_that_came_anew_counts_from_nothing() -> None:
    bench = Bench(ready=2)
    for at in range(1, 41):
        bench.workers = {
            "0": [demand(ended=10 * at, ended_tokens=10_000 * at)],
            f"{at // 20}-new": [demand(ended=10 * (at % 20 + 1), ended_tokens=10_000 * (at % 20 + 1))],
        }
        await bench.look()
        bench.paper.serve()
    assert bench.loop.status()[0]["load"] == pytest.approx(2.5, rel=0.15)


async def test_a_worker_that_misses_a_look_keeps_what_it_has_and_is_not_counted_anew() -> None:
    bench = Bench(ready=1)
    wanted = []
    for at in range(300):
        counts = demand(ended=at, ended_tokens=1000 * at, in_flight=3, replicas=[("e-0", 3, False)])
        bench.workers = {"0": [demand()], "1": None if at == 290 else [counts]}
        await bench.look()
        wanted.append(bench.loop.wanted()[0][1])
        assert bench.paper.in_flight == {"e-0": 3}
    assert set(wanted) == {1.0}
    bench.workers = {"0": [demand()]}  # it has left
    await bench.look()
    assert bench.paper.in_flight == {}


async def test_starts_are_measured_and_the_first_replaces_what_was_assumed() -> None:
    bench = Bench()
    bench.loop.woken(["e"])
    await bench.look(30, waiting=1, waiting_tokens=100)
    bench.paper.serve()
    await bench.look(in_flight=1)
    assert bench.loop.status()[0]["startup_s"] == 62.0


async def test_a_start_that_fails_is_told_with_its_reason_and_to_workers_once() -> None:
    bench = Bench()
    bench.loop.woken(["e"])
    bench.paper.failing = ["e-0"]
    await bench.look(3, waiting=1, waiting_tokens=100)
    failures = [start for starts in bench.told for start in starts if start.failed]
    assert failures == [EngineStart("e", 4.0, starting=True, failed=True)]
    status = bench.loop.status()[0]
    assert (status["failing"], status["failure"], status["wanted"]) == (1, "out of memory", 1)


async def test_each_start_that_fails_is_told_and_without_a_request_no_more_are_tried() -> None:
    bench = Bench(config=settings("min: 0, max: 8, startup_s: 30, zero_after_s: 60"))
    bench.loop.woken(["e"])
    bench.paper.failing = ["e-0"]
    for again_s in (4.0, 8.0):
        bench.paper.again_s = again_s
        await bench.look(3, waiting=1)
        assert bench.told[-1] == [EngineStart("e", again_s, starting=True, failed=True)]
    await bench.look(20, ended=1)
    bench.loop.woken(["e"])  # whom a worker refuses at once is seen nowhere else
    await bench.look(29)
    assert bench.loop.wanted()[0][1] == 1.0
    await bench.look()
    assert bench.loop.status()[0]["sentence"] == "nothing has come for 60 s, and none can start"
    assert (bench.loop.wanted()[0][1], bench.paper.starting) == (0.0, {})


async def test_what_leaves_is_stopped_once_it_is_idle_and_drains_in_every_worker() -> None:
    bench = Bench(ready=2)
    bench.paper.leaving = ["e-9"]
    drains = ("e-9", 0, True)
    cases: list[tuple[dict[str, list[EngineDemand] | None], list[str]]] = [
        ({"0": [demand(replicas=[("e-9", 1, True)])], "1": [demand(replicas=[drains])]}, []),
        ({"0": [demand(replicas=[drains])], "1": [demand()]}, []),  # the second has not heard yet
        ({"0": [demand(replicas=[drains])], "1": None}, []),  # it may still stream from it
        ({"0": [demand(replicas=[drains])], "1": [demand(replicas=[drains])]}, ["e-9"]),
        (
            {"0": [demand(replicas=[drains])], "peer you": []},
            ["e-9", "e-9"],
        ),  # another gateway does not have the engine
    ]
    for workers, retired in cases:
        bench.workers = workers
        await bench.look()
        assert bench.paper.retired == retired


async def test_one_that_does_not_know_the_engine_has_no_say_in_who_is_stopped() -> None:
    bench = Bench(ready=2)
    bench.paper.leaving = ["e-9"]
    bench.workers = {"0": [demand(replicas=[("e-9", 0, True)])], "peer a": []}
    await bench.look()
    assert bench.paper.retired == ["e-9"]


@pytest.mark.parametrize(("busy", "retired"), [(None, []), (["e-9"], ["e-8"]), ((), ["e-8", "e-9"])])
async def test_nobody_is_stopped_from_whom_a_gateway_that_is_not_heard_may_stream(
    busy: Collection[str] | None, retired: list[str]
) -> None:
    bench = Bench(ready=2)
    bench.paper.leaving = ["e-8", "e-9"]
    bench.busy = busy
    await bench.look(replicas=[("e-8", 0, True), ("e-9", 0, True)])
    assert bench.paper.retired == retired


async def test_figures_of_one_engine_that_break_the_decision_stop_no_other() -> None:
    config = load_settings(
        "engines:\n"
        "  e: {kind: simulator, autoscale: {min: 2, max: 8}}\n"
        "  f: {kind: simulator, autoscale: {min: 3, max: 8}}\n"
        "models: {m: {targets: [{engine: e}, {engine: f}]}}\n",
        {},
    ).settings
    bench = Bench(config=config)
    with capture_logs() as logs:
        await bench.look(in_flight=10**400)
    assert [(it["event"], it["engine"]) for it in logs if it["log_level"] == "error"] == [("autoscale_failed", "e")]
    assert bench.loop.wanted() == [(("f",), 3.0)]


async def test_what_is_woken_here_is_counted_for_the_others_and_what_is_woken_there_is_not() -> None:
    bench = Bench()
    bench.paper.acting = False
    bench.loop.woken(["e", "nobody"])
    assert (bench.loop.wakes("e"), bench.loop.wakes("nobody"), bench.paper.scaled) == (1, 0, [])
    bench.paper.acting = True
    bench.loop.woken_elsewhere(["e"])
    assert (bench.loop.wakes("e"), bench.paper.scaled) == (1, [1])


async def test_who_has_the_least_to_finish_goes() -> None:
    bench = Bench(ready=3, config=settings("min: 1, max: 8, down_after_s: 1"))
    busy = [("e-0", 4, False), ("e-1", 1, False), ("e-2", 3, False)]
    await bench.look(5, in_flight=0, replicas=busy)
    assert bench.paper.leaving == ["e-1", "e-2"]
    assert bench.paper.ready == ["e-0"]


async def test_full_caches_are_seen() -> None:
    bench = Bench(ready=2)
    bench.kv = 1.0
    await bench.look(in_flight=4)
    assert (bench.loop.wanted()[0][1], bench.loop.status()[0]["why"]) == (3.0, "kv_cache")


async def test_a_reload_keeps_what_is_known_of_an_engine_that_is_as_it_was() -> None:
    bench = Bench()
    bench.loop.woken(["e"])
    await bench.look(3, waiting=1)
    bench.paper.serve()
    await bench.look(in_flight=1)
    measured = bench.loop.status()[0]["startup_s"]
    bench.loop.use(settings())
    assert bench.loop.status()[0]["startup_s"] == measured != 30.0
    bench.loop.use(settings("min: 0, max: 9, startup_s: 30"))
    assert bench.loop.status()[0]["startup_s"] == 30.0
    bench.loop.use(settings("min: 0, max: 9, startup_s: 30", ", slo: {ttft_ms: 300}"))
    await bench.look()
    await bench.look(ended=100, ended_tokens=50_000)
    assert "within 300 ms" in bench.loop.status()[0]["sentence"]


async def test_a_request_that_wakes_an_engine_in_the_middle_of_a_reload_is_counted() -> None:
    bench = Bench()
    many = settings("min: 0, max: 9, startup_s: 30")
    extra = {f"e{number}": many.engines["e"] for number in range(AT_ONCE)}
    using = bench.loop.using(many.model_copy(update={"engines": many.engines | extra}))
    next(using)
    bench.loop.woken(["e"])
    assert len(list(using)) == 3  # the rest, and what is told of eight, and of one
    assert bench.loop.wakes("e") == 1
    assert len(bench.loop.status()) == 1 + AT_ONCE


async def test_an_engine_that_a_reload_takes_out_is_released_and_only_then() -> None:
    bench = Bench(ready=2)
    bench.loop.use(settings("min: 1, max: 8, startup_s: 30"))
    assert bench.paper.released == []
    bench.loop.use(settings().model_copy(update={"engines": {}}))
    assert bench.paper.released == ["e"]


async def test_a_worker_that_joins_is_told_of_starts() -> None:
    bench = Bench()
    told = len(bench.told)
    await bench.look()
    assert len(bench.told) == told
    at_once(bench.loop.telling_again())
    assert bench.told[told:] == [[EngineStart("e", 30.0)]]


async def test_a_worker_that_joins_is_told_of_a_few_engines_at_a_time_and_of_all() -> None:
    bench = Bench(config=many(40))
    before = len(bench.told)
    looked = bench.paper.looked
    for _ in bench.loop.telling_again():
        assert bench.paper.looked - looked <= AT_ONCE
        looked = bench.paper.looked
    told = [start.engine for starts in bench.told[before:] for start in starts]
    assert told == [f"e{at}" for at in range(40)]


async def test_what_wakes_one_engine_of_many_looks_at_no_other() -> None:
    bench = Bench(config=many(40, least=0))
    looked, told = bench.paper.looked, len(bench.told)
    bench.loop.woken(["e7"])
    assert [[start.engine for start in starts] for starts in bench.told[told:]] == [["e7"]]
    assert bench.paper.looked - looked <= 2  # how it stands, and what is told of it


async def test_no_more_than_a_thousand_decisions_are_kept() -> None:
    bench = Bench()
    for _ in range(1010):
        bench.paper.starting = {}
        bench.loop.woken(["e"])
    assert len(bench.loop.decisions()) == 1000
