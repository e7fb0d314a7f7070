"""LoRA adapters of vLLM engines: which replica holds which, told to the workers, and loaded on demand for them.

    every few seconds               each replica of an engine with `adapters` is asked for its models; with what its
                                    metrics say is in use there, that is what it holds
    a worker wants an adapter       it is loaded at one replica (`routing.choosing.adapters.place`), where that is
                                    allowed, and the worker hears when it is there, or why it is not
    ... and a replica is full       workers hear that the adapter least recently used is gone from it, then it is
                                    unloaded: no request is on its way there any more
    a load has failed               another replica is tried at once; when that fails too, nobody tries that adapter
                                    for `RESTS_S`, and for `SHUNNED_S` rather elsewhere than where it has failed
    a replica starts anew           it lists what it has, as before

Adapters without a path in the configuration are the servers' own: they are never loaded or unloaded here.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Final

import structlog

from engines import adapters
from engines.asking import Refused
from engines.errors import EngineError, OutOfSockets
from engines.loads import EngineLoad
from engines.port import Engine
from gateway import clock
from gateway.control.asking.asked import AT_ONCE
from gateway.control.pacing import paced
from gateway.refusing import shortage
from gateway.settings import Settings
from gateway.workers.exchange.messages import AdaptersHeld, AdaptersUsed, ReplicaAdapters, ToWorker
from routing.choosing.adapters import Place, Room, place
from routing.replicas.replica import ReplicaKey

RESTS_S: Final = 5.0
SHUNNED_S: Final = 60.0
"""For so long a replica where an adapter could not be loaded is asked for it only when no other has room. More than
`RESTS_S`, so that each time others are tried."""
MOST_PLACES: Final = 2
"""That are tried for one load."""
LETS_GO_S: Final = 0.2
"""How long after workers were told that an adapter is gone it is unloaded."""
MOST_NAMES: Final = 4096
"""Of adapters that are remembered as used."""
SHORT: Final = "the gateway can open no more connections"
NOT_LOADED: Final = 'penstock_errors_total{kind="adapter_not_loaded"}'

log = structlog.get_logger()


@dataclass(slots=True)
class _Failed:
    why: str
    until_s: float


@dataclass(slots=True)
class _Served:
    """One engine that has adapters."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One adapter is loaded at a time, so that no budget is spent twice."""
    used_s: dict[str, float] = field(default_factory=dict)
    failed: dict[str, _Failed] = field(default_factory=dict)
    shunned_until_s: dict[tuple[str, str], float] = field(default_factory=dict)
    """By replica and adapter, where that could not be loaded."""
    wasted_until_s: dict[str, float] = field(default_factory=dict)
    """By adapter, when another was unloaded for it in vain: nothing else is, while there is room anywhere."""

    def shun(self, where: Place, adapter: str, now: float) -> None:
        """It could not be loaded there."""
        left = {place: until_s for place, until_s in self.shunned_until_s.items() if until_s > now}
        self.shunned_until_s = {**left, (where.replica, adapter): now + SHUNNED_S}
        if where.unload:
            self.wasted_until_s[adapter] = now + SHUNNED_S

    def shuns(self, replica: str, adapter: str, now: float) -> bool:
        """Whether it could not be loaded there lately."""
        return self.shunned_until_s.get((replica, adapter), 0.0) > now


class AdapterLoading:
    """See the module."""

    def __init__(
        self,
        engines: Callable[[], Collection[tuple[str, Engine]]],
        settings: Callable[[], Settings],
        load_of: Callable[[ReplicaKey], EngineLoad | None],
        down: Callable[[], Collection[ReplicaKey]],
        tell: Callable[[ToWorker], None],
        *,
        lets_go_s: float = LETS_GO_S,
    ) -> None:
        """`engines` are those that may have adapters, by name; `load_of` is what a replica said last of its load;
        `down` are those that do not answer. `tell` sends a message to every worker."""
        self._engines = engines
        self._settings = settings
        self._load_of = load_of
        self._down = down
        self._tell = tell
        self._lets_go_s = lets_go_s
        self._held: dict[ReplicaKey, frozenset[str]] = {}
        self._changes = itertools.count(1)
        self._changed: dict[ReplicaKey, int] = {}
        """The last change that we made there: what was asked before it and answered after it is out of date."""
        self._leaving: dict[ReplicaKey, str] = {}
        """What is being unloaded: it is still listed, and counts as gone."""
        self._unloaded: dict[ReplicaKey, frozenset[str]] = {}
        """What was unloaded, until metrics that are a little old name it no more."""
        self._served: dict[str, _Served] = {}
        self._having: tuple[object, frozenset[str]] = None, frozenset()
        """The engines of the configuration in use that have adapters, beside their sections."""
        self._loop = asyncio.get_running_loop()

    # -- who holds what ------------------------------------------------------------------------------------------------

    async def look(self) -> None:
        """One round: the step of the loop."""
        served = self._with_adapters()
        if not served and not self._held and not self._changed:
            return
        replicas = {(name, replica.id) for name, engine in served.items() for replica in engine.replicas}
        for key in self._held.keys() - replicas:
            self._hold(key, frozenset())
            del self._held[key]
        for noted in (self._changed, self._unloaded):  # what was on its way there when it left notes it again
            for key in noted.keys() - replicas:
                noted.pop(key)
        for name in self._served.keys() - served.keys():
            del self._served[name]
        await paced(functools.partial(self._ask, served[key[0]], key) for key in sorted(replicas))

    def known(self) -> Iterator[AdaptersHeld]:
        """All of it, for a worker that knows nothing yet, a few replicas to a message: each is true when it is taken,
        and what is new of a replica afterwards all workers are told."""
        keys = list(self._held)
        for start in range(0, len(keys), AT_ONCE):
            few = [key for key in keys[start : start + AT_ONCE] if key in self._held]
            yield AdaptersHeld([ReplicaAdapters(*key, sorted(self._held[key])) for key in few])

    def used(self, message: AdaptersUsed) -> None:
        """A worker has sent requests for these."""
        now = clock.monotonic()  # the loop's is of milliseconds: of two uses in one, the later must be known
        for engine, adapter in message.adapters:
            used_s = self._served.setdefault(engine, _Served()).used_s
            used_s.pop(adapter, None)
            used_s[adapter] = now
            if len(used_s) > MOST_NAMES:
                del used_s[next(iter(used_s))]

    def _with_adapters(self) -> dict[str, Engine]:
        sections = self._settings().engines
        if self._having[0] is not sections:
            self._having = sections, frozenset([name for name, section in sections.items() if section.adapter_paths])
        having = self._having[1]
        return {name: engine for name, engine in self._engines() if name in having} if having else {}

    async def _ask(self, engine: Engine, key: ReplicaKey) -> None:
        changed = self._changed.get(key, 0)
        try:
            listed = await engine.models(key[1])
        except EngineError:
            return  # probes say whether it is well; what it holds it holds until it says otherwise
        if listed is None or self._changed.get(key, 0) != changed:
            return
        load = self._load_of(key)
        used = frozenset(() if load is None else load.adapters)
        unloaded = self._unloaded.get(key, frozenset()) & (used - frozenset(listed))
        if unloaded:
            self._unloaded[key] = unloaded
        else:
            self._unloaded.pop(key, None)
        section = self._settings().engines.get(key[0])
        known = section.adapter_paths.keys() if section is not None else frozenset[str]()
        names = frozenset(listed) | (used - unloaded)
        self._hold(key, frozenset(names & known) - {self._leaving.get(key, "")})

    def _hold(self, key: ReplicaKey, held: frozenset[str]) -> None:
        if self._held.get(key) != held:
            self._held[key] = held
            self._tell(AdaptersHeld([ReplicaAdapters(*key, sorted(held))]))

    def _change(self, key: ReplicaKey) -> None:
        self._changed[key] = next(self._changes)

    # -- loading -------------------------------------------------------------------------------------------------------

    async def load(self, name: str, adapter: str, *, more: bool = False) -> str:
        """Have one replica more hold it, or one at all; returns why none does, or an empty string."""
        section = self._settings().engines.get(name)
        engine = self._with_adapters().get(name)
        path = section.adapter_paths.get(adapter) if section is not None and section.loads_adapters else None
        if section is None or engine is None or path is None:
            return "it is not loaded on demand"
        served = self._served.setdefault(name, _Served())
        holders = self._holders(engine, adapter)
        async with served.turn:
            await self._ask_new(engine)
            if self._holders(engine, adapter) - (holders if more else frozenset()):
                return ""  # somebody else wanted it too
            failed = served.failed.get(adapter)
            if failed is not None and self._loop.time() < failed.until_s:
                return failed.why
            why, tried = "", set[str]()
            while len(tried) < MOST_PLACES:
                where = self._place(engine, adapter, section.adapters_per_replica, served, tried)
                if where is None:
                    why = why or "no replica has room for it"
                    break
                why = await self._load(engine, adapter, path, where, served)
                if not why:
                    break
                if why == SHORT:
                    return why
                tried.add(where.replica)
                served.shun(where, adapter, self._loop.time())
            if why:
                served.failed[adapter] = _Failed(why, self._loop.time() + RESTS_S)
            else:
                served.failed.pop(adapter, None)
            return why

    async def _ask_new(self, engine: Engine) -> None:
        """What has come since the last round is asked now: the request that woke it waits for an adapter too."""
        down = self._down()
        keys = [(engine.name, replica.id) for replica in engine.replicas]
        new = [key for key in keys if key not in self._held and key not in down]
        await asyncio.gather(*(self._ask(engine, key) for key in new))

    def _holders(self, engine: Engine, adapter: str) -> frozenset[ReplicaKey]:
        down = self._down()
        keys = [(engine.name, replica.id) for replica in engine.replicas]
        return frozenset(key for key in keys if key not in down and adapter in self._held.get(key, ()))

    def _place(
        self, engine: Engine, adapter: str, per_replica: int, served: _Served, tried: Collection[str]
    ) -> Place | None:
        """Where to load it: rather where that has not failed lately, and not where it was `tried` just now."""
        now = self._loop.time()
        rooms = [room for room in self._rooms(engine) if room.replica not in tried]
        rather = [room for room in rooms if not served.shuns(room.replica, adapter, now)]
        where = place(adapter, rather, per_replica, served.used_s)
        if where is None or (where.unload and served.wasted_until_s.get(adapter, 0.0) > now):
            where = place(adapter, rooms, per_replica, served.used_s)
            if where is not None and where.unload and tried:
                return None  # it has failed once: nobody else pays for another try
        return where

    async def _load(self, engine: Engine, adapter: str, path: str, where: Place, served: _Served) -> str:
        """Load it there; returns what a client may know of why it is not, or an empty string."""
        key = engine.name, where.replica
        try:
            if where.unload:
                await self._unload(engine, key, where.unload)
            await adapters.load(engine, where.replica, adapter, path)
        except OutOfSockets as error:  # which says nothing of the replica
            shortage.tell(clock.monotonic(), str(error), NOT_LOADED)
            return SHORT
        except EngineError as error:
            await self._ask(engine, key)  # it may hold it all the same: somebody else loaded it
            if adapter in self._held.get(key, ()):
                return ""
            log.warning(
                "adapter_not_loaded", engine=engine.name, replica=where.replica, adapter=adapter, why=str(error)
            )
            if isinstance(error, Refused):
                return f"the engine refused to load it with status {error.status}"
            return "the engine did not answer"
        self._change(key)
        self._unloaded[key] = self._unloaded.get(key, frozenset()) - {adapter}
        served.used_s[adapter] = clock.monotonic()
        self._hold(key, self._held.get(key, frozenset()) | {adapter})
        log.info("adapter_loaded", engine=engine.name, replica=where.replica, adapter=adapter)
        return ""

    async def _unload(self, engine: Engine, key: ReplicaKey, adapter: str) -> None:
        """Have workers let go of it, then unload it. Raises EngineError."""
        self._leaving[key] = adapter
        self._change(key)
        self._hold(key, self._held.get(key, frozenset()) - {adapter})
        try:
            await asyncio.sleep(self._lets_go_s)
            await adapters.unload(engine, key[1], adapter)
        finally:
            del self._leaving[key]
            self._change(key)
        self._unloaded[key] = self._unloaded.get(key, frozenset()) | {adapter}
        log.info("adapter_unloaded", engine=engine.name, replica=key[1], adapter=adapter)

    def _rooms(self, engine: Engine) -> list[Room]:
        down = self._down()
        rooms: list[Room] = []
        section = self._settings().engines.get(engine.name)
        if section is None:
            return rooms  # it was removed while somebody waited
        ours = {adapter for adapter, path in section.adapter_paths.items() if path is not None}
        for replica in engine.replicas:
            key = engine.name, replica.id
            if key in down or key not in self._held:
                continue
            load = self._load_of(key) or EngineLoad()
            todo = float((load.running or 0) + (load.waiting or 0))
            rooms.append(Room(replica.id, self._held[key] & ours, frozenset(load.adapters), todo))
        return rooms
