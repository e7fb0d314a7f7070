"""The launched engines of the configuration: vLLM servers and simulators that we start, watch and stop.

A changed launch section restarts just that engine; the others keep running. What is ready is told through `changed`.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from engines.collect import fetch
from engines.http1.origin import parse_origin
from engines.launch.launched import DRAIN_S, Pace, Recipe, State
from engines.launch.launcher import Launcher
from engines.launch.vllm import Launch, child_environment, vllm_command, vllm_environment, vllm_explanation
from engines.model import Deadlines
from engines.pool import Pool
from engines.port import Replica, Spawn
from engines.simulator.settings import SimulatorSettings, from_mapping
from engines.simulator.settings import command as simulator_command
from gateway.settings import Launch as LaunchSection
from gateway.settings import OpenAIEngine, Settings, SimulatorEngine, VllmEngine

PROBE = Deadlines(connect_s=2.0, first_byte_s=5.0, idle_s=5.0, total_s=5.0)

log = structlog.get_logger()

LaunchSettings = VllmEngine | SimulatorEngine


class Launches:
    """Keeps one `Launcher` for each engine that is to be launched."""

    def __init__(self, spawn: Spawn, changed: Callable[[], None]) -> None:
        self._spawn = spawn
        self._changed = changed
        self._launchers: dict[str, tuple[object, Launcher]] = {}
        self._states: dict[tuple[str, str], State] = {}

    async def apply(self, settings: Settings) -> None:
        """Start, restart and stop what the configuration asks for. Does not wait for readiness."""
        wanted: dict[str, LaunchSettings] = {
            name: section
            for name, section in settings.engines.items()
            if not isinstance(section, OpenAIEngine) and is_launched(section)
        }
        stale = [
            name
            for name, (identity, _) in self._launchers.items()
            if name not in wanted or identity != _identity(name, wanted[name], settings)
        ]
        await asyncio.gather(*(self._launchers.pop(name)[1].stop() for name in stale))
        for name, section in wanted.items():
            count = section.replicas if isinstance(section, SimulatorEngine) else _launch(section).replicas
            if name not in self._launchers:
                recipe = self._recipe(name, section, settings)
                self._launchers[name] = _identity(name, section, settings), Launcher(name, recipe, self._spawn)
            await self._launchers[name][1].scale_to(count)
        self._changed()

    def ready(self) -> dict[str, tuple[Replica, ...]]:
        """The replicas that may receive traffic, by engine."""
        return {name: launcher.replicas for name, (_, launcher) in self._launchers.items()}

    def states(self) -> dict[tuple[str, str], int]:
        """How many launched replicas of each engine are in each state but READY."""
        counts: dict[tuple[str, str], int] = {}
        for (engine, _), state in self._states.items():
            if state not in (State.READY, State.STOPPED):
                counts[engine, state.value] = counts.get((engine, state.value), 0) + 1
        return counts

    def each(self, engine: str) -> list[tuple[str, str]]:
        """The replicas of one engine that have begun and not stopped, with the state of each."""
        return [
            (replica, state.value)
            for (name, replica), state in self._states.items()
            if name == engine and state is not State.STOPPED
        ]

    async def started(self) -> None:
        """Wait until every replica has been ready once. Raises LaunchFailed for the first that was not."""
        await asyncio.gather(*(launcher.started() for _, launcher in self._launchers.values()))

    async def stop(self) -> None:
        """Stop every child and wait until it is gone."""
        await asyncio.gather(*(launcher.stop() for _, launcher in self._launchers.values()))
        self._launchers.clear()

    def _recipe(self, name: str, section: LaunchSettings, settings: Settings) -> Recipe:
        log_dir = Path(settings.data_dir) / "logs"

        def on_change(replica: Replica, state: State, why: str) -> None:
            self._states[name, replica.id] = state
            level = log.warning if state is State.BACKOFF else log.info
            level(
                "launched_replica", engine=name, replica=replica.id, state=state.value, **({"why": why} if why else {})
            )
            self._changed()

        if isinstance(section, SimulatorEngine):
            simulated = _simulator(name, section, settings)
            return Recipe(
                command=lambda port: simulator_command(simulated, port),
                env=child_environment(os.environ, {}),
                log_dir=log_dir,
                probe=self._probe,
                on_change=on_change,
                rng=random.Random(),  # noqa: S311 - spreads restarts
                pace=Pace(start_timeout_s=60.0 + (section.startup_delay_s or 0.0), first_poll_s=0.05),
            )
        launch = _launch(section)
        key = section.api_key.get_secret_value() if section.api_key is not None else None
        env = {name: value.get_secret_value() for name, value in launch.env.items()}
        vllm = Launch(
            model=launch.model,
            replicas=launch.replicas,
            args=tuple(launch.args),
            **({"python": launch.python} if launch.python else {}),
            env={**env, **({"VLLM_API_KEY": key} if key else {})},
            start_timeout_s=launch.start_timeout_s,
        )
        served = _served_names(name, settings)
        return Recipe(
            command=lambda port: _with_names(vllm_command(vllm, port, served[0]), served),
            env=vllm_environment(vllm),
            log_dir=log_dir,
            probe=self._probe,
            on_change=on_change,
            rng=random.Random(),  # noqa: S311 - spreads restarts
            pace=Pace(start_timeout_s=launch.start_timeout_s),
            explain=vllm_explanation(vllm),
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


def is_launched(section: object) -> bool:
    """Whether we start this engine's servers."""
    return isinstance(section, SimulatorEngine) or (isinstance(section, VllmEngine) and section.launch is not None)


def _launch(section: LaunchSettings) -> LaunchSection:
    assert isinstance(section, VllmEngine)
    assert section.launch is not None
    return section.launch


def _served_names(name: str, settings: Settings) -> list[str]:
    """Every name under which some target asks this engine for its model."""
    names = dict.fromkeys(
        target.model for model in settings.models.values() for target in model.targets if target.engine == name
    )
    return list(names) or ["default"]


def _with_names(argv: Sequence[str], served: Sequence[str]) -> Sequence[str]:
    """vLLM's `--served-model-name` takes several names in a row."""
    at = list(argv).index("--served-model-name") + 2
    return [*argv[:at], *served[1:], *argv[at:]]


def _simulator(name: str, section: SimulatorEngine, settings: Settings) -> SimulatorSettings:
    parameters = dict(section.parameters)
    parameters["models"] = tuple(_served_names(name, settings))
    parameters["shutdown_timeout_s"] = DRAIN_S
    return from_mapping(parameters)


def _identity(name: str, section: object, settings: Settings) -> object:
    """What a running server was started from; a change of anything else (a price, a timeout) does not restart it."""
    assert isinstance(section, (VllmEngine, SimulatorEngine))
    served = _served_names(name, settings)
    if isinstance(section, SimulatorEngine):
        return (tuple(sorted(section.parameters.items())), tuple(served))
    launch = section.launch
    assert launch is not None
    return (launch.model, launch.args, launch.python, tuple(sorted(launch.env.items())), section.api_key, tuple(served))
