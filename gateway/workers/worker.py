"""One worker: the data plane of one process. It listens, answers, and shares nothing with other workers.

It is told everything by messages (`gateway.workers.exchange.messages`) and tells the control plane what it counted. A
message that configures it builds a complete new snapshot first and then swaps it in; one that cannot be built changes
nothing.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from gateway import clock
from gateway.accounts.accounting import Accounting
from gateway.accounts.keys import making_keyring, unpacked_keys
from gateway.adapters import Adapters
from gateway.api.app import control_app
from gateway.dispatch import Dispatcher
from gateway.experiments.observing import Observing
from gateway.explanation.explainer import Explainer
from gateway.fleet.ejecting import EVERY_S as EJECTING_EVERY_S
from gateway.fleet.live import LiveFleet
from gateway.fleet.members import unpacked
from gateway.fleet.predictions import watch_predictions
from gateway.fleet.prepared import prepare
from gateway.fleet.snapshot import Snapshot
from gateway.fleet.steps import in_slices, letting_go, made_in_slices
from gateway.http.certificate import BadCertificate, Certificate
from gateway.http.connection import ClientConnection
from gateway.http.cors import Cors
from gateway.http.listen import Listener, accepting
from gateway.http.status_lines import EVERY_S as DATE_EVERY_S
from gateway.http.status_lines import tell_date
from gateway.identity import Keyring
from gateway.links.link import Link
from gateway.links.questions import LinkLost
from gateway.record_ids import RecordIds
from gateway.responses.keeper import Keeper
from gateway.settings import ConfigError, Settings
from gateway.settings.sealed import Sealed, leaving, opened
from gateway.shadow.shadow import Shadows
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.metrics.families.admission import QUEUE_TOKENS
from gateway.telemetry.metrics.families.loops import LOOP_AGE
from gateway.telemetry.metrics.families.replicas import BREAKER_OPEN
from gateway.telemetry.metrics.families.spending import GPU_COST
from gateway.telemetry.time_stamp import TimeStamper
from gateway.workers import descriptors
from gateway.workers.changes import Changes
from gateway.workers.draining import Draining
from gateway.workers.exchange.administering import Administering
from gateway.workers.exchange.counting import EVERY_S as COUNTERS_EVERY_S
from gateway.workers.exchange.counting import CountTelling
from gateway.workers.exchange.from_plane import FromPlane
from gateway.workers.exchange.load_telling import EVERY_S as LOAD_EVERY_S
from gateway.workers.exchange.load_telling import LoadTelling
from gateway.workers.exchange.messages import (
    AdminAnswer,
    AdminRequest,
    Configure,
    Keys,
    ModelCard,
    ToPlane,
)
from gateway.workers.exchange.others import Others
from gateway.workers.exchange.prefixes import PrefixExchange
from gateway.workers.exchange.scrapes import Scrapes
from gateway.workers.exchange.wakes import Wakes
from gateway.workers.reception import Reception
from gateway.workers.sinks import Sinks
from routing.fleet import Fleet

if TYPE_CHECKING:
    from gateway.process.supervisor import Supervisor

FLUSH_S = 0.15
PRICE_REFRESH_S = 60.0

log = structlog.get_logger()


class Worker:
    """The data plane of one process: how it is configured, and its life. Requests meet its `Reception`."""

    def __init__(self, supervisor: Supervisor, *, workers: int = 1) -> None:
        self._loop = asyncio.get_running_loop()
        self._supervisor = supervisor
        self._workers = workers
        self.peer = FromPlane(self)
        """What acts on the messages of the control plane."""
        self._link: Link[ToPlane] | None = None
        self.changes = Changes(supervisor.spawn)
        self.scrapes = Scrapes()
        self.metrics = Metrics(())
        self.counting = CountTelling(self.metrics, lambda message: self._tell(message, bulk=True))
        self.prefixes = PrefixExchange(
            self.metrics,
            lambda message: self._tell(message, bulk=True),
            lambda: self.fleet.table,
            supervisor.spawn,
        )
        notes = self.prefixes.news if workers > 1 else None, self.prefixes.samples
        self.fleet = LiveFleet(self.metrics, supervisor.spawn, self._fleet_built, workers=workers, notes=notes)
        self.wakes = Wakes(lambda message: self._tell(message, bulk=False))
        self._others = Others(lambda: self._link)
        self.cards: Mapping[str, ModelCard] = {}
        """What engines say of public models, by name."""
        self.adapters = Adapters(lambda: self.fleet.adapters, self._others, supervisor.spawn, lambda: self.fleet.held)
        self._sealed: tuple[Sealed, Settings] | None = None
        """The configuration in use as it came, so that the next is made of what has changed."""
        self._ids = RecordIds()
        self._accounting = Accounting(self.metrics, (), TimeStamper().format)
        self._observing = Observing(lambda message: self._tell(message, bulk=True), self.metrics)
        self._accounting.observing = self._observing
        self.fleet.held = self._accounting.held
        self.fleet.followed = self.prefixes.complete
        self._shadows = Shadows(
            self.metrics, self._accounting, self._ids, lambda: self.dispatcher.room.busy, self._loop.call_soon
        )
        self.fleet.shadows = self._shadows
        self.explainer = Explainer(TimeStamper().format)
        self.sinks = Sinks(self.metrics, self._accounting, supervisor, self._ids.run, self._gpu_spent)
        self._keyring = Keyring()
        self._administering = Administering()
        self.reception = Reception(control_app(self), self._accounting, supervisor.spawn)
        self._connections = self.reception.clients
        self._draining = Draining(self.reception)
        self._servers: list[Listener] = []
        self._load = LoadTelling(lambda: self.fleet.table, lambda message: self._tell(message, bulk=True))
        self._listening = False
        self._certificate: Certificate | None = None
        self.drained = asyncio.Event()
        self.metrics.watch(BREAKER_OPEN, self.fleet.open_breakers)
        self.metrics.watch_counts(GPU_COST, self._gpu_spent)
        self.metrics.watch(QUEUE_TOKENS, self.reception.queued_tokens)
        watch_predictions(self.metrics, lambda: self.fleet.table, self.prefixes.complete)
        self.metrics.watch(LOOP_AGE, lambda: [((name,), age) for name, age in supervisor.ages_s().items()])

    def _gpu_spent(self) -> list[tuple[tuple[str, str], float]]:
        return self.fleet.meters.spent_usd(clock.monotonic())

    # -- configuration -------------------------------------------------------------------------------------------------

    def join(self, link: Link[ToPlane]) -> None:
        """Speak to the control plane through this link from now on."""
        self._link = link

    async def configure(self, message: Configure) -> str:
        """Use a new configuration; returns why not, or an empty string. Its shares were told when it came."""
        fleet = self.fleet
        before, parts = fleet.prepared, self._keyring.held()
        try:
            loaded = await opened(message.sealed, self._sealed)
            settings = loaded.settings
            prepared = await asyncio.to_thread(prepare, loaded, fleet.pools.contexts, fleet.prepared)
            if fleet.prepared is None:
                self.sinks.open(settings, message.store)
            await in_slices(fleet.configure(prepared, unpacked(message.members)))
        except (ConfigError, ValueError, OSError) as error:
            return str(error) or type(error).__name__
        self._sealed = message.sealed, settings
        self.sinks.use(settings)
        if before is not None:
            parts += leaving(before.settings)
            del before
            await in_slices(letting_go(parts))
        return ""

    async def rekey(self, message: Keys) -> None:
        """New keys, and nothing else new: the next request after that meets them, and of those before nothing stays."""
        keyring = await made_in_slices(making_keyring(unpacked_keys(message.keys), any_host=message.open))
        before, self._keyring = self._keyring.held(), keyring
        if self.fleet.prepared is not None:
            settings = self.settings
            before += settings.auth.keys
            settings = settings.model_copy(update={"auth": settings.auth.model_copy(update={"keys": ()})})
            self.fleet.prepared = replace(self.fleet.prepared, settings=settings, keyring=keyring)
            if self._sealed is not None:
                self._sealed = self._sealed[0].without("auth"), settings
        if self.configured:
            self._publish(self.dispatcher.snapshot)
        await in_slices(letting_go(before))

    async def renew_certificate(self) -> str:
        """Read the certificate's files again; returns why not, or an empty string."""
        if self._certificate is None:
            return ""
        try:
            await asyncio.to_thread(self._certificate.renew)
        except BadCertificate as error:
            return str(error)
        return ""

    def _fleet_built(self, snapshot: Snapshot) -> None:
        self._keyring = snapshot.keyring
        self._publish(snapshot)

    def _publish(self, snapshot: Snapshot) -> None:
        """New requests meet this from now on, with the keys of the moment: they may be newer than the snapshot's."""
        snapshot = replace(snapshot, keyring=self._keyring)
        origins = self.settings.server.cors.origins
        self.reception.cors = Cors(origins) if origins else None
        self.explainer.open = self._keyring.is_open and self.settings.server.local
        if self.reception.dispatcher is None:
            keeper = Keeper(self._others if self._workers > 1 else None)
            spawn = self._supervisor.spawn
            self.reception.dispatcher = Dispatcher(
                snapshot, self._accounting, self.explainer, self._ids, keeper, self.adapters, spawn, self.wakes
            )
            self.dispatcher.room.give_way = self._shadows.give_way
        else:
            self.reception.dispatcher.snapshot = snapshot

    # -- life ----------------------------------------------------------------------------------------------------------

    async def listen(self, sockets: Iterable[socket.socket], certificate: Certificate | None = None) -> None:
        """Accept connections on these bound sockets, over TLS with a certificate, and begin the worker's loops."""
        self._certificate = certificate
        self.reception.secure = certificate is not None
        for sock in sockets:
            await self.accept(sock)
        self._listening = True
        self._supervisor.loop("date", tell_date, DATE_EVERY_S)
        self._supervisor.loop("log_writer", self._flush, FLUSH_S)
        self._supervisor.loop("ejection", self.fleet.ejecting.look, EJECTING_EVERY_S)
        self._supervisor.loop("descriptors", lambda: descriptors.look(self.metrics), descriptors.EVERY_S)
        self._supervisor.loop("prices", self._refresh_prices, PRICE_REFRESH_S, at_once=False)
        if self._workers > 1:
            self._supervisor.loop("load_exchange", self._load.tell, LOAD_EVERY_S)
            self._supervisor.loop("counters", self.counting.tell, COUNTERS_EVERY_S)

    async def accept(self, sock: socket.socket) -> Listener:
        """Accept connections on one more bound socket. Raises OSError."""
        listener = await accepting(sock, self._certificate, self._connection, self.reception, self._supervisor.spawn)
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
        self.reception.draining = True
        for server in self._servers:
            server.close()
        await self._draining.run(grace_s)
        await self._shadows.drain(grace_s)
        self._observing.flush()
        await self.sinks.close()
        self.drained.set()

    @property
    def settings(self) -> Settings:
        """The configuration in use."""
        assert self.fleet.prepared is not None
        return self.fleet.prepared.settings

    @property
    def configured(self) -> bool:
        """Whether a configuration is in use."""
        return self.reception.dispatcher is not None

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
        return self.reception.configured

    @property
    def draining(self) -> bool:
        """Whether no new requests are taken."""
        return self.reception.draining

    def _connection(self) -> ClientConnection:
        return ClientConnection(self.reception, self._loop)

    # -- loops and questions -------------------------------------------------------------------------------------------

    async def exposition(self) -> list[bytes]:
        """The metrics of the whole gateway as Prometheus text. Raises TimeoutError or LinkError without an answer."""
        if self._link is None:
            raise LinkLost("there is no control plane")
        return await self.scrapes.ask(self._link)

    async def administer(self, request: AdminRequest) -> AdminAnswer:
        """What the control plane's admin API answers. Raises TimeoutError or LinkError without an answer."""
        return await self._administering.ask(self._link, request)

    async def _flush(self) -> None:
        self.sinks.flush()

    async def _refresh_prices(self) -> None:
        if self.fleet.prepared is not None:
            await asyncio.to_thread(self.fleet.prepared.prices.refresh)

    def _tell(self, message: ToPlane, *, bulk: bool) -> bool:
        return self._link is not None and self._link.tell(message, bulk=bulk)
