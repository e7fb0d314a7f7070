"""The engines as the control plane needs them: whom to probe, who their members are, and whether they can be built."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Iterator, Mapping

import structlog

from engines.http_engine import HttpEngine, HttpSettings
from engines.pools import Pools, Trust
from engines.port import Engine, Replica, Spawn
from gateway.control.membership import MemberDifference, Observed, Written
from gateway.control.roster import Roster
from gateway.fleet.engines import Built, Draft
from gateway.fleet.specs import gather_trusts
from gateway.fleet.steps import in_slices
from gateway.settings import Settings

log = structlog.get_logger()

_AT_ONCE = 8
"""URLs to a step: one takes 10 us."""
_MANY = 256
"""Replicas of which to have them is a step: those of 1,024 servers take 0.9 ms."""


class Engines:
    """See the module. Its work is done in steps: with one worker the streams share its loop."""

    def __init__(self, spawn: Spawn, roster: Roster, environ: Mapping[str, str] | None = None) -> None:
        """`environ` may name proxies; None is the process's own."""
        self._roster = roster
        self._pools = Pools(spawn, environ=environ)
        self._by_environment: set[str] = set()
        """The engines of which it was told that the environment's proxy is on the way."""
        self._written: dict[str, Built] = {}
        """Those whose replicas the configuration writes down; the health of launched ones their launcher watches."""
        self._found: dict[str, HttpEngine] = {}
        """The others: launched ones, with the replicas that are ready."""
        self._observed: dict[str, Observed] = {}
        self._coming: dict[str, HttpEngine] = {}
        """Those that are found once the reload that is under way is over: what is found meanwhile they are told too."""
        self._discovered: tuple[str, ...] = ()
        """Those of the found that somebody else started."""

    async def check(self, settings: Settings) -> None:
        """See whether all engines can be built. Raises ValueError or OSError for one that cannot."""
        trusts: set[Trust] = set()
        await in_slices(gather_trusts(settings, trusts))
        await asyncio.to_thread(self._pools.contexts.prepare, trusts)
        await in_slices(self._check(settings))

    async def use(self, settings: Settings) -> None:
        """These settings are in use from now on."""
        await in_slices(self._use(settings))

    def probed(self) -> Collection[tuple[str, Engine]]:
        """The engines to probe, by name: those of others that have a free probe."""
        return [(name, engine) for name, engine in self._others() if engine.settings.health_path is not None]

    def others(self) -> Collection[tuple[str, Engine]]:
        """All engines but those that we launch, whose launcher watches them, by name."""
        return self._others()

    def telling(self) -> Collection[tuple[str, Engine]]:
        """The engines that tell their load, by name: whoever starts their replicas."""
        every = [*((name, built.engine) for name, built in self._written.items()), *self._found.items()]
        return [(name, engine) for name, engine in every if engine.settings.load_path is not None]

    def named(self, name: str) -> Engine | None:
        """One of those, whoever starts its replicas."""
        built = self._written.get(name)
        return built.engine if built is not None else self._found.get(name)

    def listing(self) -> Collection[tuple[str, Engine]]:
        """The engines that may have a free list of their models, by name: whoever starts their replicas."""
        every = [*((name, built.engine) for name, built in self._written.items()), *self._found.items()]
        return [(name, engine) for name, engine in every if engine.settings.models_path is not None]

    def versioned(self) -> Collection[tuple[str, Engine]]:
        """The engines that tell which version they are, by name: whoever starts their replicas."""
        every = [*((name, built.engine) for name, built in self._written.items()), *self._found.items()]
        return [(name, engine) for name, engine in every if engine.settings.version_path is not None]

    def observed(self, found: Mapping[str, Iterable[Replica]]) -> None:
        """The replicas that were found, of each engine whose replicas the configuration does not write down."""
        for name, replicas in found.items():
            source = self._observed.get(name)
            if source is not None:
                listed = tuple(replicas)
                source.found(listed)
                for engine in self._finders(name):
                    _have(engine, listed)

    def differs(self, name: str, difference: MemberDifference) -> None:
        """What is new of the replicas of an engine that are found."""
        source = self._observed.get(name)
        if source is None:
            return
        for engine in self._finders(name):
            for replica in difference.added:
                engine.add(replica)
            for id in difference.removed:
                engine.remove(id)
        source.differs(difference)

    def forgotten(self, name: str) -> None:
        """All of an engine's replicas are to be found anew."""
        source = self._observed.get(name)
        if source is not None:
            self.differs(name, MemberDifference(removed=tuple(replica.id for replica in source.replicas)))

    def _finders(self, name: str) -> list[HttpEngine]:
        """Who has the replicas of an engine that are found: one, or two in the middle of a reload that changes it."""
        now, coming = self._found[name], self._coming.get(name)
        return [now] if coming is None or coming is now else [now, coming]

    def _others(self) -> list[tuple[str, HttpEngine]]:
        found = [(name, self._found[name]) for name in self._discovered]
        return [*((name, built.engine) for name, built in self._written.items()), *found]

    def _check(self, settings: Settings) -> Iterator[None]:
        for name, section in settings.engines.items():
            trust, proxy = section.trust, section.http_settings().proxy
            for at, replica in enumerate(section.written_replicas() or (), 1):
                try:
                    self._pools.origin(replica.url, trust, proxy)
                except ValueError as error:
                    raise ValueError(f"engine {name}: {error}") from None
                if at % _AT_ONCE == 0:
                    yield
            yield

    def _use(self, settings: Settings) -> Iterator[None]:
        draft = Draft(self._pools, self._written)
        observed: dict[str, Observed] = {}
        found = self._coming = dict[str, HttpEngine]()
        try:
            yield from self._make(settings, draft, observed, found)
        except BaseException:  # it will be made anew: until then those in use are asked, and nobody else
            draft.undo()
            for name, engine in found.items():
                if engine is not self._found.get(name):
                    engine.let_go()
            self._coming = {}
            raise
        for name, engine in self._found.items():
            if found.get(name) is not engine:
                engine.let_go()
        self._written, self._observed, self._found = draft.engines, observed, found
        self._coming = {}
        self._discovered = tuple(name for name in found if settings.engines[name].found_at is not None)
        yield from draft.commit()

    def _make(
        self, settings: Settings, draft: Draft, observed: dict[str, Observed], found: dict[str, HttpEngine]
    ) -> Iterator[None]:
        """Whoever is new, into the last three; and the roster's sources."""
        timeout_s = settings.health.timeout_s
        for name, section in settings.engines.items():
            replicas = section.written_replicas()
            if replicas is None:
                observed[name] = self._observed.get(name) or Observed()
                found[name] = self._finding(name, section.http_settings(timeout_s))
                self._roster.enroll(name, observed[name])
            else:
                if len(replicas) > _MANY:
                    yield
                built = section.http_settings(timeout_s)
                yield from draft.put(name, built, replicas)
                yield
                self._tell_proxy(name, built.proxy, replicas)
                yield from self._roster.enrolling(name, Written(replicas))
            yield
        for name in self._roster.engines():
            if name not in settings.engines:
                yield from self._roster.dismissing(name)
                yield

    def _tell_proxy(self, name: str, proxy: str | None, replicas: Iterable[Replica]) -> None:
        """Nobody wrote it into the configuration, so the log says it, once."""
        if proxy is not None or name in self._by_environment:
            return
        variable = next((one for each in replicas if (one := self._pools.proxy_variable(each.url, proxy))), "")
        if variable:
            self._by_environment.add(name)
            log.info("proxy_of_environment", engine=name, variable=variable)

    def _finding(self, name: str, settings: HttpSettings) -> HttpEngine:
        """The engine of replicas that are found: the one in use, if it is as it was."""
        old = self._found.get(name)
        if old is not None and old.settings == settings:
            return old
        return HttpEngine(name, settings, self._pools, () if old is None else old.replicas)


def _have(engine: HttpEngine, replicas: tuple[Replica, ...]) -> None:
    """Make these the engine's replicas."""
    before = {replica.id: replica for replica in engine.replicas}
    for replica in replicas:
        if before.pop(replica.id, None) != replica:
            engine.add(replica)
    for id in before:
        engine.remove(id)
