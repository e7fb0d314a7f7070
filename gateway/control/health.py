"""Active health: a free probe of each replica that has one, and what several of them in a row mean.

A replica is down after `unhealthy_after` failed probes in a row and up after `healthy_after` good ones; it starts up,
because the breaker notices sooner than we would. Providers have no free probe and are always up here. A probe that we
could not send, for want of descriptors, says nothing: every replica would go down by our own fault.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass

import structlog

from engines.errors import OutOfSockets
from engines.port import Engine
from gateway import clock, shortage
from gateway.settings import Health
from gateway.telemetry.metrics.families.loops import PROBES_UNSENT
from routing.replica import ReplicaKey

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


class HealthBoard:
    """The probes of all replicas."""

    def __init__(self) -> None:
        self._runs: dict[ReplicaKey, ProbeRun] = {}

    def note(self, key: ReplicaKey, healthy: bool, *, unhealthy_after: int, healthy_after: int) -> bool:
        """Take in one result; returns whether the replica went up or down by it."""
        before = self._runs.get(key, ProbeRun())
        after = before.after(healthy, unhealthy_after=unhealthy_after, healthy_after=healthy_after)
        self._runs[key] = after
        return before.up != after.up

    def keep(self, keys: set[ReplicaKey]) -> None:
        """Forget all other replicas."""
        self._runs = {key: run for key, run in self._runs.items() if key in keys}

    def down(self) -> list[ReplicaKey]:
        return [key for key, run in self._runs.items() if not run.up]


class HealthLoop:
    """Probes the replicas it is shown, and says when one goes down or comes up."""

    def __init__(
        self,
        board: HealthBoard,
        watched: Callable[[], Collection[tuple[str, Engine]]],
        unsent: Callable[[str], None] = lambda _engine: None,
    ) -> None:
        """`watched` are the engines to probe by name, asked anew in each round; `unsent` is told the engine of each
        probe that could not be sent."""
        self._board = board
        self._watched = watched
        self._unsent = unsent

    async def probe_all(self, rule: Health) -> bool:
        """One round of free probes; returns whether any replica went down or came up."""
        keys: list[ReplicaKey] = []
        probes = []
        for name, engine in self._watched():
            for replica in engine.replicas:
                keys.append((name, replica.id))
                probes.append(self._probe(name, engine, replica.id))
        results = await asyncio.gather(*probes)
        self._board.keep(set(keys))
        changed = False
        for key, healthy in zip(keys, results, strict=True):
            if healthy is None:
                continue
            if self._board.note(key, healthy, unhealthy_after=rule.unhealthy_after, healthy_after=rule.healthy_after):
                changed = True
                log.warning("replica_health", engine=key[0], replica=key[1], healthy=healthy)
        return changed

    async def _probe(self, name: str, engine: Engine, replica: str) -> bool | None:
        """Whether the replica is up; None when nobody knows."""
        try:
            return await engine.probe(replica)
        except OutOfSockets as error:
            self._unsent(name)
            shortage.tell(clock.monotonic(), str(error), PROBES_UNSENT.name)
            return None
