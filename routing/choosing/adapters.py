"""LoRA adapters: who holds one, who may be asked for it, and where one more is loaded.

An engine knows an adapter as one more model, by its name, on those replicas that have loaded it; the others answer 404.

    somebody is known to hold it    nobody else is asked (`HeldAdapter`)
    nobody is                       anybody may be asked, and says so; where adapters are loaded on demand, one is first
                                    (`missing`, `place`)
    those who hold it are late      where adapters are loaded on demand, one more replica loads it (`crowded`)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from routing.choosing.pickers import Picker
from routing.model import Endpoint
from routing.route import Tiers

CROWDED_MS: Final = 1000.0
"""What waits for its prefill where an adapter is held, at least, for another replica to load it too: about as long as
that takes."""
EMPTIER: Final = 0.5
"""What part of that may wait there at most."""

Adapter = tuple[str, str]
"""(engine name, name of the adapter there)"""
NOBODY: Final[frozenset[str]] = frozenset()
LACKS: Final = "it has not loaded the adapter"


class AdapterBook:
    """Which models each replica lists, of those that were told; and which adapters are used."""

    __slots__ = ("_held", "_holders", "used")

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], frozenset[str]] = {}
        self._holders: dict[Adapter, frozenset[str]] = {}
        self.used: dict[Adapter, None] = {}
        """Those, loaded on demand, that requests were sent for since somebody took note of it."""

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


class _Narrowed:
    """The tiers of some operation, as far as adapters allow while these hold them."""

    __slots__ = ("able", "holders", "lacking", "tiers")

    def __init__(
        self,
        tiers: Tiers,
        holders: list[frozenset[str]],
        able: list[tuple[Endpoint, ...]],
        lacking: dict[Endpoint, str],
    ) -> None:
        self.tiers = tiers
        self.holders = holders
        self.able = able
        """Of each pool those that can answer before anything is loaded."""
        self.lacking = lacking


class HeldAdapter:
    """Narrows the tiers of one route to whoever holds an adapter that somebody holds: anew when that has changed, so
    that a request costs no more than a look at each adapter of the route."""

    __slots__ = ("_adapters", "_book", "_build", "_loads", "_narrowed")

    def __init__(
        self,
        adapters: frozenset[Adapter],
        loads: frozenset[Adapter],
        book: AdapterBook,
        build: Callable[[Sequence[Endpoint]], Picker],
    ) -> None:
        """`adapters` are those of the route, `loads` those of them that are loaded on demand; `build` makes the picker
        of a pool."""
        self._adapters = sorted(adapters)
        self._loads = loads
        self._book = book
        self._build = build
        self._narrowed: dict[Tiers, _Narrowed] = {}

    def among(self, whole: Tiers) -> Tiers:
        """Those of the tiers, of this route and some operation, that may be asked."""
        return self._of(whole).tiers

    def lacking(self, whole: Tiers) -> dict[Endpoint, str]:
        """The others, each with why; not to be changed."""
        return self._of(whole).lacking

    def sent(self, endpoint: Endpoint) -> None:
        """A request has gone there."""
        adapter = endpoint.engine, endpoint.model
        if adapter in self._loads:
            self._book.used[adapter] = None

    def missing(self, whole: Tiers, now: float) -> Adapter | None:
        """The adapter to load before the first tier that is available can answer; None where it can already."""
        for pool, able in zip(whole.pools, self._of(whole).able, strict=True):
            for endpoint in able:
                if endpoint.state.available(now):
                    return None
            for endpoint in pool:
                if endpoint.state.available(now):
                    return endpoint.engine, endpoint.model
        return None

    def crowded(self, whole: Tiers, now: float) -> Adapter | None:
        """An adapter of which one more replica should be loaded, as those that hold it are late and another is not."""
        for pool, able in zip(whole.pools, self._of(whole).able, strict=True):
            least_ms: dict[Adapter, float] = {}
            for endpoint in able:
                _note_wait(endpoint, least_ms, self._loads, now)
            late = frozenset([adapter for adapter, waits_ms in least_ms.items() if waits_ms > CROWDED_MS])
            if not late:
                continue
            holding = frozenset(able)
            elsewhere_ms: dict[Adapter, float] = {}
            for endpoint in pool:
                if endpoint not in holding:
                    _note_wait(endpoint, elsewhere_ms, late, now)
            for adapter, other_ms in elsewhere_ms.items():
                if other_ms <= EMPTIER * least_ms[adapter]:
                    return adapter
        return None

    def _of(self, whole: Tiers) -> _Narrowed:
        holders = [self._book.holders(engine, name) for engine, name in self._adapters]
        known = self._narrowed.get(whole)
        if known is None or known.holders != holders:
            known = self._narrowed[whole] = self._narrow(whole, holders)
        return known

    def _narrow(self, whole: Tiers, holders: list[frozenset[str]]) -> _Narrowed:
        held = dict(zip(self._adapters, holders, strict=True))
        lacking: dict[Endpoint, str] = {}
        able: list[tuple[Endpoint, ...]] = []
        for pool in whole.pools:
            at_once = []
            for endpoint in pool:
                adapter = endpoint.engine, endpoint.model
                by = held.get(adapter)
                if by and endpoint.replica not in by:
                    lacking[endpoint] = LACKS
                elif by or adapter not in self._loads:
                    at_once.append(endpoint)
            able.append(tuple(at_once))
        if not lacking:
            return _Narrowed(whole, holders, able, lacking)
        pools = tuple([tuple([endpoint for endpoint in pool if endpoint not in lacking]) for pool in whole.pools])
        pickers = tuple([self._build(pool) for pool in pools])
        return _Narrowed(Tiers(pools, pickers), holders, able, lacking)


def _note_wait(endpoint: Endpoint, least_ms: dict[Adapter, float], adapters: frozenset[Adapter], now: float) -> None:
    adapter = endpoint.engine, endpoint.model
    if adapter in adapters and endpoint.state.available(now):
        waits_ms = endpoint.state.ahead_tokens(now) * endpoint.state.prefill.ms_per_token
        least_ms[adapter] = min(waits_ms, least_ms.get(adapter, waits_ms))


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
