"""The exchange of load: each worker tells its tokens in flight, and is told what the others have."""

from __future__ import annotations

from gateway.control.links import Links
from gateway.workers.messages import Load, RemoteLoad, RemoteTokens

EVERY_S = 0.1


class LoadExchange:
    """The latest load of each worker."""

    def __init__(self, links: Links) -> None:
        self._links = links
        self._loads: dict[str, list[RemoteTokens]] = {}

    def note(self, worker: str, load: Load) -> None:
        if worker in self._links:
            self._loads[worker] = load.tokens

    def departed(self, worker: str) -> None:
        """What it had in flight is gone with it."""
        self._loads.pop(worker, None)

    async def share(self) -> None:
        """The loop's step: tell each worker what the others have in flight. One that finds no room comes again."""
        for worker in self._links:
            total: dict[tuple[str, str], int] = {}
            for other, tokens in self._loads.items():
                if other != worker:
                    for one in tokens:
                        key = one.engine, one.replica
                        total[key] = total.get(key, 0) + one.tokens
            self._links.tell(worker, RemoteLoad([RemoteTokens(*key, count) for key, count in total.items()]), bulk=True)
