"""What all workers have counted, merged, and written out for a scrape."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator

import structlog

from engines.turns import own_turn
from gateway.control.budgets import Budgets
from gateway.control.links import Links
from gateway.fleet.steps import in_slices, made_in_slices
from gateway.telemetry.exposition import render_lines
from gateway.telemetry.metrics import Accumulator, Metrics, MetricsSnapshot, emptying
from gateway.workers.exchange.messages import AskCounters, Counters, SeriesCounted

COUNTERS_TIMEOUT_S = 2.0

log = structlog.get_logger()


class CounterBoard:
    """The counters of all workers, those that are gone among them."""

    def __init__(
        self,
        links: Links,
        own: Metrics,
        *,
        timeout_s: float = COUNTERS_TIMEOUT_S,
        render: Callable[[MetricsSnapshot, Iterable[int]], Iterator[bytes]] = render_lines,
    ) -> None:
        """`own` are the control plane's; a worker that does not answer within `timeout_s` counts as last heard."""
        self._links = links
        self._own = own
        self._timeout_s = timeout_s
        self._render = render
        self._accumulator = Accumulator()
        self.budgets = Budgets(own)

    def note_series(self, worker: str, told: SeriesCounted) -> None:
        """A worker told of series that have changed."""
        if worker in self._links:
            self._accumulator.update_series(worker, told.series)

    def note(self, worker: str, told: Counters) -> None:
        """A worker told what else it has counted."""
        if worker in self._links:
            self._accumulator.update_others(worker, told.counters, told.gauges)

    def departed(self, worker: str) -> None:
        """A worker is gone; what it counted stays counted."""
        self.budgets.inherit(self._accumulator.gauges(worker))
        self._accumulator.departed(worker)

    async def exposition(self) -> AsyncIterator[bytes]:
        """All metrics, of the workers and our own, as Prometheus text, in pieces between which the loop turns."""
        late = []
        answers = await self._links.ask_all(AskCounters(), Counters, timeout_s=self._timeout_s, bulk=True)
        for worker, answer in answers.items():
            if isinstance(answer, Counters):
                self.note(worker, answer)
            elif worker in self._links:
                late.append(worker)
        if late:
            log.warning("stale_counters", workers=sorted(late))
        own = await made_in_slices(self._own.reading())
        total = await made_in_slices(self._accumulator.adding(own))
        await in_slices(emptying(own))
        for chunk in self._render(total, (os.getpid(), *self._links.pids)):
            yield chunk
            await own_turn()  # streams share this loop; all the text at once would hold them up for milliseconds
        await in_slices(emptying(total))
