"""The load that engines tell of themselves, asked of each replica again and again, and told to the workers.

    a replica answers        its report goes out with those of the next 50 ms, one message for all of them
    ... and is idle, still   nothing is told: what is not told again is taken for idle
    does not answer in time  nothing is told, and its last report fades (`routing.replicas.reported`)
    has no such page (404)   the same
    its counters have fallen it has started anew, and its cache is empty

Nothing here says that a replica is bad: that is for probes and breakers.
"""

from __future__ import annotations

import asyncio
import functools
import math
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator
from typing import Any, Final

from engines.errors import EngineError
from engines.loads import EngineLoad
from engines.port import Engine
from gateway.control.asking.asked import AT_ONCE, Asked
from gateway.control.pacing import paced
from gateway.fleet.steps import in_slices
from gateway.workers.exchange.messages import LoadReport
from routing.replicas.replica import ReplicaKey
from routing.replicas.reported import LAST_INTERVALS

COALESCE_S: Final = 0.05
HIT_DECAY_S: Final = 60.0
"""The hit ratio is that of about the last minute."""

Tell = Callable[[list[LoadReport], float], bool]
Figures = Iterable[tuple[tuple[str, str], float]]
"""Read one by one, so that whoever reads them can let others run: there may be 19,200."""


class _Seen:
    """One replica's last report, and what its counters have gained of late."""

    __slots__ = ("_hits", "_queries", "at_s", "load", "restarted", "told", "told_all")

    def __init__(self) -> None:
        self.load = EngineLoad()
        self.at_s = 0.0
        self.told: LoadReport | None = None
        self.told_all = 0
        """How many workers had joined by then: whoever has joined since has not heard it."""
        self.restarted = False
        self._queries = self._hits = 0.0

    def take(self, load: EngineLoad, now: float) -> None:
        before, queries, hits = self.load, load.prefix_queries_tokens, load.prefix_hits_tokens
        keep = math.exp(min(0.0, self.at_s - now) / HIT_DECAY_S)
        self._queries *= keep
        self._hits *= keep
        if queries is not None and before.prefix_queries_tokens is not None:
            gained = queries - before.prefix_queries_tokens
            found = (hits or 0) - (before.prefix_hits_tokens or 0)
            if gained < 0 or found < 0:
                self.restarted = True
                self._queries = self._hits = 0.0
                gained, found = queries, hits or 0
            self._queries += gained
            self._hits += min(found, gained)
        self.load = load
        self.at_s = now

    @property
    def hit_ratio(self) -> float | None:
        """What part of the prompt tokens were in the cache; None where none were looked up, or nobody tells."""
        return self._hits / self._queries if self._queries >= 1.0 else None


class EngineLoads:
    """See the module."""

    def __init__(
        self, watched: Callable[[], Collection[tuple[str, Engine]]], tell: Tell, coalesce_s: float = COALESCE_S
    ) -> None:
        """`watched` are the engines to ask, by name, asked anew in each round. `tell` is given what is new and the
        interval of rounds; it returns whether all of it has gone out."""
        self._watched = watched
        self._tell = tell
        self._coalesce_s = coalesce_s
        self._seen: dict[ReplicaKey, _Seen] = {}
        self._looked_up: dict[ReplicaKey, _Seen] = {}
        """Those of them that have told of look-ups in their caches."""
        self._news: dict[ReplicaKey, None] = {}
        self._workers = 0
        """Counts those that have joined."""
        self._timer: asyncio.TimerHandle | None = None
        self._interval_s = 0.0
        self._took_s = 0.0
        self._first = True

    def rest_s(self, interval_s: float) -> float:
        """How long to wait for the next round, so that rounds begin every `interval_s`."""
        return max(0.0, interval_s - self._took_s)

    async def ask_all(self, interval_s: float) -> None:
        """One round, to be followed by another in `interval_s` seconds, which is also what an answer may take."""
        began_s = asyncio.get_running_loop().time()
        self._interval_s = interval_s
        asked = Asked()
        await paced(self._questions(asked), hurried=self._first)
        self._first = False
        await in_slices(self._forget_all_but(asked))
        self._took_s = asyncio.get_running_loop().time() - began_s

    def _forget_all_but(self, asked: Asked) -> Iterator[None]:
        """In steps: to look through 19,200 at once holds the loop for 6 ms."""
        for at, key in enumerate((yield from asked.others(self._seen)), 1):
            del self._seen[key]
            self._looked_up.pop(key, None)
            if at % AT_ONCE == 0:
                yield
        yield from asked.let_go()

    def tell_again(self) -> None:
        """There is a worker that has heard nothing yet: the next round tells of idle replicas too."""
        self._workers += 1  # what was told before counts for nothing: to look at 19,200 took a millisecond

    def emptied(self, engine: str, replica: str) -> None:
        """What its cache held is gone: workers hear of it with its next report."""
        seen = self._seen.get((engine, replica))
        if seen is not None:
            seen.restarted = True

    # -- asking --------------------------------------------------------------------------------------------------------

    def _questions(self, asked: Asked) -> Iterator[Callable[[], Coroutine[Any, Any, None]]]:
        for name, engine in self._watched():
            for replica in engine.replicas:
                asked.add(name, replica.id)
                yield functools.partial(self._ask, name, engine, replica.id)

    async def _ask(self, name: str, engine: Engine, replica: str) -> None:
        try:
            async with asyncio.timeout(self._interval_s):  # one that hangs must not hold up the others' next round
                load = await engine.load(replica)
        except (EngineError, TimeoutError):
            return
        if load is None:
            return
        seen = self._seen.setdefault((name, replica), _Seen())
        loop = asyncio.get_running_loop()
        seen.take(load, loop.time())
        if load.prefix_queries_tokens is not None:
            self._looked_up[name, replica] = seen
        self._news[name, replica] = None
        if self._timer is None:
            self._timer = loop.call_later(self._coalesce_s, self._tell_news)

    # -- telling -------------------------------------------------------------------------------------------------------

    def _tell_news(self) -> None:
        self._timer = None
        news, self._news = self._news, {}
        reports: list[LoadReport] = []
        for key in news:
            seen = self._seen.get(key)
            if seen is None:
                continue
            load = seen.load
            report = LoadReport(
                *key, load.running, load.waiting, load.kv_usage, load.cache_tokens, restarted=seen.restarted
            )
            known = seen.told if seen.told_all == self._workers else None
            if report != known or load.running or load.waiting or load.kv_usage:
                reports.append(report)
        if not reports or not self._tell(reports, self._interval_s):
            return
        for report in reports:
            seen = self._seen[report.engine, report.replica]
            seen.told, seen.told_all, seen.restarted = report, self._workers, False

    # -- showing -------------------------------------------------------------------------------------------------------

    def load_of(self, key: ReplicaKey) -> EngineLoad | None:
        """What a replica said last; None where it has said nothing."""
        seen = self._seen.get(key)
        return None if seen is None else seen.load

    def waiting(self) -> Figures:
        """How many requests wait in the engine of each replica that has told lately."""
        lately = self._lately(self._seen)
        return ((key, float(seen.load.waiting)) for key, seen in lately if seen.load.waiting is not None)

    def kv_usages(self) -> Figures:
        """What part of its KV cache each of them uses."""
        return ((key, seen.load.kv_usage) for key, seen in self._lately(self._seen) if seen.load.kv_usage is not None)

    def kv_usage(self, engine: str, replicas: Collection[str]) -> float | None:
        """What part of their KV caches these replicas of an engine use together; None where none has told lately."""
        oldest_s, found = self._oldest_s(), list[float]()
        for id in replicas:
            seen = self._seen.get((engine, id))
            if seen is not None and seen.at_s >= oldest_s and seen.load.kv_usage is not None:
                found.append(seen.load.kv_usage)
        return sum(found) / len(found) if found else None

    def hit_ratios(self) -> Figures:
        """What part of the last minute's prompt tokens each of them had in its prefix cache."""
        lately = self._lately(self._looked_up)
        return ((key, ratio) for key, seen in lately if (ratio := seen.hit_ratio) is not None)

    def _lately(self, among: dict[ReplicaKey, _Seen]) -> Iterator[tuple[ReplicaKey, _Seen]]:
        oldest_s = self._oldest_s()
        # no list of pairs: 19,200 new objects at once
        return ((key, seen) for key in list(among) if (seen := among.get(key)) and seen.at_s >= oldest_s)

    def _oldest_s(self) -> float:
        """Since when a report must have come to count."""
        return asyncio.get_running_loop().time() - LAST_INTERVALS * self._interval_s
