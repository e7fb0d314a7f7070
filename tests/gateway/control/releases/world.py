"""Gateways that share a store, on a simulated clock; the store is the real table, and may go away."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.control.releases.kept import KeptRamps
from gateway.control.releases.rollout import Releases
from gateway.control.releases.spec import Hook, ReleaseSpec
from gateway.store.database.opening import engine_of, upgrade
from gateway.store.releases.messages import ReleasesSynced, SyncReleases
from gateway.store.releases.table import ReleaseTable
from routing.gate.guardrail import Guardrail
from routing.gate.observation import Observation
from routing.gate.rollout import RampPlan, Step
from tests.gateway.store.records import sqlite_url
from tests.routing.gate.traffic import Arm, changed, request

CLEAN = Arm(errors=0.0)
DEAD = Arm(errors=1.0)


def spec(**changes: Any) -> ReleaseSpec:
    """A ramp of two steps."""
    plan = RampPlan((Step(0.1, 20.0), Step(0.5, 20.0)), min_units=10)
    fields: dict[str, Any] = {
        "experiment": "e1",
        "model": "chat",
        "name": "chat",
        "arm": "canary",
        "position": 1,
        "control": "control",
        "share": 0.0,
        "sticky": False,
        "ramp": plan,
        "guardrails": (Guardrail("errors", alpha=0.05),),
    }
    return ReleaseSpec(**(fields | changes))


class FakeHooks:
    """Answers as it is told; satisfies `gateway.control.releases.webhooks.Hooks`."""

    def __init__(self) -> None:
        self.against: dict[str, str] = {}
        self.wanted_back = ""
        self.asked: list[str] = []
        self.told: list[tuple[str, str]] = []

    async def ask(self, hooks: Sequence[Hook], kind: str, facts: Mapping[str, Any]) -> str:
        await asyncio.sleep(0)
        if any(hook.kind == kind for hook in hooks):
            self.asked.append(kind)
        return self.against.get(kind, "")

    async def any_says_yes(self, hooks: Sequence[Hook], kind: str, facts: Mapping[str, Any]) -> str:
        return self.wanted_back

    def tell(self, hooks: Sequence[Hook], kind: str, facts: Mapping[str, Any]) -> None:
        self.told.append((kind, facts["action"]))


class Store:
    """What several gateways share. One of them decides: the one that asked first, until it is gone."""

    def __init__(self, directory: Path) -> None:
        url = sqlite_url(directory)
        engine = engine_of(url)
        upgrade(engine)
        engine.dispose()
        self._url = url
        self._tables: dict[object, ReleaseTable] = {}
        self.away = ""
        self.hangs: asyncio.Event | None = None
        """What was asked meanwhile is stored, and answered once it is set."""
        self.asked: list[SyncReleases] = []
        self.decider: object | None = None

    def table(self, who: object) -> ReleaseTable:
        """That of one gateway."""
        if who not in self._tables:
            self._tables[who] = ReleaseTable(self._url)
        return self._tables[who]

    async def sync(self, who: object, question: SyncReleases) -> ReleasesSynced:
        await asyncio.sleep(0)
        self.asked.append(question)
        if self.away:
            return ReleasesSynced(self.away)
        if self.decider is None:
            self.decider = who
        told = self.table(who).sync(question)
        if self.hangs is not None:
            await self.hangs.wait()
        if self.decider is not who:  # SQLite's table would let everybody decide
            told.decides, told.observed = False, []
        return told

    def close(self) -> None:
        for table in self._tables.values():
            table.close()


class Gateway:
    """One of them."""

    def __init__(
        self, world: World, store: Store | None, gateways: int, specs: Sequence[ReleaseSpec], kept: Path | None = None
    ) -> None:
        self.world = world
        self.store = store
        self.hooks = FakeHooks()
        self.shares: dict[str, Mapping[str, float]] = {}
        sync = None if store is None else lambda question: store.sync(self, question)
        self.releases = Releases(
            sync,
            self.shares.__setitem__,
            self.hooks,
            world.spawn,
            kept=KeptRamps(kept, world.spawn) if kept is not None else None,
            now_s=lambda: world.now_s,
            wall_s=lambda: world.wall_s,
        )
        self.releases.use(specs, gateways=gateways)

    @property
    def share(self) -> float:
        """The canary's, as workers have it."""
        return self.shares.get("e1", {}).get("canary", 0.0)

    @property
    def state(self) -> str:
        return self.releases.find("chat").ramp.state

    def requests(self, count: int, canary: Arm = CLEAN, control: Arm = CLEAN) -> None:
        """So many requests come."""
        rng, share = self.world.rng, self.share
        if not count or share in (0.0, 1.0):
            return
        seen: list[Observation] = []
        for _ in range(count):
            arm = int(rng.random() < share)
            seen += request(rng, arm, canary if arm else control, rng.getrandbits(64), (1.0 - share, share))
        self.releases.observed([changed(one, experiment="e1") for one in seen])


class World:
    """The clock, and what runs beside."""

    def __init__(self, seed: int = 1) -> None:
        self.now_s = 0.0
        self.wall_s = 1_780_000_000.0
        self.rng = random.Random(seed)
        self._tasks: set[asyncio.Task[None]] = set()
        self._asking: set[asyncio.Task[None]] = set()

    def spawn(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = asyncio.get_running_loop().create_task(work(), name=name)
        if name == "releases_sync":
            self._asking.add(task)  # the loop itself waits for it, if the store answers
            task.add_done_callback(self._asking.discard)
        else:
            self._tasks.add(task)

    async def settled(self) -> None:
        """All that was spawned is through."""
        while self._tasks:
            tasks, self._tasks = self._tasks, set()
            await asyncio.gather(*tasks)

    async def play(self, seconds: float, *gateways: Gateway, canary: Arm = CLEAN, rate_per_s: int = 40) -> None:
        """So much time, in steps of half a second; each gateway has its share of the traffic."""
        for _ in range(int(seconds * 2)):
            self.now_s += 0.5
            self.wall_s += 0.5
            for gateway in gateways:
                gateway.requests(rate_per_s // 2 // len(gateways), canary)
            for gateway in gateways:
                await gateway.releases.step()
                if gateway.store is not None and gateway.store.hangs is None:
                    # A step waits 50 ms for the store, in which a busy machine may not have turned once.
                    await asyncio.gather(*self._asking)
                await self.settled()
