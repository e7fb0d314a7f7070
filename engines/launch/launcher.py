"""A launched engine: as many replicas of one command as wanted, each in the care of a `LaunchedReplica`.

Replicas are numbered from 0, and a number that is free is given again: names are few, and metrics hold them. Nothing
here chooses a replica or decides how many there are.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Collection

from engines.launch.launched import LaunchedReplica, LaunchState, Recipe
from engines.port import Replica, Spawn


class Launcher:
    """The replicas of one launched engine, named `NAME-0`, `NAME-1`, ..."""

    def __init__(self, name: str, recipe: Recipe, spawn: Spawn) -> None:
        self.name = name
        self._recipe = recipe
        self._spawn = spawn
        self._launched: list[LaunchedReplica] = []
        self._stopping: list[LaunchedReplica] = []
        self._scaling = asyncio.Lock()

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """The replicas that are ready for traffic, in order of their numbers."""
        return tuple(each.replica for each in self._launched if each.state is LaunchState.READY)

    @property
    def launched(self) -> tuple[LaunchedReplica, ...]:
        """All that are not being stopped, in order of their numbers."""
        return tuple(self._launched)

    async def scale_to(self, replicas: int) -> None:
        """Begin to start what is missing and stop what is too much, the highest numbers first; returns when the surplus
        has stopped."""
        async with self._scaling:
            self.add(replicas - len(self._launched))
            surplus = self._launched[replicas:]
            del self._launched[replicas:]
            await asyncio.gather(*(each.stop() for each in surplus))

    def add(self, count: int) -> None:
        """Begin to start so many more."""
        taken = {each.id for each in (*self._launched, *self._stopping)}
        number = 0
        for _ in range(count):
            while (id := f"{self.name}-{number}") in taken:
                number += 1
            taken.add(id)
            launched = LaunchedReplica(id, self._recipe, self._ports)
            self._launched.append(launched)
            self._spawn(f"launch {id}", launched.run)
        self._launched.sort(key=lambda each: (len(each.id), each.id))

    def remove(self, ids: Collection[str]) -> None:
        """Begin to stop these. Unknown ids are fine."""
        for each in [each for each in self._launched if each.id in ids]:
            self._launched.remove(each)
            self._stopping.append(each)
            self._spawn(f"stop {each.id}", functools.partial(self._stop, each))

    async def _stop(self, each: LaunchedReplica) -> None:
        try:
            await each.stop()
        finally:
            self._stopping.remove(each)

    async def started(self) -> None:
        """Wait until each wanted replica has been ready once. Raises LaunchFailed for the first that was not."""
        await asyncio.gather(*(each.first_ready() for each in self._launched))

    async def stop(self) -> None:
        """Stop all replicas at once and wait until their processes have gone. Safe to call twice."""
        await asyncio.gather(self.scale_to(0), *(each.stop() for each in self._stopping))

    def _ports(self) -> set[int]:
        return {each.port for each in (*self._launched, *self._stopping)}
