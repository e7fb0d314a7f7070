"""Of several engines for the same models, the cheapest gets the replicas, and the dearer goes once that serves."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pytest

from gateway.control.scaling.actuator import Standing
from gateway.control.scaling.autoscale import Autoscaling
from gateway.control.scaling.pooling import groups_of
from gateway.settings import Settings, load_settings
from gateway.workers.exchange.demand import EngineDemand

pytestmark = pytest.mark.anyio


def settings(
    models: str = "m: {targets: [{engine: dear, tier: 0}, {engine: cheap, tier: 0}]}", usd: str = "gpu_usd_per_hour"
) -> Settings:
    scaled = "autoscale: {min: 0, max: 4, startup_s: 30, zero_after_s: 60, down_after_s: 10}"
    return load_settings(
        f"engines:\n  dear: {{kind: simulator, {scaled}, {usd}: 4.0}}\n"
        f"  cheap: {{kind: simulator, {scaled}, gpu_usd_per_hour: 1.0}}\n"
        f"models:\n  {models}\n",
        {},
    ).settings


def test_engines_that_are_asked_alike_are_a_group() -> None:
    assert groups_of(settings()) == [("dear", "cheap")]


@pytest.mark.parametrize(
    "models",
    [
        "m: {targets: [{engine: dear}, {engine: cheap}]}",
        "m: {targets: [{engine: dear, tier: 0, weight: 9}, {engine: cheap, tier: 0}]}",
        "m: {targets: [{engine: dear, tier: 0}, {engine: cheap, tier: 0}]}\n  n: {targets: [{engine: dear}]}",
    ],
)
def test_those_that_are_not_are_none(models: str) -> None:
    assert groups_of(settings(models)) == []


def test_without_a_price_nobody_is_cheaper() -> None:
    base = settings()
    priceless = base.engines["dear"].model_copy(update={"gpu_usd_per_hour": None})
    assert groups_of(base.model_copy(update={"engines": {**base.engines, "dear": priceless}})) == []


class Paper:
    """An actuator of two engines whose replicas start when told."""

    def __init__(self) -> None:
        self.ready: dict[str, int] = {"dear": 0, "cheap": 0}
        self.starting: dict[str, dict[str, float]] = {"dear": {}, "cheap": {}}
        self.failing: dict[str, bool] = {}

    def acts(self, engine: str) -> bool:
        return True

    def standing(self, engine: str, now: float) -> Standing:
        starting = self.starting[engine]
        failing = list(starting) if self.failing.get(engine) else ()
        return Standing([f"{engine}-{n}" for n in range(self.ready[engine])], starting, failing)

    def scale(self, engine: str, wanted: int, in_flight: Mapping[str, int], now: float) -> None:
        for _ in range(wanted - self.ready[engine] - len(self.starting[engine])):
            self.starting[engine][f"{engine}+{len(self.starting[engine])}"] = now
        while wanted < self.ready[engine] + len(self.starting[engine]) and self.starting[engine]:
            self.starting[engine].popitem()
        self.ready[engine] = min(self.ready[engine], wanted)

    def idle(self, engine: str, ids: Collection[str]) -> None: ...

    def release(self, engine: str) -> None: ...

    def serve(self, engine: str) -> None:
        self.ready[engine] += len(self.starting[engine])
        self.starting[engine] = {}

    @property
    def have(self) -> dict[str, int]:
        return {name: self.ready[name] + len(self.starting[name]) for name in self.ready}


class Bench:
    """Traffic of one model, which whoever serves shares."""

    def __init__(self) -> None:
        self.paper = Paper()
        self.now = 100.0
        self.came = {"dear": 0, "cheap": 0}
        self.rate = 0
        self.loop = Autoscaling(self.paper, self._ask, lambda *_: None, lambda _: None, monotonic=lambda: self.now)
        self.loop.use(settings())

    async def _ask(self, engines: list[str]) -> dict[str, list[EngineDemand]]:
        return {"0": [self._demand(name) for name in engines]}

    def _demand(self, name: str) -> EngineDemand:
        came = self.came[name]
        return EngineDemand(name, 1, 0, 0, 0, came, came * 2000, came * 100, 0.25, 20.0, 10.0, [])

    async def run(self, seconds: float) -> None:
        for _ in range(int(seconds / 2)):
            self.now += 2.0
            serving = [name for name, ready in self.paper.ready.items() if ready] or ["dear"]
            for name in serving:
                self.came[name] += self.rate * 2 // len(serving)
            await self.loop.look()


async def test_a_request_at_zero_wakes_the_cheapest_alone() -> None:
    bench = Bench()
    bench.loop.woken(["dear", "cheap"])
    assert bench.paper.have == {"dear": 0, "cheap": 1}
    bench.loop.woken(["dear", "cheap"])
    assert bench.paper.have == {"dear": 0, "cheap": 1}


async def test_where_the_cheapest_cannot_start_the_next_is_woken() -> None:
    bench = Bench()
    bench.loop.woken(["dear", "cheap"])
    bench.paper.failing["cheap"] = True
    bench.loop.woken(["dear", "cheap"])
    assert bench.paper.have == {"dear": 1, "cheap": 1}


async def test_the_dearer_serves_until_the_cheaper_does_and_then_goes() -> None:
    bench = Bench()
    bench.paper.ready["dear"] = 2
    bench.rate = 2
    await bench.run(60.0)
    assert bench.paper.ready["dear"] >= 2, "nobody else serves yet"
    assert bench.paper.have["cheap"] >= 2
    bench.paper.serve("cheap")
    await bench.run(300.0)
    bench.paper.serve("cheap")
    await bench.run(300.0)
    assert bench.paper.have["dear"] == 0
    assert bench.paper.have["cheap"] >= 2


async def test_the_dearer_takes_what_the_cheaper_is_too_few_for() -> None:
    bench = Bench()
    bench.rate = 16
    for _ in range(20):
        await bench.run(30.0)
        bench.paper.serve("cheap")
        bench.paper.serve("dear")
    assert bench.paper.have["cheap"] == 4, "its most"
    assert bench.paper.have["dear"] > 2
