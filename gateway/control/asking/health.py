"""Active health: a free probe of each replica that has one, and what several of them in a row mean.

A replica is down after `unhealthy_after` failed probes in a row and up after `healthy_after` good ones; it starts up,
because the breaker notices sooner than we would. Providers have no free probe and are always up here. A probe that we
could not send, for want of descriptors, says nothing: every replica would go down by our own fault. Workers hear of a
replica within its round, which may be long (`pacing`).
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Collection, Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, Final

import structlog

from engines.errors import OutOfSockets
from engines.port import Engine
from gateway import clock
from gateway.control.asking.asked import AT_ONCE, Asked
from gateway.control.pacing import paced
from gateway.fleet.steps import in_slices
from gateway.refusing import shortage
from gateway.settings import Health
from gateway.telemetry.metrics.families.loops import PROBES_UNSENT
from routing.replicas.replica import ReplicaKey

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ProbeRun:
    """What the probes of one replica have said so far."""

    up: bool = True
    contrary: int = 0
    """Results in a row that contradict `up`."""

    def after(self, healthy: bool, *, unhealthy_after: int, healthy_after: int) -> ProbeRun:
        """The run with one more result."""
        if healthy == self.up:
            return self if self.contrary == 0 else ProbeRun(self.up, 0)
        contrary = self.contrary + 1
        if contrary >= (healthy_after if healthy else unhealthy_after):
            return ProbeRun(healthy, 0)
        return ProbeRun(self.up, contrary)


_WELL: Final = ProbeRun()


class HealthBoard:
    """The probes of all replicas. Only what differs from a replica that was always up is kept."""

    def __init__(self) -> None:
        self._runs: dict[ReplicaKey, ProbeRun] = {}
        self.down: set[ReplicaKey] = set()
        """It changes with each note; whoever needs it as it was copies it."""
        self.why: dict[ReplicaKey, str] = {}
        """What the last probe of a replica said, where it did not go well."""
        self._told: dict[ReplicaKey, str] = {}
        """What was said of a replica when the gateway opened, which has not answered since."""

    def note(self, key: ReplicaKey, healthy: bool, *, unhealthy_after: int, healthy_after: int, why: str = "") -> bool:
        """Take in one result; returns whether the replica went up or down by it."""
        if healthy:
            self.why.pop(key, None)
            self._told.pop(key, None)
        else:
            self.why[key] = why
        before = self._runs.get(key, _WELL)
        after = before.after(healthy, unhealthy_after=unhealthy_after, healthy_after=healthy_after)
        if after == _WELL:
            self._runs.pop(key, None)
        else:
            self._runs[key] = after
        (self.down.discard if after.up else self.down.add)(key)
        return before.up != after.up

    def told(self, key: ReplicaKey, why: str) -> None:
        """The operator has been told why this replica cannot be reached."""
        self._told[key] = why

    def is_news(self, key: ReplicaKey, why: str) -> bool:
        """Whether a change of this replica is to be told: not where it was, in the same words."""
        return not why or self._told.pop(key, None) != why

    def keep(self, asked: Asked) -> Iterator[None]:
        """Forget all other replicas, in steps: there may be 19,200."""
        for at, key in enumerate((yield from asked.others(self._runs)), 1):
            del self._runs[key]
            self.down.discard(key)
            self.why.pop(key, None)
            self._told.pop(key, None)
            if at % AT_ONCE == 0:
                yield
        yield from asked.let_go()


class HealthLoop:
    """Probes the replicas it is shown, and says when one goes down or comes up."""

    def __init__(
        self,
        board: HealthBoard,
        watched: Callable[[], Collection[tuple[str, Engine]]],
        changed: Callable[[], None],
        unsent: Callable[[str], None] = lambda _engine: None,
    ) -> None:
        """`watched` are the engines to probe by name, asked anew in each round; `changed` is called when replicas have
        gone down or come up, also within a round; `unsent` is told the engine of each probe that could not be sent."""
        self._board = board
        self._watched = watched
        self._changed = changed
        self._unsent = unsent
        self._news = False
        self._took_s = 0.0

    def rest_s(self, interval_s: float) -> float:
        """How long to wait for the next round, so that rounds begin every `interval_s`."""
        return max(0.0, interval_s - self._took_s)

    async def probe_all(self, rule: Health, *, hurried: bool = False) -> None:
        """One round of free probes; `hurried` where it is the first."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        seen = Asked()
        await paced(self._probes(rule, seen), self._tell, hurried=hurried)
        await in_slices(self._board.keep(seen))
        self._took_s = loop.time() - began_s

    def _probes(self, rule: Health, seen: Asked) -> Iterator[Callable[[], Coroutine[Any, Any, None]]]:
        for name, engine in self._watched():
            for replica in engine.replicas:
                seen.add(name, replica.id)
                yield functools.partial(self._probe, name, engine, replica.id, rule)

    async def _probe(self, name: str, engine: Engine, replica: str, rule: Health) -> None:
        try:
            why = await engine.probe(replica)
        except OutOfSockets as error:
            self._unsent(name)
            shortage.tell(clock.monotonic(), str(error), PROBES_UNSENT.name)
            return
        key, down, up = (name, replica), rule.unhealthy_after, rule.healthy_after
        if self._board.note(key, not why, unhealthy_after=down, healthy_after=up, why=why):
            self._news = True
            told = {"why": why} if why else {}
            if self._board.is_news(key, why):
                log.warning("replica_health", engine=name, replica=replica, healthy=not why, **told)

    def _tell(self) -> None:
        if self._news:
            self._news = False
            self._changed()
