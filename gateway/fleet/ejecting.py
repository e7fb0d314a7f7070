"""Looks for replicas that do worse than their peers, and has them stand aside; `routing.failing.ejection` judges."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import structlog

from gateway import clock
from gateway.fleet.steps import in_slices
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.metrics.families.ejections import EJECTED, EJECTIONS
from routing.failing.ejection import Ejection, ejections
from routing.replicas.replica import ReplicaKey, ReplicaState
from routing.route import ModelRoute

EVERY_S: Final = 1.0

log = structlog.get_logger()


class Ejecting:
    """Those of one worker. `look` is called every `EVERY_S` seconds; where no model asks for it, it does nothing."""

    def __init__(self, metrics: Metrics, routes: Callable[[], Iterable[ModelRoute]]) -> None:
        """`routes` are those of the moment."""
        self._metrics = metrics
        self._routes = routes
        self._out: dict[ReplicaState, None] = {}
        self._counted: dict[ReplicaKey, set[str]] = {}
        """The reasons for which each has been out, as counted."""
        metrics.watch(EJECTED, lambda: [(state.key, 1.0) for state in self._out])

    def left(self, key: ReplicaKey) -> None:
        """The replica is gone, or another has its name: nothing is shown of it any more."""
        if key in self._counted:
            for reason in self._counted.pop(key):
                self._metrics.forget(EJECTIONS, *key, reason)
            for state in [state for state in self._out if state.key == key]:
                del self._out[state]

    async def look(self) -> None:
        await in_slices(self.steps(clock.monotonic()))

    def steps(self, now: float) -> Iterator[None]:
        """Let those back in whose time is over, and eject others."""
        for state in [state for state in self._out if state.ejected_until_s <= now]:
            del self._out[state]
            state.readmit(now)
            engine, replica = state.key
            log.info("replica_readmitted", engine=engine, replica=replica)
        routes = list(self._routes())
        if not any(route.ejection is not None for route in routes):
            return
        for found in ejections(routes, now):
            if found is not None:
                self._eject(found, now)
            yield

    def _eject(self, found: Ejection, now: float) -> None:
        state, reason = found.state, found.reason
        engine, replica = state.key
        for_s = state.eject(now, found.base_s, found.max_s)
        self._out[state] = None
        self._counted.setdefault(state.key, set()).add(reason)
        self._metrics.count(EJECTIONS, engine, replica, reason)
        log.warning("replica_ejected", engine=engine, replica=replica, reason=reason, why=found.why, for_s=for_s)
