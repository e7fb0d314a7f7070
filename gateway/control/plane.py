"""The control plane: configuration, launched engines, health and merged metrics, for one worker or many.

It never touches a request. It speaks to its workers by messages only, so one process and many run the same code. What
it does lives beside it, a file each: `reload`, `health`, `loads`, `counters`, `load`, `launches`; this file joins them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import structlog

from gateway.accounts.keys import keyring_of, keys_of
from gateway.admin.app import admin_app
from gateway.admin.replicas import ReplicaStatus
from gateway.control.asking.adapters import AdapterLoading
from gateway.control.asking.engine_versions import EngineVersions, watch_versions
from gateway.control.asking.health import HealthBoard, HealthLoop
from gateway.control.asking.kv_events import KvEvents
from gateway.control.asking.loads import EngineLoads
from gateway.control.asking.model_cards import ModelCards
from gateway.control.asking.targets import TargetCheck
from gateway.control.asking.tokens import Tokens
from gateway.control.configuration.certificates import CertificateWatch, by_workers
from gateway.control.configuration.findings import Finding, found_in_steps
from gateway.control.configuration.reload import POLL_S, InUse, Reload
from gateway.control.configuration.source import Begun, Source
from gateway.control.counters import CounterBoard
from gateway.control.discovery import Discovery
from gateway.control.drift import watch_drift
from gateway.control.engines import Engines
from gateway.control.experiments import ExperimentControl
from gateway.control.feedback import Feedback
from gateway.control.launches import Launches
from gateway.control.links import Links
from gateway.control.load_exchange import EVERY_S as LOAD_EVERY_S
from gateway.control.load_exchange import LoadExchange
from gateway.control.peer import FromWorker
from gateway.control.releases.joined import JoinedReleases
from gateway.control.releases.rollout import EVERY_S as RELEASES_EVERY_S
from gateway.control.roster import COALESCE_S, Roster, every_replica
from gateway.control.scaling.advised import AdvisedScaling
from gateway.control.scaling.autoscale import EVERY_S as AUTOSCALE_EVERY_S
from gateway.control.scaling.cluster.leading import Leading
from gateway.control.scaling.cluster.scaling import ClusterScaling
from gateway.control.scaling.decisions import EVERY_S as SCALINGS_EVERY_S
from gateway.control.scaling.decisions import ScalingLog
from gateway.control.scaling.engines import Actuators, Servers, autoscaling_over
from gateway.control.scaling.fixed import FixedScaling
from gateway.control.scaling.launched import LaunchScaling
from gateway.control.scaling.sleeping import EVERY_S as SLEEP_EVERY_S
from gateway.control.scaling.sleeping import SleepScaling
from gateway.control.watched import watch_plane
from gateway.explanation.asking import explained
from gateway.explanation.views import AskRouting, Explained
from gateway.fleet.members import Member
from gateway.identity import Keyring
from gateway.peers.joined import Peering
from gateway.responses.homes import Homes
from gateway.settings import Settings
from gateway.store.evaluations.evaluator import evaluators_of
from gateway.store.messages import AskRead, FreezeDrift, Read
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.metrics.families.configuration import CONFIG_RELOADS
from gateway.telemetry.metrics.families.loops import PROBES_UNSENT
from gateway.telemetry.metrics.families.scaling import REPLICA_SLEEPS
from gateway.workers.link import Link
from gateway.workers.messages import (
    Configure,
    Drain,
    Drained,
    LoadReport,
    LoadReports,
    MembersChanged,
    ToWorker,
)

if TYPE_CHECKING:
    from gateway.process.supervisor import Supervisor
    from gateway.store.messages import KeySpent
    from gateway.store.process import StoreProcess

DRAIN_MARGIN_S = 10.0

log = structlog.get_logger()


class Plane:
    """Owns what the workers of one gateway share."""

    def __init__(
        self,
        source: Source,
        supervisor: Supervisor,
        *,
        workers: int,
        begun: Begun | None = None,
        store: StoreProcess | None = None,
        counters: Callable[[Links, Metrics], CounterBoard] = CounterBoard,
        coalesce_s: float = COALESCE_S,
    ) -> None:
        """Raises ConfigError when there is no configuration to begin with.

        `begun` is what `source` said, if it was read already.
        `store` is where records go; None: nowhere.
        `coalesce_s`: for so many seconds changes of replicas are gathered before workers hear of them.
        """
        self._supervisor = supervisor
        self._workers = workers
        self._store = store
        self.links = Links()
        self.metrics = Metrics(())
        self.counters = counters(self.links, self.metrics)
        self.load = LoadExchange(self.links)
        self.responses = Homes()
        self.roster = Roster(self._tell_members, coalesce_s)
        self._engines = Engines(supervisor.spawn, self.roster)
        self.launches = Launches(supervisor.spawn, self._launched)
        self.loads = EngineLoads(self._engines.telling, self._tell_loads)
        self.peering = Peering(
            supervisor,
            self.links,
            self.metrics,
            lambda: self.settings,
            self.roster.states,
            self.loads.kv_usages,
            lambda: self.autoscaling,
        )
        self.leading = Leading(supervisor.spawn, self.metrics)
        self.cluster = ClusterScaling(supervisor.spawn, self.roster, self.leading, self.metrics)
        self.advised = AdvisedScaling(self.roster)
        self.fixed = FixedScaling(self.roster.found, lambda: self.leading.leads)
        launched = LaunchScaling(self.launches, self.roster.retire)
        self.sleeping = SleepScaling(
            Actuators(launched, self.cluster, self.advised, self.fixed),
            supervisor.spawn,
            self.roster,
            self.leading,
            Servers(self._engines, self.launches, self.fixed, lambda: self.loads),
            lambda engine, result: self.metrics.count(REPLICA_SLEEPS, engine, result),
        )
        self._scalings = ScalingLog(store.keep_scalings if store is not None else None)
        self.autoscaling = autoscaling_over(
            self.sleeping, self.links, lambda: self.loads, self.peering.demands, self.peering.busy, self._scalings
        )
        self._board = HealthBoard()
        self._health = HealthLoop(
            self._board,
            self._engines.probed,
            lambda: self.roster.down(self._board.down),
            lambda engine: self.metrics.count(PROBES_UNSENT, engine),
        )
        self.kv_events = KvEvents(
            lambda: [one for one in self._engines.telling() if self.settings.engines[one[0]].publishes],
            lambda engine, replica: self.settings.engines[engine].events_at(replica),
            lambda: tuple(self.links),
            lambda worker, message: self.links.tell(worker, message, bulk=True),
            supervisor.spawn,
        )
        self.adapters = AdapterLoading(
            self._engines.telling,
            lambda: self.settings,
            self.loads.load_of,
            lambda: self._board.down | self.roster.away(),
            self.links.tell_all,
        )
        self.cards = ModelCards(self._engines.listing, lambda: self.settings, self.links.tell_all)
        self.versions = EngineVersions(
            self._engines.versioned, store.note_versions if store is not None else lambda _news: None
        )
        self._targets = TargetCheck(self._engines.others, self.cards.heard)
        self.experiments = ExperimentControl(self.metrics, self.links.tell_all)
        self._discovery = Discovery(supervisor.spawn, self._engines, self.metrics)
        self.releases = JoinedReleases(self.experiments, self.metrics, supervisor.spawn, store)
        give = store.give if store is not None else None
        self.feedback = Feedback(give, lambda: self.experiments.plans, self.releases.observed, self.metrics)
        self._tokens = Tokens(supervisor.spawn, self.links.tell_all, self.metrics)
        self.looked = asyncio.Event()
        """Set once all engines have been probed, and asked for their models, for the first time."""
        self._reload = Reload(
            source,
            self.links,
            message=self._configuration,
            trial=self._engines.check,
            using=self._use,
            counted=lambda result: self.metrics.count(CONFIG_RELOADS, result),
            begun=begun,
        )
        self._keyring = keyring_of(keys_of(self.settings), any_host=self.settings.auth.open)
        self.admin = admin_app(self)
        self._certificates = CertificateWatch(self.settings.server.tls, by_workers(self.links))
        self.stopping = False
        watch_plane(self, supervisor)
        if store is not None:
            store.watched_by(self.metrics)
            store.found = self.feedback.evaluated
            store.versions = lambda: self.versions.known
            store.releases_changed = self.releases.changed

    @property
    def settings(self) -> Settings:
        """The settings in use."""
        return self._reload.settings

    # -- life ----------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Launch what is to be launched and begin the loops; does not wait for engines."""
        await self._use(self.settings)
        self._supervisor.loop("health", self.probe_all, lambda: self._health.rest_s(self.settings.health.interval_s))
        rest = lambda: self.loads.rest_s(self.settings.health.load_interval_s)  # noqa: E731 - as those beside it
        self._supervisor.loop("engine_load", self.ask_loads, rest, at_once=False)
        self._supervisor.loop("releases", self.releases.step, RELEASES_EVERY_S)
        self._supervisor.loop("adapters", self.adapters.look, lambda: self.settings.health.load_interval_s)
        if self._reload.watched or self.settings.server.tls is not None:
            self._supervisor.loop("config_reload", self.watch_files, POLL_S, at_once=False)
        self._supervisor.loop("sleep", self.sleeping.look, SLEEP_EVERY_S)
        self._supervisor.loop("autoscale", self.autoscaling.look, AUTOSCALE_EVERY_S, at_once=False)
        watch_versions(self._supervisor, self.versions, lambda: self._board.down, self.metrics)
        if self._store is not None:
            self._supervisor.loop("scalings", self._scalings.send, SCALINGS_EVERY_S, at_once=False)
            watch_drift(self._supervisor, self.read, self.metrics)
        if self._workers > 1:
            self._supervisor.loop("load_exchange", self.load.step, LOAD_EVERY_S)

    def seed(self, spent: Iterable[KeySpent]) -> None:
        """What keys had spent before the gateway started."""
        self.counters.budgets.seed((one.key_id, one.tenant, one.day_usd, one.month_usd) for one in spent)

    async def engines_started(self) -> None:
        """Wait until every launched replica has been ready once. Raises LaunchFailed."""
        await self.launches.started()
        self.roster.tell_now()

    async def stop(self, grace_s: float | None = None) -> None:
        """Drain every worker, then stop what was launched. None is the grace period of the configuration in use."""
        self.stopping = True
        grace_s = self.settings.server.grace_s if grace_s is None else grace_s
        draining = self.links.ask_all(Drain(grace_s), Drained, timeout_s=grace_s + DRAIN_MARGIN_S)
        answers, _ = await asyncio.gather(draining, self.leading.leave())
        for worker, answer in answers.items():
            if isinstance(answer, TimeoutError):
                log.warning("worker_did_not_drain", worker=worker)
        await self.releases.close()
        self.kv_events.close()
        await self.feedback.close()
        await self._scalings.send()
        await self.launches.stop()
        await self.peering.close()

    async def reload(self) -> bool:
        """Read the configuration again (SIGHUP); returns whether what it says is in use. So for the certificate."""
        await self._certificates.look(again=True)
        return await self._reload.reload()

    async def watch_files(self) -> None:
        """Reload what has changed in the configuration's files or the certificate's: the step of the reload loop."""
        await self._certificates.look()
        if self._reload.watched:
            await self._reload.watch()

    # -- workers -------------------------------------------------------------------------------------------------------

    def peer(self, worker: str, lost: Callable[[], None] = lambda: None) -> FromWorker:
        """What acts on the messages of one worker; `lost` is called when its link ends."""
        return FromWorker(self, worker, lost)

    async def attach(self, worker: str, link: Link[ToWorker], pid: int | None = None) -> str | None:
        """A worker is there: have it use the configuration. `pid` is its process; None when that is ours.

        Returns why it cannot use it, an empty string, or None when it left.
        """
        problem = await self._reload.joined(worker, link, pid)
        self.loads.tell_again()
        self.kv_events.tell_again(worker)
        self.autoscaling.tell_again()
        for token in self._tokens.known():
            self.links.tell(worker, token)
        adapters = self.adapters.known()
        if adapters.replicas:
            self.links.tell(worker, adapters)
        self.links.tell(worker, self.cards.current())
        return problem

    def detach(self, worker: str) -> None:
        """A worker is gone; what it counted stays counted."""
        self.links.remove(worker)
        self.load.departed(worker)
        self.counters.departed(worker)

    def exposition(self) -> AsyncIterator[bytes]:
        """All metrics, of the workers and our own, as Prometheus text. A late worker counts as last heard."""
        return self.counters.exposition()

    # -- gateway.admin -------------------------------------------------------------------------------------------------

    @property
    def keyring(self) -> Keyring:
        """The keys in use."""
        return self._keyring

    @property
    def local(self) -> bool:
        """Whether only this machine can reach the gateway."""
        return self.settings.server.local

    async def explain(self, question: AskRouting) -> dict[str, Explained]:
        """What each worker says of why requests of a model go where they go, by the worker's name."""
        return await explained(self.links, question)

    def replicas(self, named: str | None = None) -> Iterator[list[ReplicaStatus]]:
        """Every replica, an engine at a time, in the order of the configuration; see `Replicas`."""
        engines = list(self.settings.engines)
        if named is not None:
            engines = [engine for engine in engines if named.startswith(f"{engine}/")]
        return every_replica(engines, self.roster, self.launches)

    async def read(self, question: AskRead | FreezeDrift) -> Read:
        """What the store says to a query."""
        if self._store is None:
            return Read(away="`store.url` is off")
        return await self._store.read(question)

    async def findings(self) -> tuple[list[Finding], list[str]]:
        """How each replica was found, and what is left out of the configuration in use or odd about it. Whoever asks
        tells the operator: the log does not say once more why a replica cannot be reached."""
        found = await found_in_steps(self.settings, self.replicas(), self._board, self._targets.said)
        return found, self._reload.now.sealed.notices

    # -- engines -------------------------------------------------------------------------------------------------------

    async def probe_all(self) -> None:
        """The step of the health loop."""
        await self._health.probe_all(self.settings.health)
        await self._targets.look(self._board.down)  # after the probes, on their connections
        await self.cards.look(self._board.down)
        self.looked.set()

    async def ask_loads(self) -> None:
        """The step of the loop over what engines say of their load, and of their caches."""
        self.kv_events.look()
        await self.loads.ask_all(self.settings.health.load_interval_s)

    def drain_replica(self, engine: str, replica: str, draining: bool = True) -> bool:
        """Send a replica nothing new, or again, in every worker; returns whether there is such a replica."""
        return self.roster.drain(engine, replica, draining)

    def _launched(self) -> None:
        self._engines.observed(self.launches.ready())
        if self.looked.is_set():  # else the first round is about to ask
            self._supervisor.spawn("model_cards", lambda: self.cards.look(self._board.down))

    def _tell_members(self, members: list[Member]) -> None:
        self.links.tell_all(MembersChanged(members))

    def _tell_loads(self, reports: list[LoadReport], interval_s: float) -> bool:
        message = LoadReports(interval_s, reports)
        told = [self.links.tell(worker, message, bulk=True) for worker in self.links]
        return all(told)

    def _configuration(self, configuration: InUse) -> Configure:
        return Configure(
            sealed=configuration.sealed,
            workers=self._workers,
            members=self.roster.members(),
            store=self._store.path if self._store is not None else "",
            shares=self.experiments.shares(),
        )

    async def _use(self, settings: Settings) -> None:
        """Every worker uses these settings now."""
        self._keyring = keyring_of(keys_of(settings), any_host=settings.auth.open)
        self.sleeping.use(settings)
        await self._engines.use(settings)
        self.cards.forget()
        # A turn each: one takes up to a millisecond at 300 models, and streams may share the loop.
        first = self._targets.use, self.experiments.use, self.releases.take, self.feedback.use, self._evaluate
        for use in (*first, self._tokens.use, self._discovery.use):
            await asyncio.sleep(0)
            use(settings)
        # Last, so that nobody is sent any more to what is stopped now.
        await self.launches.apply(settings)
        scaling = self.leading.use, self.cluster.use, self.advised.use, self.fixed.use, self.autoscaling.use
        for use in (self.peering.use, *scaling):
            await asyncio.sleep(0)
            use(settings)

    def _evaluate(self, settings: Settings) -> None:
        if self._store is not None:
            self._store.evaluate(evaluators_of(settings))
            controls = {plan.model: plan.arms[0] for plan in self.experiments.plans.values()}
            self._store.use_controls(controls, list(settings.models))
