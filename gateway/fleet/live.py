"""The fleet of one worker as it lives: it takes whole configurations and single changes, and publishes snapshots.

Promise: what a change does not touch stays the same objects, warm connections and all, and what results is equal to
a fleet built from scratch. Only the models of changed engines are built anew. Both `configure` and `change` are work in
steps (`gateway.fleet.steps`), each well under a millisecond: the streams share the loop. One of them runs at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from engines.kinds.section import EngineSection
from engines.pools import Pools
from engines.port import Replica, Spawn
from gateway import clock
from gateway.accounts.gpu import GpuMeters
from gateway.accounts.record import SHADOW
from gateway.body.held import HeldPrompts
from gateway.experiments.book import Experiments
from gateway.fleet.arms import arms_of, shadow_of, targets_of
from gateway.fleet.askers import FirstAskers
from gateway.fleet.breakers import breaker_changed
from gateway.fleet.ejecting import Ejecting
from gateway.fleet.engines import Built, Draft
from gateway.fleet.members import Member, mark, note
from gateway.fleet.prepared import Prepared
from gateway.fleet.served import Builder, Served
from gateway.fleet.snapshot import UNNAMED, Snapshot
from gateway.fleet.specs import breaker_settings, retry_settings
from gateway.fleet.steps import letting_go
from gateway.fleet.wildcards import wildcards_of
from gateway.shadow.shadow import Shadow, Shadows
from gateway.wildcard_names import is_wildcard
from routing.choosing.adapters import AdapterBook
from routing.fleet import Fleet
from routing.prefix.chain import BLOCK_BYTES
from routing.prefix.news import PrefixNews
from routing.prefix.samples import PrefixSamples
from routing.replicas.replica import SEED_CACHE_BLOCKS, ReplicaKey, ReplicaState
from routing.replicas.replica_table import ReplicaTable
from routing.route import ModelRoute, RetrySettings
from routing.waiting.admission import DEFAULT_ADMISSION, Admission

if TYPE_CHECKING:
    from gateway.settings import Model, Settings, Target
    from gateway.telemetry.metrics import Metrics
    from gateway.workers.exchange.messages import LoadReport

RemoteLoad = tuple[int, int, int]
"""Tokens, those of them that are to be prefilled, and requests."""
_AT_ONCE = 32
"""Replica states to a step."""
Models = dict[tuple[str, str], Served]
"""By public model and arm, and by model and `UNNAMED` what serves where nobody chooses an arm, by model and `SHADOW`
what copies are sent to."""


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
        self._models: Models = {}
        self._tokens: dict[str, str] = {}
        """The access tokens of engines that are asked with those, by engine."""
        self._remote: Mapping[ReplicaKey, RemoteLoad] = {}
        self.meters = GpuMeters(workers)
        self.held = HeldPrompts()
        """What contents that are kept count among."""
        self.ejecting = Ejecting(metrics, lambda: [served.serving.route for served in self._each()])
        self.experiments = Experiments(metrics)
        self.followed: Collection[ReplicaKey] = ()
        """Those whose engines tell all of their caches: whoever is one of them when it comes is followed at once."""
        self.shadows: Shadows | None = None
        """Who keeps count of copies; without it, none are made."""
        self._builder = Builder(metrics, self.meters, self.adapters, workers)

    def configure(self, prepared: Prepared, members: Iterable[Member]) -> Iterator[None]:
        """Use a configuration, in steps. `members` is what is known beyond it: of each replica the last that is said.

        Raises ValueError or OSError, naming what is wrong, for one that cannot be used; then nothing has changed.
        """
        settings = prepared.settings
        breaker = breaker_settings(settings)
        retry = retry_settings(settings, self._workers)
        if not len(self.table):
            gateways, self.table = self.table.gateways, ReplicaTable(breaker, breaker_changed, *self._notes)
            self.table.gateways = gateways  # which may be told before there is a configuration
        told: dict[str, dict[str, Member]] = {}
        for at, member in enumerate(members, 1):
            note(told, member)
            if at % _AT_ONCE == 0:
                yield
        replaced, self._told = list(self._told.values()), told
        yield from letting_go(replaced)
        draft = Draft(self.pools, self._engines)
        models: Models = {}
        self._metrics.models |= frozenset(settings.models)  # their series are made below
        try:
            for name, section in settings.engines.items():
                yield from self._put(draft, name, section)
                yield
            for name, model in settings.models.items():
                self._serve(name, model, prepared, draft, retry, models)
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
                if any(target.engine in touched for target in targets_of(model)):
                    known = [place for place in models if place[0] == name]
                    for place in known:
                        del models[place]
                    self._serve(name, model, self.prepared, draft, retry, models)
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

    def first_askers(self) -> FirstAskers:
        """Which models ask which engines before any other, in whatever arm, and the lines of their requests."""
        askers = FirstAskers()
        for (name, arm), served in self._models.items():
            if arm == SHADOW:
                continue  # nothing is started for a copy
            line = served.serving.route.line
            asked, lines_of_model = askers.by_model.setdefault(name, (set(), {}))
            lines_of_model[line] = None
            tier = min([target.tier for target in served.spec.targets])
            for target in served.spec.targets:
                if target.tier == tier:
                    asked.add(target.engine)
                    models, lines = askers.by_engine.setdefault(target.engine, (set(), {}))
                    models.add(name)
                    lines[line] = None
        return askers

    def sweep(self) -> None:
        """Forget replicas that have left and have finished what they had, with all that was kept for them."""
        for key in self.table.sweep():
            self.meters.let_go(key, clock.monotonic())
            self.ejecting.left(key)

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
        # By the engines' ids, which are text: each pass of the collector in between would look through a list of 19,200
        # states that is held here, for up to 8 ms.
        for name, built in tuple(self._engines.items()):
            for at, replica in enumerate(built.ids, 1):
                state = self.table.slotted.get((name, replica))
                if state is not None:
                    state.tally.judge(self.table.prefixes.fullness(state.slot), clock.monotonic())
                if at % _AT_ONCE == 0:
                    yield
            yield
        for served in self._each():
            route = served.serving.route
            if route.prefixes is not None:
                yield from self._fit(route)

    def _each(self) -> list[Served]:
        """Each arm of each model, once; no shadow, which judges no replica and knows less of tokens."""
        return list(dict.fromkeys([served for place, served in self._models.items() if place[1] != SHADOW]))

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
        note(self._told, member)
        built, section = self._engines.get(member.engine), settings.engines.get(member.engine)
        written = section is not None and section.writes_replicas
        state = self.table.find((member.engine, member.replica))
        if state is not None:
            mark(state, None if member.gone and written else member)
        if built is None or written:
            return False
        known = built.replicas.get(member.replica)
        if member.gone or known is None:
            return member.gone == (known is not None)
        return known.url != member.url or known.life != member.life

    def _put(self, draft: Draft, name: str, section: EngineSection) -> Iterator[None]:
        """One engine, and a state for each of its replicas."""
        told = self._told.get(name, {})
        replicas = section.written_replicas()
        if replicas is None:
            # In the order of their names, so that the order of their coming does not matter.
            ids = sorted((member.replica for member in told.values() if member.url), key=lambda id: (len(id), id))
            zone = section.zone or ""
            replicas = tuple(Replica(id, told[id].url, told[id].zone or zone, life=told[id].life) for id in ids)
        yield from draft.put(name, section.http_settings(), replicas)
        made, old = draft.engines[name].engine, self._engines.get(name)
        if name in self._tokens and old is not None and old.engine.settings.tokens == made.settings.tokens is not None:
            made.use_token(self._tokens[name])  # another credential's would be refused
        now = clock.monotonic()
        for at, replica in enumerate(replicas, 1):
            before = old.replicas.get(replica.id) if old is not None else None
            if before is not None and replica.succeeds(before):
                self.table.succeed((name, replica.id))
                self.ejecting.left((name, replica.id))
            if self.prepared is not None and self.table.find((name, replica.id)) is None:
                self.table.get((name, replica.id)).returned_s = now  # those of the start are taken to be warm
            state = self.table.get((name, replica.id))
            mark(state, told.get(replica.id))
            if state.key in self.followed:
                state.tally.follow(True)
            if section.gpu_usd_per_hour:
                self.meters.of((name, replica.id), section.gpu_usd_per_hour, now)
            if at % _AT_ONCE == 0:
                yield

    def _serve(
        self, name: str, model: Model, prepared: Prepared, draft: Draft, retry: RetrySettings, into: Models
    ) -> None:
        """One model, each of its arms."""
        plan = prepared.plans.get(name)
        lines: dict[tuple[Target, ...], Admission] = {}
        default = self._models.get((name, UNNAMED))
        for arm, served_by in arms_of(model).items():
            bundle = prepared.bundles[name] if plan is None else plan.bundles[arm]
            old = self._models.get((name, arm))
            if old is None and (name, UNNAMED) not in into:
                old = default  # of the control what the model without an experiment has learned, and back
            line = lines.get(served_by.targets)  # arms that would wait for the same replicas wait in one line
            if line is None and old is not None and old.serving.route.line in lines.values():
                line = Admission(DEFAULT_ADMISSION)  # it had the same targets as another one until now
            place = prepared, draft.engines, retry, self.table, self.held
            served = self._builder.serve(name, arm, served_by, bundle, *place, old, line)
            lines.setdefault(served_by.targets, served.serving.route.line)
            into.setdefault((name, UNNAMED), served)
            into[name, arm] = served
        shadow = shadow_of(model)
        if shadow is not None:
            place, old = (prepared, draft.engines, retry, self.table, self.held), self._models.get((name, SHADOW))
            into[name, SHADOW] = self._builder.serve(name, SHADOW, shadow, prepared.shadow_bundles[name], *place, old)

    def _cast_shadows(self, models: Models) -> None:
        """Let requests know where they are copied to: all of a model's, but for those of the arm that it is."""
        assert self.prepared is not None
        settings, shadows = self.prepared.settings, self.shadows
        shares = self._workers * settings.server.gateways
        made: dict[str, Shadow] = {}
        for (name, arm), served in models.items():
            section = settings.models[name].shadow
            served.serving.shadow = None
            if section is None or shadows is None or arm == SHADOW:
                continue
            if name not in made:
                recording, serving = settings.models[name].records, models[name, SHADOW].serving
                made[name] = Shadow(name, section, recording, serving, shadows, shares)
            if section.arm is None or served is not models[name, section.arm]:
                served.serving.shadow = made[name]

    def _use(self, draft: Draft, models: Models) -> Iterator[None]:
        """Publish what was built, then let go of what it does without."""
        prepared = self.prepared
        assert prepared is not None
        before = self._models
        self._engines, self._models = draft.engines, models
        self._metrics.models = frozenset(prepared.settings.models)
        self.experiments.use(prepared.plans)
        for name in prepared.settings.models:
            serving, enrolment = models[name, UNNAMED].serving, self.experiments.of(name)
            others = () if enrolment is None else enrolment.experiment.arms[1:]
            serving.enrolment, serving.others = enrolment, tuple([models[name, arm].serving for arm in others])
        self._cast_shadows(models)
        self._publish(
            Snapshot(
                keyring=prepared.keyring,
                limits=prepared.settings.limits,
                fleet=Fleet({name: models[name, UNNAMED].serving.route for name in prepared.settings.models}),
                serving={place: served.serving for place, served in models.items() if not is_wildcard(place[0])},
                digest=prepared.digest,
                wildcards=wildcards_of(prepared, lambda name: models[name, UNNAMED].serving),
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
        self._metrics.models = frozenset(name for name, _ in self._models)
        for name, built in draft.engines.items():
            old = self._engines.get(name)
            for replica in built.ids:
                if old is None or replica not in old.replicas:
                    self.table.leave((name, replica))
        self.sweep()
