"""The control plane: configuration, launched engines, health and merged metrics, for one worker or many.

It never touches a request. It speaks to its workers by messages only, so one process and many run the same code. What
it does lives beside it, in rooms that are made here and then used, started and closed: `asking`, `scaling`, `releases`,
`configuration`. None of them knows the plane.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import structlog

from engines.turns import own_turn
from gateway.accounts.keys import gathering_keys, keyring_of, keys_of, making_keyring
from gateway.admin.app import admin_app
from gateway.admin.replicas import ReplicaStatus
from gateway.control.asking.joined import Asking
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
from gateway.control.scaling.autoscale import Autoscaling
from gateway.control.scaling.joined import Scaling
from gateway.control.watched import watch_plane
from gateway.explanation.asking import explained
from gateway.explanation.views import AskRouting, Explained
from gateway.fleet.members import Member
from gateway.fleet.steps import in_slices, letting_go, made_in_slices
from gateway.identity import Keyring
from gateway.links.link import Link
from gateway.peers.joined import Peering
from gateway.responses.homes import Homes
from gateway.settings import Settings
from gateway.store.evaluations.evaluator import evaluators_of
from gateway.store.messages import AskRead, FreezeDrift, Read
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.metrics.families.configuration import CONFIG_RELOADS
from gateway.workers.exchange.messages import (
    Configure,
    Drain,
    Drained,
    MembersChanged,
    ToWorker,
)

if TYPE_CHECKING:
    from gateway.process.supervisor import Supervisor
    from gateway.store.messages import KeySpent
    from gateway.store.writing.process import StoreProcess

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
        self.asking = Asking(
            supervisor,
            self.links,
            self.metrics,
            lambda: self.settings,
            self._engines,
            self.roster,
            store.note_versions if store is not None else lambda _news: None,
        )
        self.peering = Peering(
            supervisor,
            self.links,
            self.metrics,
            lambda: self.settings,
            self.roster.states,
            self.asking.loads.kv_usages,
            lambda: self.autoscaling,
        )
        self.scaling = Scaling(
            supervisor,
            self.links,
            self.metrics,
            self.roster,
            self._engines,
            self.launches,
            self.asking.loads,
            self.peering,
            store.keep_scalings if store is not None else None,
        )
        self.experiments = ExperimentControl(self.metrics, self.links.tell_all)
        self._discovery = Discovery(supervisor.spawn, self._engines, self.metrics)
        self.releases = JoinedReleases(self.experiments, self.metrics, supervisor.spawn, store)
        give = store.give if store is not None else None
        self.feedback = Feedback(give, lambda: self.experiments.plans, self.releases.observed, self.metrics)
        self._tokens = Tokens(supervisor.spawn, self.links.tell_all, self.metrics)
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
            store.versions = lambda: self.asking.versions.known
            store.releases_changed = self.releases.changed

    @property
    def settings(self) -> Settings:
        """The settings in use."""
        return self._reload.settings

    # -- life ----------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Launch what is to be launched and begin the loops; does not wait for engines."""
        await self._reload.begin()
        self.asking.start()
        self._supervisor.loop("releases", self.releases.step, RELEASES_EVERY_S)
        if self._reload.watched or self.settings.server.tls is not None:
            self._supervisor.loop("config_reload", self.watch_files, POLL_S, at_once=False)
        self.scaling.start()
        if self._store is not None:
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
        self._reload.close()
        grace_s = self.settings.server.grace_s if grace_s is None else grace_s
        draining = self.links.ask_all(Drain(grace_s), Drained, timeout_s=grace_s + DRAIN_MARGIN_S)
        answers, _ = await asyncio.gather(draining, self.scaling.leave())
        for worker, answer in answers.items():
            if isinstance(answer, TimeoutError):
                log.warning("worker_did_not_drain", worker=worker)
        await self.releases.close()
        self.asking.close()
        await self.feedback.close()
        await self.scaling.close()
        await self.launches.stop()
        await self.peering.close()

    async def reload(self) -> bool:
        """Read the configuration again (SIGHUP); returns whether what it says is in use. So for the certificate. Once
        it drains, only log files are opened anew."""
        if not self.stopping:
            await self._certificates.look(again=True)
        return await self._reload.reload()

    async def watch_files(self) -> None:
        """Reload what has changed in the configuration's files or the certificate's: the step of the reload loop."""
        if not self.stopping:
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
        self.asking.tell_again(worker)
        self.peering.tell_again(worker)
        self._supervisor.spawn("engine_starts", lambda: in_slices(self.autoscaling.telling_again()))
        for token in self._tokens.known():
            self.links.tell(worker, token)
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

    @property
    def autoscaling(self) -> Autoscaling:
        """What decides how many replicas there are."""
        return self.scaling.autoscaling

    async def explain(self, question: AskRouting) -> dict[str, Explained]:
        """What each worker says of why requests of a model go where they go, by the worker's name."""
        return await explained(self.links, question)

    def replicas(self, named: str | None = None) -> Iterator[list[ReplicaStatus]]:
        """Every replica, some of one engine at a time, in the order of the configuration; see `Replicas`."""
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
        found = await found_in_steps(self.settings, self.replicas(), self.asking.board, self.asking.targets.said)
        return found, self._reload.now.sealed.notices

    # -- engines -------------------------------------------------------------------------------------------------------

    def drain_replica(self, engine: str, replica: str, draining: bool = True) -> bool:
        """Send a replica nothing new, or again, in every worker; returns whether there is such a replica."""
        return self.roster.drain(engine, replica, draining)

    def _launched(self) -> None:
        self._engines.observed(self.launches.ready())
        self.asking.launched()

    def _tell_members(self, members: list[Member]) -> None:
        self.links.tell_all(MembersChanged(members))

    async def _configuration(self, configuration: InUse) -> Configure:
        members = await self.roster.members()
        return Configure(
            sealed=configuration.sealed,
            workers=self._workers,
            members=members,
            store=self._store.path if self._store is not None else "",
            shares=self.experiments.shares(),
        )

    async def _use(self, settings: Settings) -> None:
        """Every worker uses these settings now."""
        keys = await made_in_slices(gathering_keys(settings))
        keyring = await made_in_slices(making_keyring(keys, any_host=settings.auth.open))
        before, self._keyring = self._keyring.held(), keyring
        await in_slices(letting_go(before))
        await in_slices(letting_go(keys))
        self.scaling.greet(settings)
        await self._engines.use(settings)
        await self.asking.use(settings)
        # A turn each: one takes up to a millisecond at 300 models, and streams may share the loop.
        first = self.experiments.use, self.releases.take, self.feedback.use, self._evaluate
        for use in (*first, self._tokens.use, self._discovery.use):
            await own_turn()
            use(settings)
        # Last, so that nobody is sent any more to what is stopped now. While it drains, what runs has its whole grace.
        if not self.stopping:
            await self.launches.apply(settings)
        await own_turn()
        self.peering.use(settings)
        await self.scaling.use(settings)

    def _evaluate(self, settings: Settings) -> None:
        if self._store is not None:
            self._store.evaluate(evaluators_of(settings))
            controls = {plan.model: plan.arms[0] for plan in self.experiments.plans.values()}
            self._store.use_controls(controls, list(settings.models))
