"""The fleet of one worker as it lives: it takes whole configurations and single changes, and publishes snapshots.

Promise: what a change does not touch stays the same objects, warm connections and all, and what results is equal to
a fleet built from scratch. Only the models of changed engines are built anew. Both `configure` and `change` are work in
steps (`gateway.fleet.steps`), each well under a millisecond: the streams share the loop. One of them runs at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from engines.http_engine import HttpEngine
from engines.kinds.section import EngineSection
from engines.model import Deadlines
from engines.pools import Pools
from engines.port import Replica, Spawn
from gateway import clock
from gateway.accounts.gpu import GpuMeters
from gateway.accounts.prices import Rates
from gateway.fleet.breakers import breaker_changed
from gateway.fleet.ejecting import Ejecting
from gateway.fleet.engines import Built, Draft
from gateway.fleet.members import Member
from gateway.fleet.prepared import Prepared
from gateway.fleet.snapshot import UNNAMED, Serving, Snapshot, Upstream, Upstreams
from gateway.fleet.specs import (
    breaker_settings,
    deadlines_of,
    holding_of,
    model_spec,
    retry_settings,
)
from gateway.held_prompts import HeldPrompts
from gateway.relay.transcript import Transcripts
from gateway.settings.sections.recording import Recording
from routing.adapters import AdapterBook
from routing.fleet import Fleet, ModelSpec, build_route
from routing.model import COSTED, Endpoint
from routing.prefix_chain import BLOCK_BYTES
from routing.prefix_news import PrefixNews
from routing.prefix_samples import PrefixSamples
from routing.replica import SEED_CACHE_BLOCKS, ReplicaKey, ReplicaState
from routing.replica_table import ReplicaTable
from routing.route import ModelRoute, RetrySettings

if TYPE_CHECKING:
    from gateway.settings import Model, Settings
    from gateway.telemetry.metrics import Metrics
    from gateway.workers.messages import LoadReport

RemoteLoad = tuple[int, int, int]
"""Tokens, those of them that are to be prefilled, and requests."""
_AT_ONCE = 32
"""Replica states to a step."""

Terms = tuple[HttpEngine, Deadlines, Rates | None, float | None]
"""What the upstreams of one target share: its engine, time limits, price, and the US dollars of a replica's hour."""


Recorded = tuple[str, Recording]
"""What a model's records say beside what happened: its bundle, and what is kept of content."""


class _Served:
    """One public model in use, and what it was built from."""

    __slots__ = ("recorded", "serving", "spec", "terms")

    def __init__(
        self, spec: ModelSpec, terms: Mapping[tuple[str, str], Terms], recorded: Recorded, serving: Serving
    ) -> None:
        self.spec = spec
        self.terms = terms
        self.recorded = recorded
        self.serving = serving


class LiveFleet:
    """Owns what outlives snapshots: connections, replica states, meters. See the module."""

    def __init__(
        self,
        metrics: Metrics,
        spawn: Spawn,
        publish: Callable[[Snapshot], None],
        *,
        workers: int = 1,
        notes: tuple[PrefixNews | None, PrefixSamples | None] = (None, None),
    ) -> None:
        """`publish` is given each new snapshot, and sees to it that no request begins on an older one. `notes` are the
        `news` and `samples` of `ReplicaTable`."""
        self._notes = notes
        self.table = ReplicaTable(None, breaker_changed, *notes)
        self.adapters = AdapterBook()
        """Who holds which LoRA adapters."""
        self.pools = Pools(spawn)
        self._metrics = metrics
        self._publish = publish
        self._workers = workers
        self.prepared: Prepared | None = None
        """The configuration in use."""
        self._told: dict[str, dict[str, Member]] = {}
        self._engines: dict[str, Built] = {}
        self._models: dict[str, _Served] = {}
        self._tokens: dict[str, str] = {}
        """The access tokens of engines that are asked with those, by engine."""
        self._remote: Mapping[ReplicaKey, RemoteLoad] = {}
        self.meters = GpuMeters(workers)
        self.held = HeldPrompts()
        """What contents that are kept count among."""
        self.ejecting = Ejecting(metrics, lambda: [served.serving.route for served in self._models.values()])

    def configure(self, prepared: Prepared, members: Iterable[Member]) -> Iterator[None]:
        """Use a configuration, in steps. `members` is all that is known of replicas beyond it.

        Raises ValueError or OSError, naming what is wrong, for one that cannot be used; then nothing has changed.
        """
        settings = prepared.settings
        breaker = breaker_settings(settings)
        retry = retry_settings(settings, self._workers)
        if not len(self.table):
            self.table = ReplicaTable(breaker, breaker_changed, *self._notes)
        told: dict[str, dict[str, Member]] = {}
        for at, member in enumerate(members, 1):
            told.setdefault(member.engine, {})[member.replica] = member
            if at % _AT_ONCE == 0:
                yield
        self._told = told
        draft = Draft(self.pools, self._engines)
        models: dict[str, _Served] = {}
        self._metrics.models = frozenset((*self._models, *settings.models))  # their series are made below
        try:
            for name, section in settings.engines.items():
                yield from self._put(draft, name, section)
                yield
            for name, model in settings.models.items():
                models[name] = self._serve(name, model, prepared, draft.engines, retry)
                yield
        except BaseException:
            self._undo(draft)
            raise
        before, self.prepared = self.prepared, prepared
        yield from self._use(draft, models)
        if before is not None and breaker_settings(before.settings) != breaker:
            yield from self.table.retune(breaker, clock.monotonic())

    def change(self, members: Iterable[Member]) -> Iterator[None]:
        """Take in what is new of some replicas, in steps.

        Raises ValueError for a URL that cannot be used; then no replica has joined or left.
        """
        assert self.prepared is not None
        settings = self.prepared.settings
        touched: dict[str, None] = {}
        for at, member in enumerate(members, 1):
            if self._take_in(member, settings):
                touched[member.engine] = None
            if at % _AT_ONCE == 0:
                yield
        if not touched:
            return
        retry = retry_settings(settings, self._workers)
        draft = Draft(self.pools, self._engines)
        models = dict(self._models)
        try:
            for name in touched:
                yield from self._put(draft, name, settings.engines[name])
                yield
            draft.keep_the_others()
            for name, model in settings.models.items():
                if any(target.engine in touched for target in model.targets):
                    models[name] = self._serve(name, model, self.prepared, draft.engines, retry)
                    yield
        except BaseException:
            self._undo(draft)
            raise
        yield from self._use(draft, models)

    def states(self, engine: str) -> list[ReplicaState]:
        """Of every replica that an engine has."""
        built = self._engines.get(engine)
        found = [self.table.find((engine, replica)) for replica in built.ids] if built is not None else []
        return [state for state in found if state is not None]

    def route(self, model: str) -> ModelRoute | None:
        """Of a public model."""
        served = self._models.get(model)
        return None if served is None else served.serving.route

    def sweep(self) -> None:
        """Forget replicas that have left and have finished what they had, with all that was kept for them."""
        for key in self.table.sweep():
            self.meters.let_go(key, clock.monotonic())

    def open_breakers(self) -> list[tuple[ReplicaKey, float]]:
        """1 for each replica that its breaker keeps requests from, 0 for one that it has let go again."""
        self.sweep()  # what has left and is idle by now is shown no more
        now = clock.monotonic()
        opened = self.table.opened.values()
        return [(state.key, float(not state.breaker.closed and not state.breaker.allows(now))) for state in opened]

    def use_token(self, engine: str, token: str) -> None:
        """An engine is asked with this access token from now on, also one that is made anew."""
        self._tokens[engine] = token
        built = self._engines.get(engine)
        if built is not None:
            built.engine.use_token(token)

    def set_remote(self, loads: Mapping[ReplicaKey, RemoteLoad]) -> None:
        """What other workers have in flight; at a replica not among them, nothing."""
        for key in self._remote.keys() - loads.keys():
            state = self.table.find(key)
            if state is not None:
                state.set_remote(0, 0, 0)
        for key, load in loads.items():
            state = self.table.find(key)
            if state is not None:
                state.set_remote(*load)
        self._remote = loads

    def take_reports(self, reports: Iterable[LoadReport], interval_s: float) -> Iterator[None]:
        """What engines say of their load, told every `interval_s` seconds. In steps."""
        for at, report in enumerate(reports, 1):
            state = self.table.find((report.engine, report.replica))
            if state is not None:
                now = clock.monotonic()
                state.tell(report.running, report.waiting, report.kv_usage, now, interval_s)
                state.cache_tokens = report.cache_tokens or state.cache_tokens
                if report.restarted:
                    yield from self.table.void(state)
            if at % _AT_ONCE == 0:
                yield
        prefixes = self.table.prefixes
        for at, state in enumerate(tuple(self.table.slotted.values()), 1):
            if self.table.find(state.key) is state:  # it may have left in the meantime
                state.tally.judge(prefixes.fullness(state.slot))
            if at % _AT_ONCE == 0:
                yield
        for served in tuple(self._models.values()):
            route = served.serving.route
            if route.prefixes is not None:
                yield from self._fit(route)

    def _fit(self, route: ModelRoute) -> Iterator[None]:
        """Let the prefix index expect of each replica as much as its cache has room for, as its guesses come out."""
        blocks_per_token = route.tokens.bytes_per_token / BLOCK_BYTES
        for at, endpoint in enumerate(route.endpoints(), 1):
            state = endpoint.state
            told = state.cache_tokens * blocks_per_token or SEED_CACHE_BLOCKS
            yield from self.table.fit(state, int(told * state.tally.room) or 1)
            if at % _AT_ONCE == 0:
                yield

    # -- steps ---------------------------------------------------------------------------------------------------------

    def _take_in(self, member: Member, settings: Settings) -> bool:
        """Note one fact; returns whether its engine's replicas are others than before."""
        told = self._told.setdefault(member.engine, {})
        if member.gone:
            told.pop(member.replica, None)
        else:
            told[member.replica] = member
        built, section = self._engines.get(member.engine), settings.engines.get(member.engine)
        written = section is not None and section.written_replicas() is not None
        state = self.table.find((member.engine, member.replica))
        if state is not None:
            _mark(state, None if member.gone and written else member)
        if built is None or written:
            return False
        known = built.replicas.get(member.replica)
        return known is not None if member.gone else known is None or known.url != member.url

    def _put(self, draft: Draft, name: str, section: EngineSection) -> Iterator[None]:
        """One engine, and a state for each of its replicas."""
        told = self._told.get(name, {})
        replicas = section.written_replicas()
        if replicas is None:
            # In the order of their names, so that the order of their coming does not matter.
            ids = sorted((member.replica for member in told.values() if member.url), key=lambda id: (len(id), id))
            replicas = tuple(Replica(id, told[id].url, section.zone or "") for id in ids)
        yield from draft.put(name, section.http_settings(), replicas)
        made, old = draft.engines[name].engine, self._engines.get(name)
        if name in self._tokens and old is not None and old.engine.settings.tokens == made.settings.tokens is not None:
            made.use_token(self._tokens[name])  # another credential's would be refused
        now = clock.monotonic()
        for at, replica in enumerate(replicas, 1):
            if self.prepared is not None and self.table.find((name, replica.id)) is None:
                self.table.get((name, replica.id)).returned_s = now  # those of the start are taken to be warm
            _mark(self.table.get((name, replica.id)), told.get(replica.id))
            if section.gpu_usd_per_hour:
                self.meters.of((name, replica.id), section.gpu_usd_per_hour, now)
            if at % _AT_ONCE == 0:
                yield

    def _serve(
        self,
        name: str,
        model: Model,
        prepared: Prepared,
        engines: Mapping[str, Built],
        retry: RetrySettings,
    ) -> _Served:
        """One model: the one in use, if nothing of it has changed."""
        settings, prices = prepared.settings, prepared.prices
        recorded = prepared.bundles[name], model.records
        old = self._models.get(name)
        terms: dict[tuple[str, str], Terms] = {}
        for target in model.targets:
            section = settings.engines[target.engine]
            rates = prices.rates(section.price_provider, target.model, target.engine)
            engine = engines[target.engine].engine
            terms[target.engine, target.model] = engine, deadlines_of(section), rates, section.gpu_usd_per_hour
        rates_of = {place: one[2] for place, one in terms.items()}
        zone = settings.server.zone
        adapters = {
            (target.engine, target.model): settings.engines[target.engine].loads_adapters
            for target in model.targets
            if target.model in settings.engines[target.engine].adapter_paths
        }
        holding = holding_of(model, settings.engines, self._workers)
        spec = model_spec(name, model, engines, rates_of, retry, self._workers, zone, adapters, holding)
        same = old is not None and old.spec == spec
        if old is not None and same and old.terms == terms and old.recorded == recorded:
            return old
        before = old.serving.route if old is not None else None
        route = before if before is not None and same else build_route(spec, self.table, before, self.adapters)
        upstreams = self._upstreams(name, terms, recorded, spec)
        return _Served(spec, terms, recorded, Serving(route, upstreams))

    def _upstreams(
        self, model: str, terms: Mapping[tuple[str, str], Terms], recorded: Recorded, spec: ModelSpec
    ) -> Upstreams:
        asks_load = spec.policy in COSTED
        takes = {(target.engine, target.model): target.abilities.takes for target in spec.targets}
        # Made now, so that metrics show a model before its first request, which an alert could not see else.
        series = {engine: self._metrics.series(model, engine) for engine, _ in terms}
        bundle, recording = recorded
        transcripts = None
        if recording.content:
            transcripts = Transcripts(self.held, recording.content_bytes, recording.redact or "")

        def make(endpoint: Endpoint) -> Upstream:
            engine, deadlines, rates, usd_per_hour = terms[endpoint.engine, endpoint.model]
            meter = self.meters.of(endpoint.state.key, usd_per_hour, clock.monotonic())
            asks = asks_load and engine.tells_load
            tally = series[endpoint.engine]
            upstream = Upstream(endpoint, engine, UNNAMED, deadlines, tally, rates, meter, asks, bundle, transcripts)
            upstream.translated, upstream.takes = engine.translated or None, takes[endpoint.engine, endpoint.model]
            return upstream

        return Upstreams(make)

    def _use(self, draft: Draft, models: dict[str, _Served]) -> Iterator[None]:
        """Publish what was built, then let go of what it does without."""
        prepared = self.prepared
        assert prepared is not None
        before = self._models
        self._engines, self._models = draft.engines, models
        self._metrics.models = frozenset(models)
        self._publish(
            Snapshot(
                keyring=prepared.keyring,
                limits=prepared.settings.limits,
                fleet=Fleet({name: served.serving.route for name, served in models.items()}),
                serving={(name, UNNAMED): served.serving for name, served in models.items()},
                digest=prepared.digest,
            )
        )
        yield
        for at, key in enumerate(draft.left(), 1):
            self.table.leave(key)
            if at % _AT_ONCE == 0:
                yield
        yield from draft.commit()
        while before:  # to free 300 routes at once would take 2 ms
            before.popitem()
            yield
        self.sweep()

    def _undo(self, draft: Draft) -> None:
        draft.undo()
        self._metrics.models = frozenset(self._models)
        for name, built in draft.engines.items():
            old = self._engines.get(name)
            for replica in built.ids:
                if old is None or replica not in old.replicas:
                    self.table.leave((name, replica))
        self.sweep()


def _mark(state: ReplicaState, told: Member | None) -> None:
    """Replicas of whom nothing was told are well."""
    healthy = told is None or told.healthy
    draining = told is not None and (told.draining or told.gone)
    if (healthy and not state.healthy) or (state.draining and not draining):
        state.returned_s = clock.monotonic()
    state.healthy, state.draining = healthy, draining
