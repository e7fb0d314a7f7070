"""Which replicas a round of questions was about, so that what is kept of others is forgotten after it.

There may be 19,200, and a pass of the collector looks through what is new: a set of as many keys, each a tuple, took
it 1.7 to 4 ms in one turn (measured). So they are kept by engine, as ids that are there anyway, in dicts: the collector
passes over a dict of nothing but text, and not over such a set. Nor is a list made of all that is kept.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator
from typing import Final

from routing.replicas.replica import ReplicaKey

AT_ONCE: Final = 256
"""Replicas looked at in one step."""


class Asked:
    """The replicas of one round. Its work is done in steps."""

    __slots__ = ("_by_engine",)

    def __init__(self) -> None:
        self._by_engine: dict[str, dict[str, None]] = {}

    def add(self, engine: str, replica: str) -> None:
        """The round is about this replica too."""
        ids = self._by_engine.get(engine)
        if ids is None:
            ids = self._by_engine[engine] = {}
        ids[replica] = None

    def others(self, kept: Collection[ReplicaKey]) -> Generator[None, None, list[ReplicaKey]]:
        """Those of `kept` that the round was not about. What is kept must not change until the last step."""
        by_engine, others = self._by_engine, list[ReplicaKey]()
        for at, key in enumerate(kept, 1):
            if key[1] not in by_engine.get(key[0], ()):
                others.append(key)
            if at % AT_ONCE == 0:
                yield
        return others

    def let_go(self) -> Iterator[None]:
        """Free it, an engine at a time."""
        while self._by_engine:
            self._by_engine.popitem()
            yield
