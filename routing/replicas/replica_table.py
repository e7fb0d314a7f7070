"""All replicas of one worker, by key: who is there, who is leaving, and what is kept of them for others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from routing.failing.breaker import Breaker, BreakerSettings, Told
from routing.prefix.index import PrefixIndex
from routing.prefix.news import PrefixNews
from routing.prefix.samples import PrefixSamples
from routing.replicas.replica import NO_SLOT, SEED_CACHE_BLOCKS, ReplicaKey, ReplicaState

FIT_RATIO: Final = 0.05
"""The size of a cache in bytes of prompts is a guess: for less than that the index is not changed."""


class ReplicaTable:
    """All replica states of one worker, by key. It outlives every fleet built from it, and changes by difference."""

    __slots__ = (
        "_breaker",
        "_busy",
        "_changed",
        "_leaving",
        "_states",
        "gateways",
        "news",
        "opened",
        "prefixes",
        "samples",
        "slotted",
    )

    def __init__(
        self,
        breaker: BreakerSettings | None = None,
        changed: Callable[[ReplicaKey, bool, str, float], None] | None = None,
        news: PrefixNews | None = None,
        samples: PrefixSamples | None = None,
    ) -> None:
        """`changed(key, closed, why, open_s)` hears when a breaker opens or closes. `news`: where to note what prompts
        are sent where, for others to hear; None where nobody else chooses among the same replicas. `samples`: where to
        put prompts whose tokens are to be counted."""
        self._changed = changed
        self._breaker = breaker or BreakerSettings()
        self._states: dict[ReplicaKey, ReplicaState] = {}
        self._busy: list[ReplicaState] | None = None if news is None else []
        """Those that something was sent to since they were found idle."""
        self._leaving: dict[ReplicaKey, None] = {}
        self.opened: dict[ReplicaKey, ReplicaState] = {}
        """Those whose breaker has opened at some time: few, so that nobody looks through all 19,200 for them."""
        self.slotted: dict[ReplicaKey, ReplicaState] = {}
        """Those that have a place in the prefix index."""
        self.news = news
        self.samples = samples
        self.gateways: Mapping[str, int] = {}
        """By engine, how many gateways that share no index choose among its replicas, this one included; it chooses
        alone where an engine is not there. Pickers look here: so none is built anew when that changes."""
        self.prefixes = PrefixIndex()
        """Who holds which prompts. It takes no memory until a policy fills it."""

    def get(self, key: ReplicaKey) -> ReplicaState:
        """The state of `key`, made on first use. One that was to be forgotten stays after all."""
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = ReplicaState(key, Breaker(self._breaker, self._told_of(key)), self._busy)
        elif self._leaving:
            self._leaving.pop(key, None)
        return state

    def _told_of(self, key: ReplicaKey) -> Told:
        states, opened, changed = self._states, self.opened, self._changed

        def told(closed: bool, why: str, open_s: float) -> None:
            if key in states:
                opened[key] = states[key]
            if changed is not None:
                changed(key, closed, why, open_s)

        return told

    def find(self, key: ReplicaKey) -> ReplicaState | None:
        """The state of `key` if there is one."""
        return self._states.get(key)

    def choosers(self, engines: Sequence[str]) -> int:
        """How many gateways choose among the replicas of these engines, this one included: as many as of any."""
        known = self.gateways
        return max([1, *[known.get(engine, 1) for engine in engines]]) if known else 1

    def leave(self, key: ReplicaKey) -> None:
        """No fleet has this replica any more: it gets nothing new, and `sweep` forgets it. Unknown keys are fine."""
        state = self._states.get(key)
        if state is not None:
            state.draining = True
            self._leaving[key] = None

    def sweep(self) -> list[ReplicaKey]:
        """Forget those that left and have nothing in flight; returns their keys.

        One with work in flight stays until a later call, so that a replica which comes back is not taken for idle.
        """
        gone = [key for key in self._leaving if self._states[key].in_flight_requests == 0]
        for key in gone:
            slot = self._states[key].slot
            if slot != NO_SLOT:
                self.prefixes.drop(slot)
            del self._leaving[key], self._states[key]
            self.opened.pop(key, None)
            self.slotted.pop(key, None)
        return gone

    def succeed(self, key: ReplicaKey) -> None:
        """Another server has the key now: what was known of the one before is forgotten, and what it has in flight ends
        by itself and counts no more: should its breaker open, nobody hears of it under a name that is another's. Fleets
        built before still send to it. Unknown keys are fine."""
        state = self._states.pop(key, None)
        if state is None:
            return
        state.breaker.hush()
        if state.slot != NO_SLOT:
            self.prefixes.drop(state.slot)
            state.slot = NO_SLOT
        for kept in (self.opened, self.slotted):
            kept.pop(key, None)
        self._leaving.pop(key, None)
        if self._busy is not None and state in self._busy:
            self._busy.remove(state)

    def slot_of(self, state: ReplicaState) -> int:
        """The place of a replica in the prefix index, from now on."""
        if state.slot == NO_SLOT:
            state.slot = self.prefixes.open(SEED_CACHE_BLOCKS)
            self.slotted[state.key] = state
        return state.slot

    def fit(self, state: ReplicaState, blocks: int) -> Iterator[None]:
        """The replica's cache has room for so many blocks of the prefix index, by what we know now. In steps."""
        if state.slot == NO_SLOT or abs(blocks - state.cache_blocks) <= FIT_RATIO * state.cache_blocks:
            return
        yield from self._shed(state, blocks)
        if self._states.get(state.key) is state:
            state.cache_blocks = blocks
            self.prefixes.limit(state.slot, blocks)

    def busy(self) -> list[ReplicaState]:
        """Those with something in flight, in the order they became busy; none where there is no `news`."""
        if self._busy is None:
            return []
        self._busy[:] = [state for state in self._busy if not state.unlisted()]
        return self._busy.copy()

    def sent(self, key: ReplicaKey, chain: Sequence[int]) -> None:
        """Somebody else sent the prompt to a replica. One that is not known, or not asked about, is passed over."""
        state = self._states.get(key)
        if state is not None and state.slot != NO_SLOT:
            self.prefixes.add(chain, state.slot)

    def cut(self, key: ReplicaKey, chain: Sequence[int], depth: int) -> None:
        """A replica holds no more than so many blocks of the prompt. One that is not known is passed over."""
        state = self._states.get(key)
        if state is not None and state.slot != NO_SLOT:
            self.prefixes.cut(chain, state.slot, depth)

    def void(self, state: ReplicaState) -> Iterator[None]:
        """The replica has started anew, with an empty cache. In steps."""
        if state.slot != NO_SLOT:
            yield from self._shed(state, 0)

    def _shed(self, state: ReplicaState, keep: int) -> Iterator[None]:
        while self._states.get(state.key) is state and self.prefixes.shed(state.slot, keep):
            yield

    def retune(self, breaker: BreakerSettings, now: float) -> Iterator[None]:
        """Put other breaker settings in force, a step for each replica; see `Breaker.retune`."""
        self._breaker = breaker
        for state in tuple(self._states.values()):
            state.breaker.retune(breaker, now)
            yield

    def __iter__(self) -> Iterator[ReplicaState]:
        return iter(tuple(self._states.values()))

    def __len__(self) -> int:
        return len(self._states)
