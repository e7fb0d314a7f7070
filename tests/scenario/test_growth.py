"""A gateway whose replicas come and go for as long as it lives keeps nothing of those that have left."""

from __future__ import annotations

import gc
import itertools
import json
import pathlib
import random
from collections import Counter, deque
from typing import Any

import pytest
import structlog

from engines.port import Replica
from gateway import clock
from gateway.control.membership import MemberDifference
from routing.failing.breaker import Verdict
from routing.failing.ejection import Ejection
from tests.scenario.gateway import Gateway, document, running_gateway
from tests.scenario.upstream import Upstream, running_upstream

pytestmark = pytest.mark.anyio

WARM, CYCLES = 40, 200
MOST_GROWTH = CYCLES // 2
"""Objects, or members of collections: one for each replica would be twice as many."""
CONTAINERS = (dict, list, set, deque)


def there() -> Counter[str]:
    """How many objects of each type there are, and how many members all collections of each have together."""
    gc.collect()
    counts: Counter[str] = Counter()
    for one in gc.get_objects():
        name = f"{type(one).__module__}.{type(one).__qualname__}"
        counts[name] += 1
        if type(one) in CONTAINERS:
            counts[f"members of {name}"] += len(one)
    return counts


def grown(before: Counter[str]) -> dict[str, int]:
    """What there is more of since then."""
    return {name: more for name, count in there().items() if (more := count - before[name]) > MOST_GROWTH}


def found(port: int, least: int = 1) -> dict[str, Any]:
    """A model on an engine whose replicas are found; all that is kept of one is switched on."""
    engine = {
        "kind": "vllm",
        "discover": {"dns": {"host": "127.0.0.1", "port": port}},
        "gpu_usd_per_hour": 2.0,
        "autoscale": {"min": least, "max": 4},
    }
    target = {"engine": "e", "model": "upstream-model"}
    model = {"targets": [target], "policy": {"name": "prefix"}, "ejection": {"enabled": True}}
    return document(engines={"e": engine}, models={"chat": model}, autoscale={"writer": "hpa"})


class Coming:
    """Replicas with names that were never there before, one after the other."""

    def __init__(self, gateway: Gateway, upstream: Upstream, lines: list[Any]) -> None:
        """`lines` is the log."""
        self._gateway = gateway
        self._upstream = upstream
        self._lines = lines
        self._names = (f"pod-{number:05}" for number in itertools.count())
        self._rng = random.Random(1)

    async def some(self, count: int) -> None:
        """So many come and go."""
        for _ in range(count):
            await self._one(next(self._names))
            self._lines.clear()
            self._gateway.records.all.clear()
            self._upstream.received.clear()

    async def _one(self, name: str) -> None:
        """It comes, serves, fails, stands aside, drains and leaves."""
        plane, worker = self._gateway.plane, self._gateway.worker
        table, key = worker.fleet.table, ("e", name)
        plane._engines.differs("e", MemberDifference(added=(Replica(name, self._upstream.url, life=name),)))
        plane.roster.tell_now()
        await self._gateway.until(lambda: table.find(key) is not None)
        assert (await self._gateway.chat()).headers["x-penstock-replica"] == name
        await self._look()
        state, now = table.find(key), clock.monotonic()
        assert state is not None
        while state.breaker.allows(now):
            state.breaker.record(state.breaker.admit(now), Verdict.FAILURE, now, self._rng)
        worker.fleet.ejecting._eject(Ejection(state, "failing", "", 30.0, 300.0), now)
        plane.asking.board.note(key, False, unhealthy_after=1, healthy_after=1, why="refused")
        plane.roster.down(plane.asking.board.down)
        assert plane.drain_replica("e", name)
        plane._engines.differs("e", MemberDifference(removed=(name,)))
        plane.roster.tell_now()
        await self._gateway.until(lambda: table.find(key) is None)
        await self._look()

    async def _look(self) -> None:
        """A round of all that is asked of replicas."""
        asking = self._gateway.plane.asking
        await asking.probe_all()
        await asking.ask_loads()
        await asking.versions.look(asking.board.down)


async def test_of_replicas_that_have_left_nothing_is_kept() -> None:
    with structlog.testing.capture_logs() as lines:
        async with running_upstream() as upstream:
            async with running_gateway(json.dumps(found(int(upstream.url.rpartition(":")[2])))) as gateway:
                await gateway.until(lambda: gateway.worker.fleet.states("e"))
                assert gateway.plane.drain_replica("e", upstream.url.removeprefix("http://"))
                coming = Coming(gateway, upstream, lines)
                await coming.some(WARM)
                before = there()
                await coming.some(CYCLES)
                more = grown(before)
                shown = (await gateway.http.get("/metrics")).text
    assert more == {}
    assert "pod-" not in shown


async def test_of_configurations_that_were_replaced_nothing_is_kept(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "penstock.yaml"

    async def changed(gateway: Gateway, count: int) -> None:
        for number in range(count):
            file.write_text(json.dumps({"server": {"port": 0}, **found(9, 1 + number % 3)}))
            assert await gateway.plane.reload()

    file.write_text(json.dumps({"server": {"port": 0}, **found(9)}))
    with structlog.testing.capture_logs() as lines:
        async with running_gateway(file) as gateway:
            await changed(gateway, WARM)
            lines.clear()
            before = there()
            await changed(gateway, CYCLES)
            lines.clear()
            more = grown(before)
    assert more == {}
