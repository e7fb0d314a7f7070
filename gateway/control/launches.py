"""The launched engines of the configuration: vLLM servers and simulators that we start, watch and stop.

A changed launch section restarts just that engine; the others keep running. What is ready is told through `changed`.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import structlog

from engines.collect import fetch
from engines.http1.origin import parse_origin
from engines.kinds.section import LaunchPlan
from engines.launch.launched import LaunchState, Recipe
from engines.launch.launcher import Launcher
from engines.model import Deadlines
from engines.pool import Pool
from engines.port import Replica, Spawn
from engines.turns import own_turn
from gateway.fleet.arms import targets_of
from gateway.settings import Settings

SCALED_POLL_S = 0.25
"""How often a server is looked at that somebody waits for."""
PROBE = Deadlines(connect_s=2.0, first_byte_s=5.0, idle_s=5.0, total_s=5.0)

log = structlog.get_logger()


class Launches:
    """Keeps one `Launcher` for each engine that is to be launched."""

    def __init__(self, spawn: Spawn, changed: Callable[[], None]) -> None:
        self._spawn = spawn
        self._changed = changed
        self._launchers: dict[str, tuple[object, Launcher]] = {}
        self._states: dict[str, dict[str, LaunchState]] = {}
        """By engine and replica."""
        self._failures: dict[str, dict[str, str]] = {}
        self._stopped = False

    async def apply(self, settings: Settings) -> None:
        """Start, restart and stop what the configuration asks for. Does not wait for readiness. Once all are stopped
        nothing is started: a reload may be under way then."""
        wanted: dict[str, LaunchPlan] = {}
        served = _served_names(settings)
        await own_turn()
        for name, section in settings.engines.items():
            plan = section.launch_plan(served.get(name) or ["default"], os.environ)
            if plan is not None:
                wanted[name] = plan
        stale = [
            name
            for name, (identity, _) in self._launchers.items()
            if name not in wanted or identity != wanted[name].identity
        ]
        await asyncio.gather(*(self._launchers.pop(name)[1].stop() for name in stale))
        for name in [name for name in stale if name not in wanted]:
            self._states.pop(name, None)
            self._failures.pop(name, None)
        for name, plan in wanted.items():
            if self._stopped:
                return
            if name not in self._launchers:
                scaled = settings.engines[name].autoscale is not None
                recipe = self._recipe(name, plan, Path(settings.data_dir) / "logs", scaled)
                self._launchers[name] = plan.identity, Launcher(name, recipe, self._spawn)
                await self._launchers[name][1].scale_to(plan.replicas)
            elif settings.engines[name].autoscale is None:
                await self._launchers[name][1].scale_to(plan.replicas)
        self._changed()

    def launcher(self, engine: str) -> Launcher | None:
        """That of one engine, if we start its servers; none once all are to stop, or whoever scales it would start some
        anew in the place of those that have stopped."""
        found = None if self._stopped else self._launchers.get(engine)
        return None if found is None else found[1]

    def failure(self, engine: str) -> str:
        """Why the last start of one of its replicas that still fails did so; empty where none does."""
        return next(iter(self._failures.get(engine, {}).values()), "")

    def ready(self) -> dict[str, tuple[Replica, ...]]:
        """The replicas that may receive traffic, by engine."""
        return {name: launcher.replicas for name, (_, launcher) in self._launchers.items()}

    def states(self) -> dict[tuple[str, str], int]:
        """How many launched replicas of each engine are in each state but READY."""
        counts: dict[tuple[str, str], int] = {}
        for engine, states in self._states.items():
            for state in states.values():
                if state not in (LaunchState.READY, LaunchState.STOPPED):
                    counts[engine, state.value] = counts.get((engine, state.value), 0) + 1
        return counts

    def each(self, engine: str) -> list[tuple[str, str]]:
        """The replicas of one engine that have begun and not stopped, with the state of each."""
        return [
            (replica, state.value)
            for replica, state in self._states.get(engine, {}).items()
            if state is not LaunchState.STOPPED
        ]

    async def started(self) -> None:
        """Wait until every replica has been ready once. Raises LaunchFailed for the first that was not."""
        await asyncio.gather(*(launcher.started() for _, launcher in self._launchers.values()))

    async def stop(self) -> None:
        """Stop every child for good, and wait until it is gone."""
        self._stopped = True
        await asyncio.gather(*(launcher.stop() for _, launcher in self._launchers.values()))
        self._launchers.clear()

    def _recipe(self, name: str, plan: LaunchPlan, log_dir: Path, scaled: bool) -> Recipe:
        def on_change(replica: Replica, state: LaunchState, why: str) -> None:
            self._states.setdefault(name, {})[replica.id] = state
            if state is LaunchState.BACKOFF:
                self._failures.setdefault(name, {})[replica.id] = why
            elif state is not LaunchState.STARTING:
                self._failures.get(name, {}).pop(replica.id, None)
            level = log.warning if state is LaunchState.BACKOFF else log.info
            level(
                "launched_replica", engine=name, replica=replica.id, state=state.value, **({"why": why} if why else {})
            )
            self._changed()

        return Recipe(
            command=plan.command,
            env=plan.env,
            log_dir=log_dir,
            probe=self._probe,
            on_change=on_change,
            rng=random.Random(),  # noqa: S311 - spreads restarts
            pace=replace(plan.pace, max_poll_s=SCALED_POLL_S) if scaled else plan.pace,
            explain=plan.explain,
            turn=own_turn,
        )

    async def _probe(self, url: str) -> bool:
        origin = parse_origin(url)
        pool = Pool(origin, self._spawn, limit=1)
        try:
            status, _ = await fetch(
                pool, b"GET /health HTTP/1.1\r\nhost: %b\r\n\r\n" % origin.authority.encode(), deadlines=PROBE
            )
        finally:
            pool.close()
        return status == 200


def _served_names(settings: Settings) -> dict[str, list[str]]:
    """By engine, every name under which some target asks it for its model."""
    names: dict[str, dict[str, None]] = {}
    for model in settings.models.values():
        for target in targets_of(model):
            names.setdefault(target.engine, {})[target.model] = None
    return {engine: list(found) for engine, found in names.items()}
