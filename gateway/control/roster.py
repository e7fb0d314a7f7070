"""Who serves each engine, as the control plane knows it: members from every source, their health, and who drains.

Workers are told by difference: the first change goes out at once, and what changes within the 50 ms after it as one
message, `MOST_TOLD` of them at most: more are told in the next turns of the loop. Each replica's whole truth is in it,
so that one that is told twice does no harm. A worker that joins is told everything.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Generator, Iterable, Iterator, Set
from typing import TYPE_CHECKING, Final

from engines.port import Replica
from gateway.admin.replicas import ReplicaStatus
from gateway.control.membership import Found, MemberDifference, Membership, Written
from gateway.fleet.members import Member, packed
from gateway.fleet.steps import at_once, made_in_slices
from routing.replicas.replica import ReplicaKey

if TYPE_CHECKING:
    from gateway.control.launches import Launches

COALESCE_S: Final = 0.05
"""Long enough that most of a deployment's replicas go out together, short enough that nobody waits for one of them."""

MOST_TOLD: Final = 1024
"""Replicas to a message: to make one of 19,200 held the loop for 12 ms."""
AT_ONCE: Final = 128
"""Replicas to a step."""
_STATES: Final = ("unhealthy", "draining")
"""Of an engine that may not sleep, beside ready."""


class Roster:
    """See the module. Nothing here looks at every replica but at those that a call is about."""

    def __init__(self, tell: Callable[[list[Member]], None], coalesce_s: float = COALESCE_S) -> None:
        """`tell` is given what is new, at most once in `coalesce_s` seconds."""
        self._tell = tell
        self._coalesce_s = coalesce_s
        self._sources: dict[str, Membership] = {}
        self._listed: dict[str, dict[str, Replica]] = {}
        self._down: set[ReplicaKey] = set()
        self._leaving: set[ReplicaKey] = set()
        """Those of which their source says that they drain."""
        self._held: set[ReplicaKey] = set()
        """Those that an operator asked to drain."""
        self._retired: set[ReplicaKey] = set()
        """Those that whoever scales the engine has leave."""
        self._resting: dict[ReplicaKey, str] = {}
        """Those that sleep or are about to, each with its state: `draining`, `asleep`."""
        self._apart: dict[ReplicaKey, str] = {}
        """Those that are not ready, each with its state; it is kept with what makes it so."""
        self._counts: dict[str, dict[str, int]] = {}
        """By engine, how many of those are in which state."""
        self._greeted: dict[str, Callable[[str], None]] = {}
        """By engine, who is told of a new replica before workers are."""
        self._news: dict[ReplicaKey, None] = {}
        self._gathering: dict[int, dict[ReplicaKey, None]] = {}
        """For each that gathers all members, of whom there is news since it began. By identity: two may be equal."""
        self._timer: asyncio.Handle | None = None
        self._told_s = float("-inf")

    # -- members -------------------------------------------------------------------------------------------------------

    def enroll(self, engine: str, source: Membership) -> None:
        """The engine's replicas come from this source from now on. The same source twice changes nothing."""
        at_once(self.enrolling(engine, source))

    def enrolling(self, engine: str, source: Membership) -> Iterator[None]:
        """The same in steps: an engine may have thousands of replicas written down. Those that it has no more go first,
        and until the last step but those the others are as before."""
        known = self._sources.get(engine)
        if (yield from _same(known, source)):
            return
        before = self._listed.get(engine, {})
        was_told = known is not None and not known.written
        listed: dict[str, Replica] = {}
        written = source.replicas if isinstance(source, Written) else ()
        if written:
            for start in range(0, len(written), AT_ONCE):
                listed.update([(replica.id, replica) for replica in written[start : start + AT_ONCE]])
                yield
            for at, id in enumerate([id for id in before if id not in listed], 1):
                if before.pop(id, None) is not None:
                    self._forget(engine, id, was_told)
                if at % AT_ONCE == 0:
                    yield
        self._sources[engine], self._listed[engine] = source, listed
        if not written:
            source.watch(lambda difference: self._differs(engine, source, difference))
        for id in before:
            if id not in listed:
                self._forget(engine, id, was_told)
        for at, replica in enumerate(written, 1):
            if engine not in self._greeted:
                return
            self._greeted[engine](replica.id)
            if at % AT_ONCE == 0:
                yield

    def dismiss(self, engine: str) -> None:
        """The engine is no more. Unknown names are fine."""
        at_once(self.dismissing(engine))

    def dismissing(self, engine: str) -> Iterator[None]:
        """The same in steps."""
        source = self._sources.pop(engine, None)
        for at, id in enumerate(self._listed.pop(engine, {}), 1):
            self._forget(engine, id, source is not None and not source.written)
            if at % AT_ONCE == 0:
                yield
        self._counts.pop(engine, None)

    def engines(self) -> tuple[str, ...]:
        """The engines that have a source."""
        return tuple(self._sources)

    def _differs(self, engine: str, source: Membership, difference: MemberDifference) -> None:
        if self._sources.get(engine) is not source:
            return  # one that was replaced has nothing to say
        listed = self._listed[engine]
        for replica in difference.added:
            known = listed.get(replica.id)
            new = known is None or replica.succeeds(known)
            if known is not None and new:
                self._succeeded(engine, replica.id)
            listed[replica.id] = replica
            if not source.written:
                self._note(engine, replica.id)
            if new and engine in self._greeted:
                self._greeted[engine](replica.id)
        for id in difference.removed:
            if listed.pop(id, None) is not None:
                self._forget(engine, id, not source.written)
        for id in difference.draining:
            self._mark(self._leaving, engine, id, True)
        for id in difference.resumed:
            self._mark(self._leaving, engine, id, False)

    def _succeeded(self, engine: str, id: str) -> None:
        """Another server has its id now. Of the one before nothing holds; whether it drains its source has said."""
        for marks in (self._down, self._held, self._retired):
            marks.discard((engine, id))
        self._resting.pop((engine, id), None)
        self._count((engine, id))

    def _forget(self, engine: str, id: str, tell: bool) -> None:
        """What workers read in the configuration they also read the end of; of the rest they are told."""
        self._leaving.discard((engine, id))
        self._succeeded(engine, id)
        if tell:
            self._note(engine, id)

    # -- what keeps requests away --------------------------------------------------------------------------------------

    def down(self, keys: Set[ReplicaKey]) -> None:
        """These replicas are unhealthy, and all others are not."""
        for engine, id in sorted(keys ^ self._down):
            self._mark(self._down, engine, id, (engine, id) in keys)

    def drain(self, engine: str, replica: str, draining: bool = True) -> bool:
        """Send a replica nothing new, or again, as an operator wishes; returns whether there is such a replica. What it
        has, it finishes."""
        return self._keep_from(self._held, engine, replica, draining)

    def retire(self, engine: str, replica: str, leaving: bool = True) -> bool:
        """The same as whoever scales the engine wishes: neither undoes what the other asked for."""
        return self._keep_from(self._retired, engine, replica, leaving)

    def rest(self, engine: str, replica: str, state: str = "") -> bool:
        """The same of one that sleeps, or is about to, as `state` says: `draining` or `asleep`. Empty: it is awake."""
        key = engine, replica
        if replica not in self._listed.get(engine, {}):
            return False
        before = self._resting.pop(key, "")
        if state:
            self._resting[key] = state
        self._count(key)
        if bool(before) != bool(state):
            self._note(engine, replica)
        return True

    def greet(self, engine: str, told: Callable[[str], None] | None) -> None:
        """`told` is called with each new replica of the engine, before workers hear of it; None: nobody is."""
        if told is None:
            self._greeted.pop(engine, None)
        else:
            self._greeted[engine] = told

    def away(self) -> set[ReplicaKey]:
        """Those that get nothing new, though they may be healthy: they drain, or sleep."""
        return self._leaving | self._held | self._retired | self._resting.keys()

    def _keep_from(self, marks: set[ReplicaKey], engine: str, replica: str, on: bool) -> bool:
        if replica not in self._listed.get(engine, {}):
            return False
        self._mark(marks, engine, replica, on)
        return True

    def _drains(self, key: ReplicaKey) -> bool:
        return key in self._leaving or key in self._held or key in self._retired or key in self._resting

    def _mark(self, marks: set[ReplicaKey], engine: str, id: str, on: bool) -> None:
        key = engine, id
        if on == (key in marks) or (on and id not in self._listed.get(engine, {})):
            return
        (marks.add if on else marks.discard)(key)
        self._count(key)
        self._note(engine, id)

    def _count(self, key: ReplicaKey) -> None:
        """Count it as what it is by now."""
        if self._drains(key):
            state = "asleep" if self._resting.get(key) == "asleep" else "draining"
        else:
            state = "unhealthy" if key in self._down else ""
        before = self._apart.pop(key, "")
        if state:
            self._apart[key] = state
        if state != before:
            counts = self._counts.setdefault(key[0], {})
            for one, by in ((before, -1), (state, 1)):
                if one:
                    counts[one] = counts.get(one, 0) + by

    # -- telling -------------------------------------------------------------------------------------------------------

    async def members(self) -> list[bytes]:
        """All that the configuration does not say, as it is at the end: what a worker that joins is told. In steps, and
        in parts (`gateway.fleet.members.packed`): what a later one says of a replica holds.

        Whoever tells it does so in the same turn of the loop, or what is told in between is undone by what is older.
        """
        return await made_in_slices(self._gather())

    def _gather(self) -> Generator[None, None, list[bytes]]:
        parts: list[bytes] = []
        news: dict[ReplicaKey, None] = {}
        self._gathering[id(news)] = news
        try:
            yield
            for engine in self.engines():
                listed = list(self._listed.get(engine, ()))
                for start in range(0, len(listed), AT_ONCE):
                    members = [self._member(engine, id) for id in listed[start : start + AT_ONCE]]
                    told = [member for member in members if _is_told(member)]
                    if told:
                        parts.append(packed(told))
                    yield
                yield
            while news:  # nothing is new in the turn in which this ends
                latest = [news.popitem()[0] for _ in range(min(len(news), AT_ONCE))]
                parts.append(packed([self._member(*key) for key in latest]))
                if news:
                    yield
        finally:
            del self._gathering[id(news)]
        return parts

    def statuses(self, engine: str) -> list[ReplicaStatus]:
        """How each replica of one engine is."""
        return list(itertools.chain.from_iterable(self.statuses_in_parts(engine)))

    def statuses_in_parts(self, engine: str) -> Iterator[list[ReplicaStatus]]:
        """The same, a few at a time: there may be thousands. Each part is true when it is taken."""
        listed = list(self._listed.get(engine, ()))
        for start in range(0, len(listed), AT_ONCE):
            there = self._listed.get(engine, {})
            yield [self._status(engine, id) for id in listed[start : start + AT_ONCE] if id in there]

    def _status(self, engine: str, id: str) -> ReplicaStatus:
        state = "unhealthy" if (engine, id) in self._down else self._state(engine, id)
        return ReplicaStatus(engine, id, state, self._drains((engine, id)))

    def _state(self, engine: str, id: str) -> str:
        return "asleep" if self._resting.get((engine, id)) == "asleep" else "ready"

    def found(self, engine: str) -> Found:
        """The replicas of one engine, as whoever scales it sees them."""
        leaving, operators, down = self._leaving, self._held, self._down
        there = list(self._listed.get(engine, ()))
        if not (leaving or operators or down):
            return Found(there, [], there, [])
        ending: list[str] = []
        serving: list[str] = []
        held: list[str] = []
        for id in there:  # not by sets of all engines' replicas together, of which 19,200 may be down
            key = engine, id
            if key in leaving:
                ending.append(id)
            elif key in operators:
                held.append(id)
            elif key not in down:
                serving.append(id)
        return Found(there, ending, serving, held)

    def states(self) -> dict[tuple[str, str], int]:
        """How many replicas of each engine are in each state: `ready`, `unhealthy`, `draining` or `asleep`."""
        # Of counts that are kept: to look at 19,200 that are down took 8 ms of each scrape.
        counts: dict[tuple[str, str], int] = {}
        for engine, listed in self._listed.items():
            apart = self._counts.get(engine, {})
            counts[engine, "ready"] = len(listed) - sum(apart.values())
            for state in _STATES:
                counts[engine, state] = apart.get(state, 0)
            if apart.get("asleep"):
                counts[engine, "asleep"] = apart["asleep"]
        return counts

    def _member(self, engine: str, id: str) -> Member:
        replica = self._listed.get(engine, {}).get(id)
        if replica is None:
            return Member(engine, id, gone=True)
        key = engine, id
        url = "" if self._sources[engine].written else replica.url
        zone, life = ("", "") if self._sources[engine].written else (replica.zone, replica.life)
        return Member(engine, id, url, key not in self._down, self._drains(key), zone=zone, life=life)

    def _note(self, engine: str, id: str) -> None:
        self._news[engine, id] = None
        for news in self._gathering.values():
            news[engine, id] = None
        if self._timer is None:
            loop = asyncio.get_running_loop()
            wait_s = max(0.0, self._told_s + self._coalesce_s - loop.time())
            self._timer = loop.call_later(wait_s, self.tell_now)

    def tell_now(self) -> None:
        """Tell what is new, if anything is, without waiting for more of it."""
        if self._timer is None:
            return
        self._timer.cancel()
        self._timer = None
        self._told_s = asyncio.get_running_loop().time()
        if len(self._news) <= MOST_TOLD:
            news, self._news = self._news, {}
        else:
            news = dict.fromkeys(itertools.islice(self._news, MOST_TOLD))
            for key in news:
                del self._news[key]
            self._timer = asyncio.get_running_loop().call_soon(self.tell_now)
        self._tell([self._member(*key) for key in news])


def _same(one: Membership | None, other: Membership) -> Generator[None, None, bool]:
    """Whether the two are equal, in steps."""
    if not (isinstance(one, Written) and isinstance(other, Written)):
        return one == other
    for start in range(0, max(len(one.replicas), len(other.replicas)), AT_ONCE):
        if one.replicas[start : start + AT_ONCE] != other.replicas[start : start + AT_ONCE]:
            return False
        yield
    return True


def _is_told(member: Member) -> bool:
    """Whether there is anything to say of it that the configuration does not."""
    return not member.gone and bool(member.url or member.draining or not member.healthy)


def every_replica(engines: Iterable[str], roster: Roster, launches: Launches) -> Iterator[list[ReplicaStatus]]:
    """The replicas of these engines, some of one engine at a time; launched ones that are not ready by their state."""
    for engine in engines:
        begun = launches.each(engine)
        if not begun:
            yield from roster.statuses_in_parts(engine)
            continue
        listed = roster.statuses(engine)
        known = {status.replica for status in listed}
        launched = {replica: at for at, (replica, _) in enumerate(begun)}
        listed.sort(key=lambda status: launched.get(status.replica, 0))  # not as they became ready
        yield listed + [ReplicaStatus(engine, replica, state) for replica, state in begun if replica not in known]
