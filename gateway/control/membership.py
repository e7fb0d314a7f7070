"""Where the replicas of an engine come from: a port, because some are written down, some started here, some found.

    source      who knows                      class
    ----------  -----------------------------  ------------------------------------------------------------
    static      the configuration              `Written`
    launched    the launcher, as they come up  `Observed`, shown the replicas that are ready
    discovered  a name server, an orchestrator `Observed`, shown what each look finds

A source tells differences and nothing else; whoever watches begins with nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Protocol

from engines.port import Replica


@dataclass(frozen=True, slots=True)
class MemberDifference:
    """What is new of one engine's replicas."""

    added: tuple[Replica, ...] = ()
    """New ones, and known ones at a new place."""
    removed: tuple[str, ...] = ()
    """Ids of those that have left."""
    draining: tuple[str, ...] = ()
    """Ids of those that are to get nothing new from now on."""
    resumed: tuple[str, ...] = ()
    """Ids of those that drain no longer."""

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.draining or self.resumed)


@dataclass(frozen=True, slots=True)
class Found:
    """The replicas of one engine, as whoever scales it sees them."""

    there: Collection[str] = ()
    """All of them."""
    ending: Collection[str] = ()
    """Those that their source has get nothing new: they were deleted, or are not ready for a moment."""
    serving: Collection[str] = ()
    """Those that would take requests if nobody scaled the engine: healthy ones, neither ending nor held."""
    held: Collection[str] = ()
    """Those that do not end and that an operator drains."""


Watcher = Callable[[MemberDifference], None]


class Membership(Protocol):
    """The replicas of one engine, from one source."""

    @property
    def written(self) -> bool:
        """Whether workers know them from the configuration."""

    def watch(self, changed: Watcher) -> None:
        """Tell of those that are there now, if any, and from then on of every difference. Called once."""


@dataclass(frozen=True, slots=True)
class Written:
    """Replicas that the configuration writes down. They come at once and never change."""

    replicas: tuple[Replica, ...]

    @property
    def written(self) -> bool:
        return True

    def watch(self, changed: Watcher) -> None:
        if self.replicas:
            changed(MemberDifference(added=self.replicas))


class Observed:
    """Replicas that somebody looks for again and again; only what differs from the last look is told."""

    @property
    def written(self) -> bool:
        return False

    def __init__(self) -> None:
        self._replicas: dict[str, Replica] = {}
        self._draining: frozenset[str] = frozenset()
        self._changed: Watcher | None = None

    def watch(self, changed: Watcher) -> None:
        self._changed = changed
        everything = MemberDifference(added=tuple(self._replicas.values()), draining=tuple(sorted(self._draining)))
        if everything:
            changed(everything)

    def differs(self, difference: MemberDifference) -> None:
        """Take in what is new, of somebody who knows: what is told, nothing more of it is looked at."""
        for id in difference.removed:
            self._replicas.pop(id, None)
        self._replicas.update((replica.id, replica) for replica in difference.added)
        gone = {*difference.removed, *difference.resumed}
        self._draining = (self._draining - gone) | (frozenset(difference.draining) & self._replicas.keys())
        if difference and self._changed is not None:
            self._changed(difference)

    @property
    def replicas(self) -> tuple[Replica, ...]:
        """Those that are there now."""
        return tuple(self._replicas.values())

    def found(self, replicas: Iterable[Replica], draining: Collection[str] = ()) -> None:
        """Take in a look: all replicas there are, and the ids of those among them that drain."""
        before, drained = self._replicas, self._draining
        self._replicas = now = {replica.id: replica for replica in replicas}
        self._draining = draining_now = frozenset(draining) & now.keys()
        difference = MemberDifference(
            added=tuple(replica for replica in now.values() if before.get(replica.id) != replica),
            removed=tuple(id for id in before if id not in now),
            draining=tuple(sorted(draining_now - drained)),
            resumed=tuple(sorted(drained & now.keys() - draining_now)),
        )
        if difference and self._changed is not None:
            self._changed(difference)
