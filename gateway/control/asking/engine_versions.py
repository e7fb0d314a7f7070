"""Which version of its engine each replica says that it is: a free question now and then, off the path of requests.

An upgrade changes answers like a new model does, so drift is told with it (`gateway.store.drift`). A replica that does
not answer, or has no such page, keeps what it said last: probes say whether it is well.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Iterator
from typing import Any, Final

from engines.errors import EngineError
from engines.port import Engine
from gateway import clock
from gateway.control.asking.asked import AT_ONCE, Asked
from gateway.control.pacing import paced
from gateway.fleet.steps import in_slices
from gateway.process.supervisor import Supervisor
from gateway.store.messages import SeenVersion
from gateway.telemetry.metrics import OTHER, Metrics
from gateway.telemetry.metrics.families.replicas import REPLICA_VERSIONS
from routing.replicas.replica import ReplicaKey

EVERY_S: Final = 60.0
"""One free request to each replica so often."""
MOST_SHOWN: Final = 8
"""Versions of one engine that metrics name: a rolling upgrade has two."""

Tell = Callable[[list[SeenVersion]], None]


class EngineVersions:
    """What replicas said."""

    def __init__(
        self,
        watched: Callable[[], Collection[tuple[str, Engine]]],
        tell: Tell = lambda _news: None,
        wall_s: Callable[[], float] = clock.wall,
    ) -> None:
        """`watched` are the engines to ask, by name, asked anew in each round; `tell` is given what is new, and
        an empty version of what has gone."""
        self._watched = watched
        self._tell = tell
        self._wall_s = wall_s
        self._known: dict[ReplicaKey, SeenVersion] = {}
        self._counts: Counter[tuple[str, str]] = Counter()
        """Of those, by engine and version: to count 19,200 takes 10 ms."""
        self._news: list[SeenVersion] = []

    @property
    def known(self) -> Collection[SeenVersion]:
        """Of all replicas that have said it, each since when."""
        return self._known.values()

    async def look(self, down: Collection[ReplicaKey] = ()) -> None:
        """One round, over the replicas that are not `down`."""
        seen = Asked()
        await paced(self._questions(seen, down), self._tell_news)
        await in_slices(self._forget_all_but(seen))
        self._tell_news()

    def figures(self) -> list[tuple[tuple[str, str], float]]:
        """By engine and version, how many replicas."""
        shown: Counter[tuple[str, str]] = Counter()
        by_engine: Counter[str] = Counter()
        for (engine, version), count in self._counts.most_common():
            by_engine[engine] += 1
            shown[engine, version if by_engine[engine] <= MOST_SHOWN else OTHER] += count
        return [(labels, float(count)) for labels, count in shown.items()]

    def _questions(
        self, seen: Asked, down: Collection[ReplicaKey]
    ) -> Iterator[Callable[[], Coroutine[Any, Any, None]]]:
        for name, engine in self._watched():
            for replica in engine.replicas:
                seen.add(name, replica.id)
                if (name, replica.id) not in down:
                    yield functools.partial(self._ask, name, engine, replica.id)

    async def _ask(self, name: str, engine: Engine, replica: str) -> None:
        try:
            version = await engine.version(replica)
        except EngineError:
            return
        known = self._known.get((name, replica))
        if version and (known is None or known.version != version):
            one = SeenVersion(name, replica, version, int(self._wall_s() * 1e3))
            self._uncount(known)
            self._known[name, replica] = one
            self._counts[name, version] += 1
            self._news.append(one)

    def _uncount(self, gone: SeenVersion | None) -> None:
        if gone is not None:
            counted = gone.engine, gone.version
            self._counts[counted] -= 1
            if not self._counts[counted]:
                del self._counts[counted]

    def _tell_news(self) -> None:
        news, self._news = self._news, []
        if news:
            self._tell(news)

    def _forget_all_but(self, seen: Asked) -> Iterator[None]:
        for at, key in enumerate((yield from seen.others(self._known)), 1):
            self._uncount(self._known.pop(key))
            self._news.append(SeenVersion(*key, "", int(self._wall_s() * 1e3)))
            if at % AT_ONCE == 0:
                yield
        yield from seen.let_go()


def watch_versions(
    supervisor: Supervisor, versions: EngineVersions, down: Callable[[], Collection[ReplicaKey]], metrics: Metrics
) -> None:
    """Begin the loop."""
    metrics.watch(REPLICA_VERSIONS, versions.figures)
    supervisor.loop("engine_versions", lambda: versions.look(down()), EVERY_S)
