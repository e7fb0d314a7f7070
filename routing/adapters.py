"""LoRA adapters: who holds one, who may be asked for it, and where one more is loaded.

An engine knows an adapter as one more model, by its name, on those replicas that have loaded it; the others answer 404.

    somebody is known to hold it    nobody else is asked (`HeldAdapter`)
    nobody is                       anybody may be asked, and says so; where adapters are loaded on demand, one is first
                                    (`missing`, `place`)
    those who hold it are late      where adapters are loaded on demand, one more replica loads it (`crowded`)
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from routing.facts import RequestFacts
from routing.filters import Filter
from routing.model import Endpoint

CROWDED_MS: Final = 1000.0
"""What waits for its prefill where an adapter is held, at least, for another replica to load it too: about as long as
that takes."""
EMPTIER: Final = 0.5
"""What part of that may wait there at most."""

Adapter = tuple[str, str]
"""(engine name, name of the adapter there)"""
NOBODY: Final[frozenset[str]] = frozenset()


class AdapterBook:
    """Which models each replica lists, of those that were told."""

    __slots__ = ("_held", "_holders")

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], frozenset[str]] = {}
        self._holders: dict[Adapter, frozenset[str]] = {}

    def told(self, engine: str, replica: str, names: Iterable[str]) -> None:
        """The replica holds these, and no others."""
        before = self._held.get((engine, replica), NOBODY)
        held = frozenset(names)
        self._held[engine, replica] = held
        for name in held - before:
            self._holders[engine, name] = self._holders.get((engine, name), NOBODY) | {replica}
        for name in before - held:
            left = self._holders[engine, name] - {replica}
            if left:
                self._holders[engine, name] = left
            else:
                del self._holders[engine, name]
        if not held:
            del self._held[engine, replica]

    def holders(self, engine: str, adapter: str) -> frozenset[str]:
        """The replicas that hold it."""
        return self._holders.get((engine, adapter), NOBODY)


class HeldAdapter(Filter):
    """Passes over whoever lacks an adapter that somebody else holds."""

    __slots__ = ("_adapters", "_book")

    def __init__(self, adapters: frozenset[Adapter], book: AdapterBook) -> None:
        """`adapters` are those of the route."""
        self._adapters = adapters
        self._book = book

    def concerns(self, facts: RequestFacts) -> bool:
        return True

    def passes_over(self, endpoint: Endpoint, facts: RequestFacts, now: float) -> str:
        """See Filter."""
        if (endpoint.engine, endpoint.model) not in self._adapters:
            return ""
        holders = self._book.holders(endpoint.engine, endpoint.model)
        if not holders or endpoint.replica in holders:
            return ""
        return f"it has not loaded the adapter {endpoint.model}"


def missing(
    pools: Iterable[Sequence[Endpoint]], loads: Collection[Adapter], book: AdapterBook, now: float
) -> Adapter | None:
    """The adapter to load before the first tier that is available can answer; None where it can already.

    `loads` are the adapters that are loaded on demand.
    """
    for pool in pools:
        wanted: Adapter | None = None
        for endpoint in pool:
            if endpoint.state.available(now):
                adapter = endpoint.engine, endpoint.model
                if adapter not in loads or endpoint.replica in book.holders(*adapter):
                    return None
                wanted = wanted or adapter
        if wanted is not None:
            return wanted
    return None


def crowded(
    pools: Iterable[Sequence[Endpoint]], loads: Collection[Adapter], book: AdapterBook, now: float
) -> Adapter | None:
    """An adapter of which one more replica should be loaded, as those that hold it are late and another is not."""
    for pool in pools:
        least_ms: dict[Adapter, float] = {}
        elsewhere_ms: dict[Adapter, float] = {}
        for endpoint in pool:
            adapter = endpoint.engine, endpoint.model
            if adapter in loads and endpoint.state.available(now):
                waits_ms = endpoint.state.ahead_tokens(now) * endpoint.state.prefill.ms_per_token
                found = least_ms if endpoint.replica in book.holders(*adapter) else elsewhere_ms
                found[adapter] = min(waits_ms, found.get(adapter, waits_ms))
        for adapter, waits_ms in least_ms.items():
            other_ms = elsewhere_ms.get(adapter)
            if waits_ms > CROWDED_MS and other_ms is not None and other_ms <= EMPTIER * waits_ms:
                return adapter
    return None


@dataclass(frozen=True, slots=True)
class Room:
    """One replica where an adapter may be loaded."""

    replica: str
    held: frozenset[str]
    """Adapters that it has loaded, and that may be loaded again."""
    busy: frozenset[str]
    """Those that requests use there at this moment."""
    load: float
    """How much it has to do; less is better."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an adapter is loaded, and what is unloaded for it first."""

    replica: str
    unload: str = ""
    """Empty where there is room."""


def place(adapter: str, rooms: Iterable[Room], per_replica: int, used_s: Mapping[str, float]) -> Place | None:
    """Where to load an adapter; None where every replica holds it, or as many others as it may, all of them in use.

    A replica with room, the one that holds the fewest; else the one whose adapter was used the longest ago, by
    `used_s`. Among equals the one with less to do.
    """
    without = [room for room in rooms if adapter not in room.held]
    roomy = [room for room in without if len(room.held) < per_replica]
    if roomy:
        best = min(roomy, key=lambda room: (len(room.held), room.load))
        return Place(best.replica)
    oldest: tuple[float, float, str, str] | None = None
    for room in without:
        for name in room.held - room.busy:
            found = used_s.get(name, float("-inf")), room.load, room.replica, name
            if oldest is None or found < oldest:
                oldest = found
    return None if oldest is None else Place(oldest[2], oldest[3])
