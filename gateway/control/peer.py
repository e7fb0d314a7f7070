"""The control plane as the peer of one worker, at the other end of its link: what it does for each message."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.admin.passing import passed
from gateway.telemetry.metrics.families.prefix_news import PREFIX_NEWS_DROPPED
from gateway.workers.exchange.demand import Woken
from gateway.workers.exchange.messages import (
    AdapterAnswer,
    AdaptersUsed,
    AdminRequest,
    AskAdapter,
    AskExposition,
    AskResponse,
    Counters,
    Exposition,
    ExpositionPart,
    Load,
    Observed,
    PrefixesSent,
    PromptSampled,
    ResponseHome,
    ResponseKept,
    SeriesCounted,
)

if TYPE_CHECKING:
    from gateway.control.plane import Plane
    from gateway.workers.exchange.messages import ToPlane, ToWorker


class FromWorker:
    """See the module."""

    def __init__(self, plane: Plane, worker: str, lost: Callable[[], None]) -> None:
        self._plane = plane
        self._worker = worker
        self._lost = lost

    def told(self, message: ToPlane) -> None:
        """Act on one message."""
        plane, worker = self._plane, self._worker
        match message:
            case SeriesCounted():
                plane.counters.note_series(worker, message)
            case Counters():
                plane.counters.note(worker, message)
            case Load():
                plane.load.note(worker, message)
            case Observed():
                plane.experiments.observed(message)
            case PromptSampled():
                plane.asking.kv_events.sampled(message)
            case Woken():
                plane.autoscaling.woken(message.engines)
            case AdaptersUsed():
                plane.asking.adapters.used(message)
            case ResponseKept():
                plane.responses.keep(message.home)
            case PrefixesSent():
                plane.metrics.count(PREFIX_NEWS_DROPPED, by=plane.links.tell_others(worker, message))

    async def asked(self, message: ToPlane) -> ToWorker:
        """Answer one question."""
        plane = self._plane
        match message:
            case AskExposition():
                parts = 0
                async for text in plane.exposition():
                    plane.links.tell(self._worker, ExpositionPart(message.scrape, text), bulk=True)
                    parts += 1  # one that found no room is missed by the worker
                return Exposition(parts)
            case AskResponse():
                return ResponseHome(plane.responses.find(message.response_id))
            case AskAdapter():
                loading = plane.asking.adapters
                return AdapterAnswer(await loading.load(message.engine, message.adapter, more=message.more))
            case AdminRequest():
                return await passed(plane.admin, message)
        raise TypeError(f"{type(message).__name__} asks nothing")

    def link_lost(self) -> None:
        self._lost()
