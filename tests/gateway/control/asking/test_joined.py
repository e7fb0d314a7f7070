"""What the first look at a large fleet takes, and what a worker hears that joins later."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping
from typing import Any, cast

import pytest

from engines.model_list import ListedModel
from engines.port import Replica
from gateway.control.asking.asked import AT_ONCE
from gateway.control.asking.joined import Asking
from gateway.control.asking.targets import MOST_ASKED
from gateway.control.engines import Engines
from gateway.control.links import Links
from gateway.control.membership import Written
from gateway.control.pacing import HURRY_S, PAUSE_S, PER_TURN
from gateway.control.roster import Roster
from gateway.process.supervisor import Supervisor
from gateway.settings import Settings, load_settings
from gateway.telemetry.metrics import Metrics
from gateway.workers.exchange.messages import AdaptersHeld, ToWorker
from tests.gateway.flights import FakeEngine
from tests.gateway.virtual_time import in_virtual_time

REPLICAS = 2 * AT_ONCE + 3


class Fleet:
    """One engine of many replicas, each with the adapters of its list, in the place of `Engines`."""

    def __init__(self) -> None:
        self.engine = Listing("e", REPLICAS, (), True)
        self._all = [("e", self.engine)]

    def probed(self) -> Collection[tuple[str, FakeEngine]]:
        return self._all

    telling = others = listing = versioned = probed


class Listing(FakeEngine):
    """Has adapters by replica; all have `sql`."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.more: dict[str, str] = {}

    async def models(self, replica_id: str) -> Mapping[str, ListedModel] | None:
        return {name: ListedModel() for name in ("base", "sql", self.more.get(replica_id, "base"))}


class Heard:
    """A link to a worker."""

    def __init__(self) -> None:
        self.messages: list[ToWorker] = []

    def tell(self, message: ToWorker, *, bulk: bool = False) -> bool:
        self.messages.append(message)
        return True

    @property
    def adapters(self) -> list[AdaptersHeld]:
        return [message for message in self.messages if isinstance(message, AdaptersHeld)]

    def close(self) -> None: ...


def configured(fleet: Fleet) -> Settings:
    engine = {
        "kind": "vllm",
        "replicas": [{"id": one.id, "url": f"http://h:{8000 + at}"} for at, one in enumerate(fleet.engine.replicas)],
        "adapters": {"paths": {"sql": "/sql", "law": "/law"}},
    }
    models = {"m": {"targets": [{"engine": "e", "model": "base"}]}}
    return load_settings(json.dumps({"engines": {"e": engine}, "models": models}), {}).settings


class Bench:
    """All that asks one fleet, in virtual time."""

    def __init__(self) -> None:
        self.fleet, self.links, self.supervisor = Fleet(), Links(), Supervisor()
        self.settings, roster = configured(self.fleet), Roster(lambda _: None)
        roster.enroll("e", Written(tuple(Replica(one.id, one.url) for one in self.fleet.engine.replicas)))
        engines = cast(Engines, self.fleet)
        self.asking = Asking(
            self.supervisor, self.links, Metrics(["m"]), lambda: self.settings, engines, roster, lambda _: None
        )

    def joins(self, name: str) -> Heard:
        heard = Heard()
        self.links.add(name, heard)  # type: ignore[arg-type]
        self.asking.tell_again(name)
        return heard


def test_the_first_probes_of_a_fleet_are_in_a_hurry_and_those_of_later_rounds_are_not() -> None:
    async def work() -> None:
        bench, took_s = Bench(), list[float]()
        await bench.asking.use(bench.settings)
        for _ in range(2):
            began_s = asyncio.get_running_loop().time()
            await bench.asking.probe_all()
            took_s.append(asyncio.get_running_loop().time() - began_s)
        probes, models = (REPLICAS - 1) // PER_TURN, (MOST_ASKED - 1) // PER_TURN
        assert took_s == [pytest.approx((probes + models) * HURRY_S), pytest.approx(probes * PAUSE_S)]

    in_virtual_time(work)


def test_a_worker_that_joins_hears_of_all_adapters_a_few_replicas_at_a_time_each_as_it_is_by_then() -> None:
    async def work() -> None:
        bench = Bench()
        assert bench.joins("before any was asked").adapters == []
        await bench.asking.adapters.look()
        heard = bench.joins("later")
        assert [len(message.replicas) for message in heard.adapters] == [AT_ONCE]
        last = ("e", f"{REPLICAS - 1}")
        bench.asking.adapters._hold(last, frozenset({"sql", "law"}))
        await asyncio.sleep(0.1)
        sizes = [len(message.replicas) for message in heard.adapters]
        assert sizes == [AT_ONCE, 1, AT_ONCE, 3]
        told = {(one.engine, one.replica): one.adapters for few in heard.adapters for one in few.replicas}
        assert told == {("e", f"{number}"): ["sql"] for number in range(REPLICAS)} | {last: ["law", "sql"]}
        await bench.supervisor.close()

    in_virtual_time(work)


def test_nothing_is_kept_of_a_replica_that_leaves_while_an_adapter_is_being_unloaded_there() -> None:
    async def work() -> None:
        bench = Bench()
        adapters, engine = bench.asking.adapters, bench.fleet.engine
        await adapters.look()
        unloading = asyncio.ensure_future(adapters._unload(cast(Any, engine), ("e", "0"), "sql"))
        await asyncio.sleep(0)
        engine.replicas = engine.replicas[1:]
        await adapters.look()
        assert ("e", "0") not in adapters._held
        unloading.cancel()
        await asyncio.wait([unloading])
        assert [*adapters._changed] == [("e", "0")]
        await adapters.look()
        assert (adapters._changed, adapters._unloaded) == ({}, {})
        await bench.supervisor.close()

    in_virtual_time(work)
