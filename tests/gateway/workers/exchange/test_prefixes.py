"""What one worker sends where, the others know soon after; and nothing waits for it."""

from __future__ import annotations

import asyncio

import pytest

from gateway.process.supervisor import Supervisor
from gateway.telemetry.metrics import Metrics
from gateway.workers.exchange.messages import PrefixesSent, ToPlane
from gateway.workers.exchange.prefixes import PrefixExchange
from routing.prefix.index import PrefixIndex
from routing.replicas.replica_table import ReplicaTable

pytestmark = pytest.mark.anyio

CHAIN = [11, 12, 13]
PACKED = PrefixIndex.add(index := PrefixIndex(), CHAIN, index.open())


class Side:
    """An exchange whose link is a list, or full."""

    def __init__(self, **bounds: float) -> None:
        self.told: list[PrefixesSent] = []
        self.full = False
        self.metrics = Metrics(())
        self.table = ReplicaTable()
        self.slot = self.table.slot_of(self.table.get(("e", "a")))
        self.supervisor = Supervisor()
        self.exchange = PrefixExchange(
            self.metrics,
            self._tell,
            lambda: self.table,
            self.supervisor.spawn,
            every_s=0.001,
            **bounds,  # type: ignore[arg-type]
        )

    def _tell(self, message: ToPlane) -> bool:
        assert isinstance(message, PrefixesSent)
        if not self.full:
            self.told.append(message)
        return not self.full

    @property
    def dropped(self) -> float:
        (sample,) = [one for one in self.metrics.others()[0] if one.name == "penstock_prefix_news_dropped_total"]
        return sample.value

    async def heard(self, blocks: int) -> None:
        async with asyncio.timeout(60):
            while self.table.prefixes.held(self.slot) != blocks or self.exchange._waiting_bytes:
                await asyncio.sleep(0)


async def flushed(side: Side, messages: int) -> None:
    async with asyncio.timeout(60):
        while len(side.told) < messages:
            await asyncio.sleep(0.001)


async def test_what_was_sent_within_the_interval_is_one_message_and_silence_is_none() -> None:
    side = Side()
    for replica in (("e", "a"), ("e", "b"), ("e", "a")):
        side.exchange.news.note(replica, PACKED)
    await flushed(side, 1)
    side.exchange.news.note(("e", "b"), PACKED[:8])
    await flushed(side, 2)
    await asyncio.sleep(0.01)
    assert [[("e", "b", [PACKED]), ("e", "a", [PACKED])], [("e", "b", [PACKED[:8]])]] == [one.sent for one in side.told]
    assert 0 == side.dropped


async def test_what_another_worker_sent_is_found_here() -> None:
    side = Side()
    side.exchange.hear(PrefixesSent([("e", "a", [PACKED, PACKED[:8]]), ("e", "gone", [PACKED])]))
    await side.heard(3)
    assert 3 == side.table.prefixes.match(CHAIN).depth_of(side.slot)
    side.exchange.hear(PrefixesSent([("e", "a", [PACKED + PACKED])]))
    await side.heard(6)


async def test_a_full_link_drops_the_message_and_counts_it() -> None:
    side = Side()
    side.full = True
    side.exchange.news.note(("e", "a"), PACKED)
    async with asyncio.timeout(60):
        while not side.dropped:
            await asyncio.sleep(0.001)
    side.full = False
    side.exchange.news.note(("e", "a"), PACKED)
    await flushed(side, 1)
    assert 1 == side.dropped


async def test_more_than_a_busy_worker_may_hold_is_dropped_and_counted() -> None:
    side = Side(most_bytes=2 * len(PACKED))
    side.exchange.hear(PrefixesSent([("e", "a", [PACKED] * 5)]))
    assert 3 == side.dropped
    await side.heard(3)
    side.exchange.hear(PrefixesSent([("e", "a", [PACKED + PACKED])]))
    await side.heard(6)
    assert 3 == side.dropped
