"""A launched engine: as many replicas of one command as wanted, each in the care of a `LaunchedReplica`.

It satisfies `engines.port.Scaler`. Replicas are numbered from 0; the highest numbers are the first to go, so the names
that stay keep their meaning in metrics. Nothing here chooses a replica or decides how many there are.
"""

from __future__ import annotations

import asyncio

from engines.launch.launched import LaunchedReplica, Recipe, State
from engines.port import Replica, Spawn


class Launcher:
    """The replicas of one launched engine, named `NAME-0`, `NAME-1`, ..."""

    def __init__(self, name: str, recipe: Recipe, spawn: Spawn) -> None:
        self.name = name
        self._recipe = recipe
        self._spawn = spawn
        self._launched: list[LaunchedReplica] = []
        self._scaling = asyncio.Lock()

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """The replicas that are ready for traffic, in order of their numbers."""
        return tuple(each.replica for each in self._launched if each.state is State.READY)

    async def scale_to(self, replicas: int) -> None:
        """Begin to start what is missing and stop what is too much; returns when the surplus has stopped."""
        async with self._scaling:
            for number in range(len(self._launched), replicas):
                launched = LaunchedReplica(f"{self.name}-{number}", self._recipe, self._ports)
                self._launched.append(launched)
                self._spawn(f"launch {launched.id}", launched.run)
            surplus = self._launched[replicas:]
            del self._launched[replicas:]
            await asyncio.gather(*(each.stop() for each in surplus))

    async def started(self) -> None:
        """Wait until each wanted replica has been ready once. Raises LaunchFailed for the first that was not."""
        await asyncio.gather(*(each.first_ready() for each in self._launched))

    async def stop(self) -> None:
        """Stop all replicas at once and wait until their processes have gone. Safe to call twice."""
        await self.scale_to(0)

    def _ports(self) -> set[int]:
        return {each.port for each in self._launched}
