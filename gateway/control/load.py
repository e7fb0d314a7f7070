"""The exchange of load: each worker tells its tokens in flight, and is told what the others have."""

from __future__ import annotations

from gateway.control.links import Links
from gateway.workers.messages import Load, RemoteLoad, ReplicaLoad

EVERY_S = 0.05


class LoadExchange:
    """The latest load of each worker."""

    def __init__(self, links: Links) -> None:
        self._links = links
        self._loads: dict[str, list[ReplicaLoad]] = {}

    def note(self, worker: str, load: Load) -> None:
        if worker in self._links:
            self._loads[worker] = load.replicas

    def departed(self, worker: str) -> None:
        """What it had in flight is gone with it."""
        self._loads.pop(worker, None)

    async def share(self) -> None:
        """The loop's step: tell each worker what the others have in flight. One that finds no room comes again."""
        for worker in self._links:
            total: dict[tuple[str, str], ReplicaLoad] = {}
            for other, loads in self._loads.items():
                if other != worker:
                    for one in loads:
                        key = one.engine, one.replica
                        known = total.get(key)
                        total[key] = one if known is None else known.with_more(one)
            self._links.tell(worker, RemoteLoad(list(total.values())), bulk=True)
