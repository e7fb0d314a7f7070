"""What this worker tells of the prompts that it sends, and what its index hears of those that others sent.

    a request is sent            one append (`routing.prefix.news`)
    ... the first in a while     starts a timer of 20 ms; a worker that sends nothing has none
    the timer rings              one message with all of it, to the control plane, and from there to the others
    another worker's comes       its prompts go into the index, in steps between which the streams are served
    an engine's news comes       (`gateway.control.asking.kv_events`) what it evicted leaves the index in its turn
    one prompt in a hundred      of a replica whose cache is followed goes to the control plane whole

Nothing waits for it. What a full link or a busy worker has no room for is dropped and counted, and costs a worse guess;
where that was an engine's news, all of that replica leaves the index, so that nothing is believed that was denied.
"""

from __future__ import annotations

import asyncio
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from gateway.fleet.steps import in_slices
from gateway.links.link import Spawn
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.metrics.families.prefix_news import PREFIX_NEWS_DROPPED
from gateway.workers.exchange.messages import CachesChanged, CachesFollowed, PrefixesSent, PromptSampled, ToPlane
from routing.prefix.index import chain_of
from routing.prefix.news import PrefixNews
from routing.prefix.samples import PrefixSamples
from routing.replicas.replica import ReplicaKey
from routing.replicas.replica_table import ReplicaTable

EVERY_S: Final = 0.02
MOST_BYTES: Final = 4 * 1024 * 1024
"""Of keys that wait for their turn: 8,192 prompts of 16 KiB."""
SENT: Final = -1
"""In place of how many blocks of a prompt are held: it was sent there, and all of them will be."""


class PrefixExchange:
    """One worker's side."""

    def __init__(
        self,
        metrics: Metrics,
        tell: Callable[[ToPlane], bool],
        table: Callable[[], ReplicaTable],
        spawn: Spawn,
        *,
        every_s: float = EVERY_S,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        """`tell` sends a message and returns whether it went out; `table` is where the index of the moment is."""
        self.news = PrefixNews(self._began)
        """What requests note."""
        self.samples = PrefixSamples(self._sampled)
        """Where they leave their prompts now and then."""
        self.complete: set[ReplicaKey] = set()
        """Replicas whose engine has told all that it holds."""
        self._metrics = metrics
        self._tell = tell
        self._table = table
        self._spawn = spawn
        self._every_s = every_s
        self._most_bytes = most_bytes
        self._waiting: deque[tuple[ReplicaKey, bytes, int]] = deque()
        self._waiting_bytes = 0
        self._taking_in = False
        self._loop = asyncio.get_running_loop()
        metrics.count(PREFIX_NEWS_DROPPED, by=0)

    # -- telling -------------------------------------------------------------------------------------------------------

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

    def _sampled(self) -> None:
        self._loop.call_soon(self._tell_samples)

    def _tell_samples(self) -> None:
        for replica, model, operation, body, chain in self.samples.waiting():
            self._tell(PromptSampled(*replica, model, operation, body, array("Q", chain).tobytes()))

    # -- hearing -------------------------------------------------------------------------------------------------------

    def told(self, message: PrefixesSent | CachesChanged | CachesFollowed) -> None:
        """Act on one message of the control plane."""
        match message:
            case PrefixesSent():
                self.hear(message)
            case CachesChanged():
                self.hear_engines(message)
            case CachesFollowed():
                self.follow(message)

    def hear(self, message: PrefixesSent) -> None:
        """Another worker sent these."""
        dropped = 0
        for engine, replica, prompts in message.sent:
            for packed in prompts:
                dropped += not self._put((engine, replica), packed, SENT)
        if dropped:
            self._metrics.count(PREFIX_NEWS_DROPPED, by=dropped)
        self._begin()

    def hear_engines(self, message: CachesChanged) -> None:
        """Engines told this of their caches."""
        for change in message.changes:
            replica = change.engine, change.replica
            if not self._put(replica, change.keys, change.holds):
                self._put(replica, b"", 0)
                self._metrics.count(PREFIX_NEWS_DROPPED)
        self._begin()

    def follow(self, message: CachesFollowed) -> None:
        """These are followed so well."""
        for one in message.replicas:
            replica = one.engine, one.replica
            self.samples.want(replica, one.wanted)
            (self.complete.add if one.complete else self.complete.discard)(replica)
            state = self._table().find(replica)
            if state is not None:
                state.tally.follow(one.complete)

    def _put(self, replica: ReplicaKey, packed: bytes, holds: int) -> bool:
        if packed and self._waiting_bytes + len(packed) > self._most_bytes:
            return False
        self._waiting_bytes += len(packed)
        self._waiting.append((replica, packed, holds))
        return True

    def _begin(self) -> None:
        if self._waiting and not self._taking_in:
            self._taking_in = True
            self._spawn("prefix_exchange", lambda: in_slices(self._take_in()))

    def _take_in(self) -> Iterator[None]:
        try:
            while self._waiting:
                replica, packed, holds = self._waiting.popleft()
                self._waiting_bytes -= len(packed)
                table, chain = self._table(), chain_of(packed)
                if holds == SENT or (chain and holds >= len(chain)):
                    table.sent(replica, chain)
                elif chain:
                    table.cut(replica, chain, holds)
                else:
                    state = table.find(replica)
                    if state is not None:
                        yield from table.void(state)
                yield
        finally:
            self._taking_in = False
