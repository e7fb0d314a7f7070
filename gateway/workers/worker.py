"""One worker: the data plane of one process. It listens, answers, and shares nothing with other workers.

It is told everything by messages (`gateway.workers.messages`) and tells the control plane what it counted. A message
that configures it builds a complete new snapshot first and then swaps it in; one that cannot be built changes nothing.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Awaitable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from gateway import clock
from gateway.accounts.accounting import Accounting
from gateway.accounts.keys import keyring_of
from gateway.adapters import Adapters
from gateway.api.app import control_app
from gateway.dispatch import Dispatcher
from gateway.experiments.observing import Observing
from gateway.explanation.explainer import Explainer
from gateway.explanation.views import AskRouting, Explained
from gateway.fleet.ejecting import EVERY_S as EJECTING_EVERY_S
from gateway.fleet.live import LiveFleet
from gateway.fleet.predictions import watch_predictions
from gateway.fleet.prepared import prepare
from gateway.fleet.snapshot import Snapshot
from gateway.fleet.steps import in_slices
from gateway.http.certificate import BadCertificate, Certificate
from gateway.http.connection import ClientConnection
from gateway.http.cors import Cors
from gateway.http.listen import Listener, accepting
from gateway.identity import Keyring
from gateway.record_ids import RecordIds
from gateway.responses.keeper import Keeper
from gateway.settings import ConfigError, Settings
from gateway.settings.sealed import Sealed, opened
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.metrics.families.admission import QUEUE_TOKENS
from gateway.telemetry.metrics.families.loops import LOOP_AGE
from gateway.telemetry.metrics.families.replicas import BREAKER_OPEN
from gateway.telemetry.metrics.families.spending import GPU_COST
from gateway.telemetry.time_stamp import TimeStamper
from gateway.workers import descriptors
from gateway.workers.administering import Administering
from gateway.workers.burden import demand_of
from gateway.workers.changes import Changes
from gateway.workers.counting import EVERY_S as COUNTERS_EVERY_S
from gateway.workers.counting import Counting
from gateway.workers.demand import AskDemand, EngineStarts
from gateway.workers.draining import Draining
from gateway.workers.link import Link
from gateway.workers.load_telling import EVERY_S as LOAD_EVERY_S
from gateway.workers.load_telling import LoadTelling
from gateway.workers.messages import (
    AccessToken,
    AdaptersHeld,
    AdminAnswer,
    AdminRequest,
    ArmShares,
    AskCounters,
    CachesChanged,
    CachesFollowed,
    Configure,
    Configured,
    Drain,
    Drained,
    ExpositionPart,
    Keys,
    LoadReports,
    MembersChanged,
    PrefixesSent,
    RemoteLoad,
    RenewCertificate,
    Renewed,
    Reopen,
    ToPlane,
    ToWorker,
)
from gateway.workers.others import Others
from gateway.workers.prefix_exchange import PrefixExchange
from gateway.workers.questions import LinkLost
from gateway.workers.reception import Reception
from gateway.workers.scrapes import Scrapes
from gateway.workers.sinks import Sinks
from gateway.workers.wakes import Wakes
from routing.fleet import Fleet

if TYPE_CHECKING:
    from gateway.supervisor import Supervisor

FLUSH_S = 0.15
PRICE_REFRESH_S = 60.0

log = structlog.get_logger()


class Worker:
    """The data plane of one process: how it is configured, and its life. Requests meet its `Reception`."""

    def __init__(self, supervisor: Supervisor, *, workers: int = 1) -> None:
        self._loop = asyncio.get_running_loop()
        self._supervisor = supervisor
        self._workers = workers
        self._link: Link[ToPlane] | None = None
        self._changes = Changes(supervisor.spawn)
        self._scrapes = Scrapes()
        self.metrics = Metrics(())
        self._counting = Counting(self.metrics, lambda message: self._tell(message, bulk=True))
        self._prefixes = PrefixExchange(
            self.metrics,
            lambda message: self._tell(message, bulk=True),
            lambda: self.fleet.table,
            supervisor.spawn,
        )
        notes = self._prefixes.news if workers > 1 else None, self._prefixes.samples
        self.fleet = LiveFleet(self.metrics, supervisor.spawn, self._fleet_built, workers=workers, notes=notes)
        self._wakes = Wakes(lambda message: self._tell(message, bulk=False))
        self._others = Others(lambda: self._link)
        self._adapters = Adapters(lambda: self.fleet.adapters, self._others, supervisor.spawn, lambda: self.fleet.held)
        self._sealed: tuple[Sealed, Settings] | None = None
        """The configuration in use as it came, so that the next is made of what has changed."""
        self._ids = RecordIds()
        self._accounting = Accounting(self.metrics, (), TimeStamper().format)
        self._observing = Observing(lambda message: self._tell(message, bulk=True), self.metrics)
        self._accounting.observing = self._observing
        self.fleet.held = self._accounting.held
        self._explainer = Explainer(TimeStamper().format)
        self._sinks = Sinks(self.metrics, self._accounting, supervisor, self._ids.run, self._gpu_spent)
        self._keyring = Keyring()
        self._written_keyring = self._keyring
        """That of the configuration; keys may have been told since."""
        self._administering = Administering()
        self._reception = Reception(control_app(self), self._accounting, supervisor.spawn)
        self._connections = self._reception.clients
        self._draining = Draining(self._reception)
        self._servers: list[Listener] = []
        self._load = LoadTelling(lambda: self.fleet.table, lambda message: self._tell(message, bulk=True))
        self._listening = False
        self._certificate: Certificate | None = None
        self.drained = asyncio.Event()
        self.metrics.watch(BREAKER_OPEN, self.fleet.open_breakers)
        self.metrics.watch_counts(GPU_COST, self._gpu_spent)
        self.metrics.watch(QUEUE_TOKENS, self._reception.queued_tokens)
        watch_predictions(self.metrics, lambda: self.fleet.table, self._prefixes.complete)
        self.metrics.watch(LOOP_AGE, lambda: [((name,), age) for name, age in supervisor.ages_s().items()])

    def _gpu_spent(self) -> list[tuple[tuple[str, str], float]]:
        return self.fleet.meters.spent_usd(clock.monotonic())

    # -- configuration -------------------------------------------------------------------------------------------------

    def join(self, link: Link[ToPlane]) -> None:
        """Speak to the control plane through this link from now on."""
        self._link = link

    def told(self, message: ToWorker) -> None:
        """Act on one message of the control plane."""
        match message:
            case MembersChanged():
                self._changes.put(lambda: self._change_members(message))
            case Keys():
                self._changes.put(lambda: self._rekey(message))
            case AccessToken():
                self._changes.put(lambda: self._use_token(message))
            case RemoteLoad():
                self.fleet.set_remote({(one.engine, one.replica): one.figures for one in message.replicas})
            case LoadReports():
                self._changes.put(lambda: in_slices(self.fleet.take_reports(message.reports, message.interval_s)))
            case PrefixesSent() | CachesChanged() | CachesFollowed():
                self._prefixes.told(message)
            case EngineStarts():
                self._reception.starts(self._wakes.told(message.starts, clock.monotonic()))
            case AdaptersHeld():
                self._adapters.told(message)
            case ArmShares():
                self.fleet.experiments.set_shares(message.experiment, message.shares)
            case ExpositionPart():
                self._scrapes.told(message)
            case Reopen():
                self._sinks.reopen()

    def asked(self, message: ToWorker) -> Awaitable[ToPlane]:
        """Answer one question of the control plane. Changes are queued here, in the order they came."""
        match message:
            case Configure():
                return self._changes.put(lambda: self._configured(message))
            case _:
                return self._answer(message)

    async def _answer(self, message: ToWorker) -> ToPlane:
        match message:
            case AskCounters():
                return await self._counting.answer()
            case AskDemand():
                return demand_of(message, self.fleet, self.metrics.tallies(), clock.monotonic())
            case AskRouting():
                return self._explain(message)
            case RenewCertificate():
                return Renewed(await self._renew_certificate())
            case Drain():
                await self.drain(message.grace_s)
                return Drained()
        raise TypeError(f"{type(message).__name__} asks nothing")

    def _explain(self, question: AskRouting) -> Explained:
        serving = self.dispatcher.snapshot.serving.get((question.model, question.arm)) if self.configured else None
        route, arm = (None, "") if serving is None else (serving.route, question.arm)
        if serving is not None and serving.enrolment is not None:
            arm = serving.enrolment.experiment.arms[0]
        rng = random.Random()  # noqa: S311 - draws lots
        return self._explainer.answer(question, route, clock.monotonic(), rng, arm)

    async def _renew_certificate(self) -> str:
        if self._certificate is None:
            return ""
        try:
            await asyncio.to_thread(self._certificate.renew)
        except BadCertificate as error:
            return str(error)
        return ""

    async def _configured(self, message: Configure) -> ToPlane:
        return Configured(await self.configure(message))

    async def _rekey(self, message: Keys) -> None:
        """New keys, and nothing else new: the next request meets them."""
        self._keyring = keyring_of(message.keys, any_host=message.open)
        if self.configured:
            self._publish(self.dispatcher.snapshot)

    async def _use_token(self, message: AccessToken) -> None:
        self.fleet.use_token(message.engine, message.token)

    def link_lost(self) -> None:
        """The control plane is gone. What that means is for the owner of the process to say."""

    async def configure(self, message: Configure) -> str:
        """Use a new configuration; returns why not, or an empty string."""
        fleet = self.fleet
        try:
            loaded = await opened(message.sealed, self._sealed)
            settings = loaded.settings
            prepared = await asyncio.to_thread(prepare, loaded, fleet.pools.contexts, fleet.prepared)
            if fleet.prepared is None:
                self._sinks.open(settings, message.store)
            fleet.experiments.tell(message.shares.items())
            await in_slices(fleet.configure(prepared, message.members))
        except (ConfigError, ValueError, OSError) as error:
            return str(error) or type(error).__name__
        self._sealed = message.sealed, settings
        self._sinks.use(settings)
        return ""

    async def _change_members(self, message: MembersChanged) -> None:
        if self.fleet.prepared is None:
            return
        try:
            await in_slices(self.fleet.change(message.members))
        except (ValueError, OSError) as error:
            log.error("members_refused", why=str(error))

    def _fleet_built(self, snapshot: Snapshot) -> None:
        if snapshot.keyring is not self._written_keyring:  # a new configuration's, and newer than what was told
            self._written_keyring = self._keyring = snapshot.keyring
        self._publish(snapshot)

    def _publish(self, snapshot: Snapshot) -> None:
        """New requests meet this from now on, with the keys of the moment: they may be newer than the snapshot's."""
        snapshot = replace(snapshot, keyring=self._keyring)
        origins = self.settings.server.cors.origins
        self._reception.cors = Cors(origins) if origins else None
        self._explainer.open = self._keyring.is_open and self.settings.server.local
        if self._reception.dispatcher is None:
            keeper = Keeper(self._others if self._workers > 1 else None)
            spawn = self._supervisor.spawn
            self._reception.dispatcher = Dispatcher(
                snapshot, self._accounting, self._explainer, self._ids, keeper, self._adapters, spawn, self._wakes
            )
        else:
            self._reception.dispatcher.snapshot = snapshot

    # -- life ----------------------------------------------------------------------------------------------------------

    async def listen(self, sockets: Iterable[socket.socket], certificate: Certificate | None = None) -> None:
        """Accept connections on these bound sockets, over TLS with a certificate, and begin the worker's loops."""
        self._certificate = certificate
        self._reception.secure = certificate is not None
        for sock in sockets:
            await self.accept(sock)
        self._listening = True
        self._supervisor.loop("log_writer", self._flush, FLUSH_S)
        self._supervisor.loop("ejection", self.fleet.ejecting.look, EJECTING_EVERY_S)
        self._supervisor.loop("descriptors", lambda: descriptors.look(self.metrics), descriptors.EVERY_S)
        self._supervisor.loop("prices", self._refresh_prices, PRICE_REFRESH_S, at_once=False)
        if self._workers > 1:
            self._supervisor.loop("load_exchange", self._load.tell, LOAD_EVERY_S)
            self._supervisor.loop("counters", self._counting.tell, COUNTERS_EVERY_S)

    async def accept(self, sock: socket.socket) -> Listener:
        """Accept connections on one more bound socket. Raises OSError."""
        listener = await accepting(sock, self._certificate, self._connection, self._reception, self._supervisor.spawn)
        if self.draining:
            listener.close()
        else:
            self._servers.append(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        """Accept no more there."""
        if listener in self._servers:
            self._servers.remove(listener)
            listener.close()

    async def drain(self, grace_s: float) -> None:
        """Stop accepting, let what runs finish for `grace_s` at most, cut the rest, and say so.

        Asked again, it waits for the same end; with no grace it brings that about."""
        if self.draining:
            if grace_s <= 0:
                self._draining.hurry()
            await self.drained.wait()
            return
        self._reception.draining = True
        for server in self._servers:
            server.close()
        await self._draining.run(grace_s)
        self._observing.flush()
        await self._sinks.close()
        self.drained.set()

    @property
    def settings(self) -> Settings:
        """The configuration in use."""
        assert self.fleet.prepared is not None
        return self.fleet.prepared.settings

    @property
    def configured(self) -> bool:
        """Whether a configuration is in use."""
        return self._reception.dispatcher is not None

    @property
    def ready(self) -> bool:
        """Whether new requests are welcome: configured, listening, not draining. What the replicas do is no part of
        it, because the request that wakes a gateway scaled to zero must reach it."""
        return self.configured and self._listening and not self.draining

    @property
    def keyring(self) -> Keyring:
        """The keys in use."""
        return self._keyring

    @property
    def catalog(self) -> Fleet:
        """The public models."""
        return self.dispatcher.snapshot.fleet

    @property
    def dispatcher(self) -> Dispatcher:
        return self._reception.configured

    @property
    def draining(self) -> bool:
        """Whether no new requests are taken."""
        return self._reception.draining

    def _connection(self) -> ClientConnection:
        return ClientConnection(self._reception, self._loop)

    # -- loops and questions -------------------------------------------------------------------------------------------

    async def exposition(self) -> list[bytes]:
        """The metrics of the whole gateway as Prometheus text. Raises TimeoutError or LinkError without an answer."""
        if self._link is None:
            raise LinkLost("there is no control plane")
        return await self._scrapes.ask(self._link)

    async def administer(self, request: AdminRequest) -> AdminAnswer:
        """What the control plane's admin API answers. Raises TimeoutError or LinkError without an answer."""
        return await self._administering.ask(self._link, request)

    async def _flush(self) -> None:
        self._sinks.flush()

    async def _refresh_prices(self) -> None:
        if self.fleet.prepared is not None:
            await asyncio.to_thread(self.fleet.prepared.prices.refresh)

    def _tell(self, message: ToPlane, *, bulk: bool) -> bool:
        return self._link is not None and self._link.tell(message, bulk=bulk)
