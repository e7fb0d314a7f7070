"""The engines of one process, by name, and how they change: by difference, and only once all of a change can be made.

A `Draft` holds what one change builds. Until it is committed nothing that requests use has lost anything, and `undo`
takes back what it added. What an engine is (`HttpSettings`) decides whether it stays the same object; replicas come and
go within it.
"""

from __future__ import annotations

import ssl
from collections.abc import Generator, Iterable, Iterator, Mapping

from engines.http_engine import HttpEngine, HttpSettings
from engines.operations import OPERATION_KEYS
from engines.pools import Pools
from engines.port import Replica

_AT_ONCE = 16
"""Replicas to a step: 16 take 0.2 ms."""
_LOOKED_AT_ONCE = 256
"""Replicas to a step of those that are compared."""


class Built:
    """One engine with its replicas, by id, in the order in which pools list them."""

    __slots__ = ("context", "engine", "ids", "lives", "replicas", "spoken")

    def __init__(self, engine: HttpEngine, replicas: dict[str, Replica], context: ssl.SSLContext | None) -> None:
        """`context` is what its https replicas were added with: another one once a file of authorities has changed."""
        self.engine = engine
        self.context = context
        self.replicas = replicas
        self.ids = tuple(replicas)
        self.lives = tuple([replica.life for replica in replicas.values()])
        spoken = frozenset(OPERATION_KEYS[operation] for operation in engine.operations)
        self.spoken = spoken.union(engine.translated, engine.unary)


class Draft:
    """The engines after a change: `commit` or `undo` it."""

    def __init__(self, pools: Pools, now: Mapping[str, Built]) -> None:
        """`now` is what is in use."""
        self.engines: dict[str, Built] = {}
        self._pools = pools
        self._now = now
        self._made: list[HttpEngine] = []
        self._added: list[tuple[HttpEngine, str, Replica | None]] = []
        """Replicas put into engines in use, with what had their id before."""

    def put(self, name: str, settings: HttpSettings, replicas: Iterable[Replica]) -> Iterator[None]:
        """An engine that is to be, in steps. Raises ValueError for a replica's URL that cannot be used."""
        wanted: dict[str, Replica] = {}
        https = False
        for at, replica in enumerate(replicas, 1):
            wanted[replica.id] = replica
            https = https or replica.url.startswith("https:")
            if at % _LOOKED_AT_ONCE == 0:
                yield
        old = self._now.get(name)
        context = self._pools.contexts.get(settings.trust) if https else None
        renewed = old is not None and None not in (old.context, context) and old.context is not context
        if old is not None and old.engine.settings == settings and not renewed:
            if (yield from _same(old.replicas, wanted)):
                self.engines[name] = old
                return
            engine, known = old.engine, old.replicas
        else:
            engine, known = HttpEngine(name, settings, self._pools), {}
            self._made.append(engine)
        added = 0
        for at, replica in enumerate(wanted.values(), 1):
            before = known.get(replica.id)
            if before != replica:
                engine.add(replica)
                added += 1
                if known:
                    self._added.append((engine, replica.id, before))
                if added % _AT_ONCE == 0:
                    yield
            if at % _LOOKED_AT_ONCE == 0:
                yield
        self.engines[name] = Built(engine, wanted, context)

    def keep_the_others(self) -> None:
        """What was not `put` stays as it is."""
        self.engines = {**self._now, **self.engines}

    def left(self) -> Iterator[tuple[str, str]]:
        """(engine, replica id) of each that will be no more."""
        for name, old in self._now.items():
            new = self.engines.get(name)
            if new is not old:
                yield from ((name, replica) for replica in old.ids if new is None or replica not in new.replicas)

    def undo(self) -> None:
        """Take back what was added."""
        for engine, replica_id, before in reversed(self._added):
            if before is None:
                engine.remove(replica_id)
            else:
                engine.add(before)
        for engine in self._made:
            engine.let_go()

    def commit(self) -> Iterator[None]:
        """Let go, in steps, of what the change does without. Call it once nothing new is sent there."""
        for name, old in self._now.items():
            new = self.engines.get(name)
            if new is old:
                continue
            if new is None or new.engine is not old.engine:
                old.engine.let_go()
                yield
                continue
            for at, replica in enumerate([each for each in old.ids if each not in new.replicas], 1):
                old.engine.remove(replica)
                if at % _AT_ONCE == 0:
                    yield
            yield


def _same(one: Mapping[str, Replica], other: Mapping[str, Replica]) -> Generator[None, None, bool]:
    """Whether both list the same replicas in the same order, in steps."""
    if len(one) != len(other):
        return False
    for at, (replica, beside) in enumerate(zip(one.values(), other.values(), strict=True), 1):
        if replica is not beside and replica != beside:
            return False
        if at % _LOOKED_AT_ONCE == 0:
            yield
    return True
