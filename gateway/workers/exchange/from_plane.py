"""One worker as the peer of the control plane, at the other end of its link: what it does for each message."""

from __future__ import annotations

import random
from collections.abc import Awaitable
from typing import TYPE_CHECKING

import structlog

from gateway import clock
from gateway.explanation.views import AskRouting, Explained
from gateway.fleet.steps import in_slices
from gateway.workers.exchange.burden import demand_steps
from gateway.workers.exchange.demand import AskDemand, Demand, EngineStarts
from gateway.workers.exchange.messages import (
    AccessToken,
    AdaptersHeld,
    ArmShares,
    AskCounters,
    CachesChanged,
    CachesFollowed,
    Configure,
    Configured,
    Drain,
    Drained,
    ExpositionPart,
    GatewaysCounted,
    Keys,
    LoadReports,
    MembersChanged,
    ModelsKnown,
    PrefixesSent,
    RemoteLoad,
    RenewCertificate,
    Renewed,
    Reopen,
    ToPlane,
    ToWorker,
)

if TYPE_CHECKING:
    from gateway.workers.worker import Worker

log = structlog.get_logger()


class FromPlane:
    """See the module. What changes the worker is queued in the order it came, and done one at a time."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def told(self, message: ToWorker) -> None:
        """Act on one message."""
        worker = self._worker
        match message:
            case MembersChanged():
                worker.changes.put(lambda: self._change_members(message))
            case Keys():
                worker.changes.put(lambda: self._rekey(message))
            case AccessToken():
                worker.changes.put(lambda: self._use_token(message))
            case RemoteLoad():
                worker.fleet.set_remote({(one.engine, one.replica): one.figures for one in message.replicas})
            case GatewaysCounted():
                worker.fleet.table.gateways = message.engines
            case LoadReports():
                worker.changes.put(lambda: in_slices(worker.fleet.take_reports(message.reports, message.interval_s)))
            case PrefixesSent() | CachesChanged() | CachesFollowed():
                worker.prefixes.told(message)
            case EngineStarts():
                worker.reception.starts(worker.wakes.told(message.starts, clock.monotonic()))
            case AdaptersHeld():
                worker.adapters.told(message)
            case ModelsKnown():
                worker.cards = {card.name: card for card in message.cards}
            case ArmShares():
                worker.fleet.experiments.set_shares(message.experiment, message.shares)
            case ExpositionPart():
                worker.scrapes.told(message)
            case Reopen():
                worker.sinks.reopen()

    def asked(self, message: ToWorker) -> Awaitable[ToPlane]:
        """Answer one question."""
        match message:
            case Configure():
                # Now, as what is told of one later is: else that would be undone by what is older, once its turn comes.
                self._worker.fleet.experiments.tell(message.shares.items())
                return self._worker.changes.put(lambda: self._configured(message))
            case _:
                return self._answer(message)

    async def _answer(self, message: ToWorker) -> ToPlane:
        worker = self._worker
        match message:
            case AskCounters():
                return await worker.counting.answer()
            case AskDemand():
                demand, now = Demand([]), clock.monotonic()
                await in_slices(demand_steps(message, demand, worker.fleet, worker.metrics.tallies(), now))
                return demand
            case AskRouting():
                return self._explain(message)
            case RenewCertificate():
                return Renewed(await worker.renew_certificate())
            case Drain():
                await worker.drain(message.grace_s)
                return Drained()
        raise TypeError(f"{type(message).__name__} asks nothing")

    def _explain(self, question: AskRouting) -> Explained:
        worker = self._worker
        serving = None
        if worker.configured:
            snapshot = worker.dispatcher.snapshot
            serving = snapshot.serving.get((question.model, question.arm))
            if serving is None and not question.arm:
                serving = snapshot.find(question.model)  # a name of a wildcard
        route, arm = (None, "") if serving is None else (serving.route, question.arm)
        if serving is not None and serving.enrolment is not None:
            arm = serving.enrolment.experiment.arms[0]
        rng = random.Random()  # noqa: S311 - draws lots
        return worker.explainer.answer(question, route, clock.monotonic(), rng, arm)

    async def _configured(self, message: Configure) -> ToPlane:
        return Configured(await self._worker.configure(message))

    async def _rekey(self, message: Keys) -> None:
        await self._worker.rekey(message)

    async def _use_token(self, message: AccessToken) -> None:
        self._worker.fleet.use_token(message.engine, message.token)

    async def _change_members(self, message: MembersChanged) -> None:
        if self._worker.fleet.prepared is None:
            return
        try:
            await in_slices(self._worker.fleet.change(message.members))
        except (ValueError, OSError) as error:
            log.error("members_refused", why=str(error))

    def link_lost(self) -> None:
        """The control plane is gone. What that means is for the owner of the process to say."""
