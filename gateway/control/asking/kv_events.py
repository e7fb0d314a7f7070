"""What engines tell of their caches, made into news of the prefix index, and told to the workers.

    a replica has a publisher      subscribe, and follow which blocks of tokens it holds (`engines.events`)
    a worker leaves a prompt       have its tokens counted there, five a second at most, and link both
                                   (`routing.prefix.tokens`): from now on news of those tokens is news of that prompt
    linked blocks come or go       50 ms later the workers hear how much of those prompts is held
    something was lost for good,   nothing that was sent there before is believed to be held
    or the engine starts anew
    a worker cannot be told        it hears later of whom it missed news, so as to forget them, and who is followed

One message holds all that is new, or what half a millisecond finds of it; the rest is told in the next turns of the
loop. Replicas are looked for, subscribed to and left in steps: there may be 19,200. What is known of a replica whose
prompts cannot be counted, or of whom something was missed, or for whose blocks there is no room, is `approximate`.
"""

from __future__ import annotations

import asyncio
from array import array
from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from engines.errors import EngineError
from engines.events import Batch, Blocks, Cleared, EventsAt, Removed, token_keys
from engines.events.tokenizing import tokenize
from engines.port import Engine, Replica, Spawn
from gateway.control.asking.tokenizable import Tokenizable, tokenizable
from gateway.fleet.steps import emptying, in_slices
from gateway.workers.exchange.messages import (
    CacheChange,
    CacheFollowed,
    CachesChanged,
    CachesFollowed,
    PromptSampled,
    ToWorker,
)
from routing.prefix.index import chain_of
from routing.prefix.tokens import Linked, TokenLinks
from routing.replicas.replica import ReplicaKey

COALESCE_S: Final = 0.05
MOST_CHANGES: Final = 512
"""To a message: a megabyte for prompts of 64 KiB."""
MOST_BLOCKS: Final = 524_288
"""Of all replicas together, some 100 MiB; who comes after that is not followed."""
TOLD_S: Final = 0.0005
"""How long one turn may look for what is to be told."""
AT_ONCE: Final = 32
"""Replicas looked at in one step, or left in it."""
COUNTED_PER_S: Final = 5.0
"""Prompts of one replica whose tokens are counted, at most."""
RESTS_S: Final = 60.0
"""How long nobody's tokens are counted by a replica that could not."""

log = structlog.get_logger()

Say = Callable[[str, ToWorker], bool]


class Subscription(Protocol):
    """Reads the events of one engine until it is closed (`engines.events.subscriber`)."""

    def close(self) -> None: ...


Subscribe = Callable[[EventsAt, Callable[[Batch], None], Callable[[bool], None]], Subscription]


def subscribe(at: EventsAt, apply: Callable[[Batch], None], purge: Callable[[bool], None]) -> Subscription:
    """Over ZMQ. Raises OSError for an address that cannot be used."""
    import zmq

    from engines.events.subscriber import Subscriber

    try:
        return Subscriber(at, apply, purge)
    except zmq.ZMQError as error:
        raise OSError(f"{at.endpoint}: {error}") from None


@dataclass(slots=True)
class _Followed:
    """One replica whose events are read."""

    at: EventsAt
    blocks: Blocks = field(default_factory=Blocks)
    subscription: Subscription | None = None
    touched: dict[int, tuple[Linked, bool]] = field(default_factory=dict)
    """Linked prompts of which something came or went, by identity; whether something came."""
    full: bool = False
    """Whether there was no room for what it holds: what it tells is passed over until it holds nothing again."""
    void: bool = False
    """Whether nothing that was told before holds."""
    counts_at_s: float = 0.0
    """From when on it may count the tokens of another prompt."""
    counts: bool = True
    """Whether it could, the last time."""
    noted: bool = False
    """Whether it is among those of which there may be something to tell."""
    told: tuple[bool, bool] = (False, False)
    """Wanted and complete, as the workers know it."""


class KvEvents:
    """See the module."""

    def __init__(
        self,
        engines: Callable[[], Collection[tuple[str, Engine]]],
        at: Callable[[str, Replica], EventsAt | None],
        workers: Callable[[], Collection[str]],
        tell: Say,
        spawn: Spawn,
        *,
        coalesce_s: float = COALESCE_S,
        most_blocks: int = MOST_BLOCKS,
        subscribe: Subscribe = subscribe,
    ) -> None:
        """`engines` are those that may publish, by name, with their replicas of the moment; `at` says where one does.
        `tell` sends a message to one of `workers` and returns whether it went out."""
        self._engines = engines
        self._at = at
        self._workers = workers
        self._tell = tell
        self._spawn = spawn
        self._coalesce_s = coalesce_s
        self._most_blocks = most_blocks
        self._subscribe = subscribe
        self._followed: dict[ReplicaKey, _Followed] = {}
        self._blocks = 0
        """Of all who are followed together."""
        self._links: dict[tuple[str, str], TokenLinks] = {}
        """By engine and public model."""
        self._owed: dict[str, set[ReplicaKey]] = {}
        """Replicas of which workers have missed something."""
        self._unheard: dict[str, dict[ReplicaKey, None]] = {}
        """Replicas of which workers have missed how well they are followed."""
        self._news: deque[tuple[ReplicaKey, _Followed]] = deque()
        """Those of which there may be something to tell, each once."""
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    # -- whom to follow ------------------------------------------------------------------------------------------------

    async def look(self) -> None:
        """Follow the replicas that there are now."""
        await in_slices(self._look())

    def _look(self) -> Iterator[None]:
        """In steps: to look at 19,200 at once holds the loop for 33 ms, and each subscription takes a tenth of one."""
        there: set[ReplicaKey] = set()
        for name, engine in self._engines():
            for number, replica in enumerate(engine.replicas, 1):
                at = self._at(name, replica)
                if at is not None:
                    there.add((name, replica.id))
                    if self._follow((name, replica.id), at):
                        yield
                if number % AT_ONCE == 0:
                    yield
            yield
        known = list(self._followed)
        for start in range(0, len(known), AT_ONCE):
            self._leave([key for key in known[start : start + AT_ONCE] if key not in there])
            yield
        engines = {name for name, _ in self._followed}
        self._links = {key: links for key, links in self._links.items() if key[0] in engines}
        yield from emptying(there)

    def close(self) -> None:
        """Follow nobody any more."""
        self._closed = True
        for key in list(self._followed):
            self._close(key)
        if self._timer is not None:
            self._timer.cancel()

    def tell_again(self, worker: str) -> None:
        """A worker joined, and knows nothing. It hears it a few replicas at a time."""
        self._owed.pop(worker, None)
        self._unheard.pop(worker, None)
        self._tell_how(worker, list(self._followed))

    def _tell_how(self, worker: str, keys: list[ReplicaKey]) -> None:
        def steps() -> Iterator[None]:
            for start in range(0, len(keys), AT_ONCE):
                if not self._tell(worker, CachesFollowed([self._state(key) for key in keys[start : start + AT_ONCE]])):
                    self._missed(worker, keys[start:])
                    return
                yield

        self._spawn("caches_followed", lambda: in_slices(steps()))

    def _state(self, key: ReplicaKey) -> CacheFollowed:
        """As workers are to know it now."""
        return CacheFollowed(*key, *(self._followed[key].told if key in self._followed else (False, False)))

    def _follow(self, key: ReplicaKey, at: EventsAt) -> bool:
        """Follow one there; returns whether that is new."""
        followed = self._followed.get(key)
        if self._closed or (followed is not None and followed.at == at):
            return False
        self._leave([key])
        self._open(key, at)
        return True

    def _open(self, key: ReplicaKey, at: EventsAt) -> None:
        followed = self._followed[key] = _Followed(at)
        self._note(key, followed)
        try:
            followed.subscription = self._subscribe(
                at, lambda batch: self._apply(key, followed, batch), lambda empty: self._purge(key, followed, empty)
            )
        except OSError as error:
            log.warning("kv_events_not_followed", engine=key[0], replica=key[1], why=str(error))

    def _leave(self, keys: Collection[ReplicaKey]) -> None:
        """Follow these no more, and tell so before they may be followed anew."""
        there = [key for key in keys if key in self._followed]
        for key in there:
            self._close(key)
        self._tell_states([self._state(key) for key in there])

    def _close(self, key: ReplicaKey) -> None:
        followed = self._followed.pop(key)
        self._blocks -= len(followed.blocks)
        if followed.subscription is not None:
            followed.subscription.close()

    # -- what comes ----------------------------------------------------------------------------------------------------

    def _apply(self, key: ReplicaKey, followed: _Followed, batch: Batch) -> None:
        blocks = followed.blocks
        for event in batch.events:
            if isinstance(event, Cleared):
                self._purge(key, followed, True)
                continue
            if followed.full:
                continue
            before = len(blocks)
            if isinstance(event, Removed):
                self._touch(key, followed, blocks.remove(event), came=False)
            else:
                self._touch(key, followed, blocks.store(event), came=True)
            self._blocks += len(blocks) - before
        if self._blocks > self._most_blocks and not followed.full:
            log.warning("kv_events_not_followed", engine=key[0], replica=key[1], why="no room for more blocks")
            self._drop(followed, complete=False)
            followed.full = True
        self._note(key, followed)

    def _purge(self, key: ReplicaKey, followed: _Followed, empty: bool) -> None:
        self._drop(followed, complete=empty)
        followed.full = False
        followed.void = True
        self._note(key, followed)

    def _drop(self, followed: _Followed, *, complete: bool) -> None:
        self._blocks -= len(followed.blocks)
        followed.blocks.clear(complete=complete)
        followed.touched.clear()

    def _touch(self, key: ReplicaKey, followed: _Followed, names: list[int], *, came: bool) -> None:
        if not names:
            return
        for (engine, _), links in self._links.items():
            if engine == key[0]:
                for linked, _, _ in links.prompts(names).values():
                    before = followed.touched.get(id(linked))
                    followed.touched[id(linked)] = linked, came or (before is not None and before[1])

    # -- prompts and their tokens --------------------------------------------------------------------------------------

    def sampled(self, message: PromptSampled) -> None:
        """A worker sent this prompt to one of the replicas."""
        key = message.engine, message.replica
        followed = self._followed.get(key)
        now = self._loop.time()
        if followed is None or now < followed.counts_at_s:
            return
        question = tokenizable(message.operation, message.body)
        engine = dict(self._engines()).get(message.engine)
        if question is None or engine is None:
            return
        followed.counts_at_s = now + 1.0 / COUNTED_PER_S
        self._spawn("tokenize", lambda: self._count(key, followed, engine, message, question))

    async def _count(
        self, key: ReplicaKey, followed: _Followed, engine: Engine, message: PromptSampled, question: Tokenizable
    ) -> None:
        try:
            tokens = await tokenize(engine, key[1], question.body)
        except EngineError as error:
            if followed.counts:
                log.warning("tokens_not_counted", engine=key[0], replica=key[1], why=str(error))
            followed.counts = False
            followed.counts_at_s = self._loop.time() + RESTS_S
            self._note(key, followed)
            return
        followed.counts = True
        if followed.blocks.block_size:
            self._link((message.engine, message.model), chain_of(message.keys), tokens, question, key, followed)
        self._note(key, followed)

    def _link(
        self,
        model: tuple[str, str],
        chain: list[int],
        tokens: array[int],
        question: Tokenizable,
        key: ReplicaKey,
        sent_to: _Followed,
    ) -> None:
        size = sent_to.blocks.block_size
        names = token_keys(tokens, size)
        if not names or not chain:
            return
        links = self._links.setdefault(model, TokenLinks())
        linked = links.link(chain, names, size, len(tokens), question.prompt_bytes, question.bytes_before)
        for other, followed in self._followed.items():
            # The one it was sent to may not have stored it yet, and will tell when it has.
            if other[0] == key[0] and followed is not sent_to and followed.blocks.complete:
                followed.touched.setdefault(id(linked), (linked, False))
                self._note(other, followed)

    # -- telling -------------------------------------------------------------------------------------------------------

    def _note(self, key: ReplicaKey, followed: _Followed) -> None:
        """There may be something to tell of this one."""
        if not followed.noted:
            followed.noted = True
            self._news.append((key, followed))
        self._tell_in(self._coalesce_s)

    def _tell_in(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = self._loop.call_later(seconds, self._flush)

    def _flush(self) -> None:
        self._timer = None
        until_s = self._loop.time() + TOLD_S
        unheard, self._unheard = self._unheard, {}
        for worker in unheard.keys() & self._workers():
            self._tell_how(worker, list(unheard[worker]))
        states, changes = list[CacheFollowed](), list[CacheChange]()
        while self._news and len(changes) < MOST_CHANGES and self._loop.time() < until_s:
            key, followed = self._news.popleft()
            followed.noted = False
            if self._followed.get(key) is not followed:
                continue  # it has left
            if followed.void:
                followed.void = False
                changes.append(CacheChange(*key, b"", 0))
            state = True, followed.blocks.complete and followed.counts
            if state != followed.told:
                followed.told = state
                states.append(CacheFollowed(*key, *state))
            gone, came = list[CacheChange](), list[CacheChange]()
            while followed.touched and len(changes) + len(gone) + len(came) < MOST_CHANGES:
                _, (linked, new) = followed.touched.popitem()
                depth = linked.depth(followed.blocks.leading(list(linked.names)))
                gone.append(CacheChange(*key, array("Q", linked.chain).tobytes(), depth))
                if new and depth:
                    came.append(CacheChange(*key, array("Q", linked.chain[:depth]).tobytes(), depth))
                if self._loop.time() >= until_s:
                    break
            changes += gone + came
            if followed.touched:
                followed.noted = True
                self._news.append((key, followed))
        self._tell_states(states)
        if changes or self._owed:
            self._tell_changes(changes)
        if self._news:
            self._tell_in(0.0)

    def _tell_states(self, states: list[CacheFollowed]) -> None:
        for worker in self._workers() if states else ():
            if not self._tell(worker, CachesFollowed(states)):
                self._missed(worker, [(one.engine, one.replica) for one in states])

    def _missed(self, worker: str, keys: list[ReplicaKey]) -> None:
        self._unheard.setdefault(worker, {}).update(dict.fromkeys(keys))
        self._tell_in(self._coalesce_s)

    def _tell_changes(self, changes: list[CacheChange]) -> None:
        replicas = {(change.engine, change.replica) for change in changes}
        owed, self._owed = self._owed, {}
        for worker in self._workers():
            missed = owed.get(worker, set())
            forget = [CacheChange(*key, b"", 0) for key in sorted(missed)]
            if (forget or changes) and not self._tell(worker, CachesChanged(forget + changes)):
                self._owed[worker] = missed | replicas
        if self._owed:
            self._tell_in(self._coalesce_s)
