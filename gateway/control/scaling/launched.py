"""More and fewer replicas of launched engines. One that leaves drains first; when more are wanted before it is gone, it
stays: nothing serves sooner than what serves already."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final

from engines.launch.launched import LaunchState
from gateway.control.launches import Launches
from gateway.control.scaling.actuator import Standing
from routing.autoscale.removal import Removable, removed

MOST_DRAIN_S: Final = 600.0
"""One that has nothing in flight by then is stopped although some worker has not said that it sends it nothing new."""


class LaunchScaling:
    """Satisfies `gateway.control.scaling.actuator.Actuator`."""

    def __init__(self, launches: Launches, drain: Callable[[str, str, bool], bool]) -> None:
        """`drain(engine, replica, draining)` sends a replica nothing new, or again."""
        self._launches = launches
        self._drain = drain
        self._since_s: dict[tuple[str, str], float] = {}
        """When each replica was first seen on its way."""
        self._leaving: dict[tuple[str, str], float] = {}
        """Since when each of those drains."""

    def acts(self, engine: str) -> bool:
        return True

    def standing(self, engine: str, now: float) -> Standing:
        launcher = self._launches.launcher(engine)
        launched = launcher.launched if launcher is not None else ()
        ids = {each.id for each in launched}
        for known in (self._since_s, self._leaving):
            for key in [key for key in known if key[0] == engine and key[1] not in ids]:
                del known[key]
        ready: list[str] = []
        starting: dict[str, float] = {}
        for each in launched:
            if (engine, each.id) in self._leaving:
                continue
            if each.state is LaunchState.READY:
                self._since_s.pop((engine, each.id), None)
                ready.append(each.id)
            else:
                starting[each.id] = self._since_s.setdefault((engine, each.id), now)
        failing = [each.id for each in launched if each.id in starting and each.failures]
        return Standing(
            ready=ready,
            starting=starting,
            failing=failing,
            leaving=[id for name, id in self._leaving if name == engine],
            why=self._launches.failure(engine) if failing else "",
            again_s=max([each.again_s for each in launched if each.id in failing], default=0.0),
        )

    def scale(self, engine: str, wanted: int, in_flight: Mapping[str, int], now: float) -> None:
        launcher = self._launches.launcher(engine)
        if launcher is None:
            return
        standing = self.standing(engine, now)
        missing = wanted - len(standing.ready) - len(standing.starting)
        if missing > 0:
            for id in [id for name, id in self._leaving if name == engine][:missing]:
                del self._leaving[engine, id]
                self._drain(engine, id, False)
                missing -= 1
            launcher.add(missing)
            self.standing(engine, now)
        elif missing < 0:
            candidates = [Removable(id, True, in_flight.get(id, 0)) for id in standing.ready]
            candidates += [Removable(id, False, 0, since_s) for id, since_s in standing.starting.items()]
            for id in removed(candidates, -missing):
                if id in standing.starting:
                    self._stop(engine, [id])
                else:
                    self._leaving[engine, id] = now
                    self._drain(engine, id, True)
        overdue = [id for (name, id), at in self._leaving.items() if name == engine and now - at > MOST_DRAIN_S]
        self._stop(engine, [id for id in overdue if not in_flight.get(id)])

    def idle(self, engine: str, ids: Collection[str]) -> None:
        self._stop(engine, [id for name, id in self._leaving if name == engine and id in ids])

    def release(self, engine: str) -> None:
        for key in [key for key in self._leaving if key[0] == engine]:
            del self._leaving[key]
            self._drain(*key, False)
        for key in [key for key in self._since_s if key[0] == engine]:
            del self._since_s[key]

    def _stop(self, engine: str, ids: list[str]) -> None:
        launcher = self._launches.launcher(engine)
        if launcher is None or not ids:
            return
        for id in ids:
            self._leaving.pop((engine, id), None)
            self._since_s.pop((engine, id), None)
        launcher.remove(ids)
