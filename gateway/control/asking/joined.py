"""What engines are asked beside requests, joined with the rest of the control plane: the loops that ask them, and what
workers and metrics hear of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from gateway.control.asking.adapters import AdapterLoading
from gateway.control.asking.engine_versions import EngineVersions, watch_versions
from gateway.control.asking.health import HealthBoard, HealthLoop
from gateway.control.asking.kv_events import KvEvents
from gateway.control.asking.loads import EngineLoads
from gateway.control.asking.model_cards import ModelCards
from gateway.control.asking.targets import TargetCheck
from gateway.fleet.steps import in_slices
from gateway.telemetry.metrics.families.engine_load import ENGINE_KV_USAGE, ENGINE_WAITING
from gateway.telemetry.metrics.families.loops import PROBES_UNSENT
from gateway.telemetry.metrics.families.prefix_hits import PREFIX_HIT_RATIO
from gateway.workers.exchange.messages import AdaptersHeld, LoadReport, LoadReports

if TYPE_CHECKING:
    from engines.events import EventsAt
    from engines.port import Replica
    from gateway.control.asking.engine_versions import Tell as TellVersions
    from gateway.control.engines import Engines
    from gateway.control.links import Links
    from gateway.control.roster import Roster
    from gateway.process.supervisor import Supervisor
    from gateway.settings import Settings
    from gateway.telemetry.metrics import Metrics


class Asking:
    """See the module."""

    def __init__(
        self,
        supervisor: Supervisor,
        links: Links,
        metrics: Metrics,
        settings: Callable[[], Settings],
        engines: Engines,
        roster: Roster,
        note_versions: TellVersions,
    ) -> None:
        """`settings` are those in use; `note_versions` stores which versions of engines have been seen."""
        self._supervisor = supervisor
        self._links = links
        self._metrics = metrics
        self._settings = settings
        self.board = HealthBoard()
        self._health = HealthLoop(
            self.board,
            engines.probed,
            lambda: roster.down(self.board.down),
            lambda engine: metrics.count(PROBES_UNSENT, engine),
        )
        self.loads = EngineLoads(engines.telling, self._tell_loads)
        self.kv_events = KvEvents(
            lambda: [one for one in engines.telling() if self._publishes(one[0])],
            self._events_at,
            lambda: tuple(links),
            lambda worker, message: links.tell(worker, message, bulk=True),
            supervisor.spawn,
        )
        self.adapters = AdapterLoading(
            engines.telling, settings, self.loads.load_of, lambda: self.board.down | roster.away(), links.tell_all
        )
        self.cards = ModelCards(engines.listing, settings, links.tell_all)
        self.targets = TargetCheck(engines.others, self.cards.heard)
        self.versions = EngineVersions(engines.versioned, note_versions)
        self.looked = asyncio.Event()
        """Set once all engines have been probed, and asked for their models, for the first time."""
        metrics.watch(ENGINE_WAITING, self.loads.waiting)
        metrics.watch(ENGINE_KV_USAGE, self.loads.kv_usages)
        metrics.watch(PREFIX_HIT_RATIO, self.loads.hit_ratios)

    async def use(self, settings: Settings) -> None:
        """These settings are in use from now on, by engines too."""
        self.cards.forget()
        await in_slices(self.targets.use(settings))

    def start(self) -> None:
        """Begin its loops."""
        loop = self._supervisor.loop
        loop("health", self.probe_all, lambda: self._health.rest_s(self._settings().health.interval_s))
        loop("engine_load", self.ask_loads, lambda: self.loads.rest_s(self._load_interval_s()), at_once=False)
        loop("adapters", self.adapters.look, self._load_interval_s)
        watch_versions(self._supervisor, self.versions, lambda: self.board.down, self._metrics)

    async def probe_all(self) -> None:
        """The step of the health loop."""
        first = not self.looked.is_set()
        await self._health.probe_all(self._settings().health, hurried=first)
        await self.targets.look(self.board.down, hurried=first)  # after the probes, on their connections
        await self.cards.look(self.board.down)
        self.looked.set()

    async def ask_loads(self) -> None:
        """The step of the loop over what engines say of their load, and of their caches."""
        await self.kv_events.look()
        await self.loads.ask_all(self._load_interval_s())

    def launched(self) -> None:
        """A replica that was launched is ready: whoever asks for models hears of it soon."""
        if self.looked.is_set():  # else the first round is about to ask
            self._supervisor.spawn("model_cards", lambda: self.cards.look(self.board.down))

    def tell_again(self, worker: str) -> None:
        """There is a worker that has heard nothing yet."""
        self.loads.tell_again()
        self.kv_events.tell_again(worker)
        adapters = self.adapters.known()
        first = next(adapters, None)
        if first is not None:
            self._links.tell(worker, first)
            self._supervisor.spawn("adapters_held", lambda: in_slices(self._tell_each(worker, adapters)))
        self._links.tell(worker, self.cards.current())

    def _tell_each(self, worker: str, messages: Iterator[AdaptersHeld]) -> Iterator[None]:
        for message in messages:
            self._links.tell(worker, message)
            yield

    def close(self) -> None:
        """Follow nobody's cache any more."""
        self.kv_events.close()

    def _publishes(self, engine: str) -> bool:
        """Whether it may; one that a reload has just dropped does not, though it is there until the reload is over."""
        section = self._settings().engines.get(engine)
        return section is not None and section.publishes

    def _events_at(self, engine: str, replica: Replica) -> EventsAt | None:
        """Where a replica publishes; None where it does not, and for an engine that a reload has just dropped."""
        section = self._settings().engines.get(engine)
        return section.events_at(replica) if section is not None else None

    def _load_interval_s(self) -> float:
        return self._settings().health.load_interval_s

    def _tell_loads(self, reports: list[LoadReport], interval_s: float) -> bool:
        message = LoadReports(interval_s, reports)
        told = [self._links.tell(worker, message, bulk=True) for worker in self._links]
        return all(told)
