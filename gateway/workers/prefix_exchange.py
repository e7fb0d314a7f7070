"""The exchange of prompts: each worker tells which prompt it sent where, and its index learns what the others sent.

    a request is sent            one append (`routing.prefix_news`)
    ... the first in a while     starts a timer of 50 ms; a worker that sends nothing has none
    the timer rings              one message with all of it, to the control plane, and from there to the others
    another worker's comes       its prompts go into the index, in steps between which the streams are served

Nothing waits for it: what a full link or a busy worker has no room for is dropped and counted, and costs a worse guess.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from gateway.fleet.steps import in_slices
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.metrics.families.prefix_news import PREFIX_NEWS_DROPPED
from gateway.workers.link import Spawn
from gateway.workers.messages import PrefixesSent
from routing.prefix_index import chain_of
from routing.prefix_news import PrefixNews
from routing.replica import ReplicaKey, ReplicaTable

EVERY_S: Final = 0.05
MOST_BYTES: Final = 4 * 1024 * 1024
"""Of keys that wait for their turn: 8,192 prompts of 16 KiB."""


class PrefixExchange:
    """One worker's side."""

    def __init__(
        self,
        metrics: Metrics,
        tell: Callable[[PrefixesSent], bool],
        table: Callable[[], ReplicaTable],
        spawn: Spawn,
        *,
        every_s: float = EVERY_S,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        """`tell` sends a message and returns whether it went out; `table` is where the index of the moment is."""
        self.news = PrefixNews(self._began)
        """What requests note."""
        self._metrics = metrics
        self._tell = tell
        self._table = table
        self._spawn = spawn
        self._every_s = every_s
        self._most_bytes = most_bytes
        self._waiting: deque[tuple[ReplicaKey, bytes]] = deque()
        self._waiting_bytes = 0
        self._loop = asyncio.get_running_loop()
        metrics.count(PREFIX_NEWS_DROPPED, by=0)

    def _began(self) -> None:
        self._loop.call_later(self._every_s, self._flush)

    def _flush(self) -> None:
        by_replica: dict[ReplicaKey, list[bytes]] = {}
        for replica, packed in self.news.take():
            by_replica.setdefault(replica, []).append(packed)
        dropped, self.news.dropped = self.news.dropped, 0
        dropped += not self._tell(PrefixesSent([(*replica, prompts) for replica, prompts in by_replica.items()]))
        if dropped:
            self._metrics.count(PREFIX_NEWS_DROPPED, by=dropped)

    def hear(self, message: PrefixesSent) -> None:
        """Another worker sent these."""
        dropped = 0
        idle = not self._waiting
        for engine, replica, prompts in message.sent:
            for packed in prompts:
                if self._waiting_bytes + len(packed) > self._most_bytes:
                    dropped += 1
                else:
                    self._waiting_bytes += len(packed)
                    self._waiting.append(((engine, replica), packed))
        if dropped:
            self._metrics.count(PREFIX_NEWS_DROPPED, by=dropped)
        if idle and self._waiting:
            self._spawn("prefix_exchange", lambda: in_slices(self._take_in()))

    def _take_in(self) -> Iterator[None]:
        while self._waiting:
            replica, packed = self._waiting[0]
            self._table().sent(replica, chain_of(packed))
            self._waiting.popleft()
            self._waiting_bytes -= len(packed)
            yield
