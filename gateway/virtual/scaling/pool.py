"""A pool of modelled replicas (`engines.simulator.core`) that a rule makes larger and smaller, in virtual time.

One queue in front of all, first come first served: a replica gets the next request while it has less than two prompts
to compute, so whoever comes to serve takes its part of a backlog at once. Every rule meets the same: what starts takes
its time and is paid for from when it is asked for; what goes gets nothing new, finishes what it has, and is paid until
then; of those that may go, those that are starting go first.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from engines.simulator.core import SimRequest, SimulatorCore
from gateway.virtual.fleet.replicas import Gpu
from gateway.virtual.scaling.rules import Rule
from gateway.virtual.scaling.seen import Second, Seen
from gateway.virtual.trace import Call, seeded
from routing.autoscale.removal import Removable, removed

PROMPTS_AT_ONCE: Final = 2
"""That a replica has to compute, so that it never waits for the next."""
LAST_ANSWERS_S: Final = 10.0
"""After the last arrival, that first tokens still count."""
REPLICA: Final = Gpu(
    prefill_tokens_per_s=4_000.0, cache_tokens=48_000, itl_ms=23.0, time_factor_under_load=1.0, max_num_seqs=64
)
"""A large model on one node: 16 requests at once are 80 % of what it can do on these traces."""

Starts = Callable[[int], float]
"""Of the n-th replica, in how many seconds it serves; infinite: it never does."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for every rule alike."""

    startup_s: float
    least: int = 0
    most: int = 16
    initial: int = 2
    gpu: Gpu = REPLICA
    starts: Starts | None = None
    """None: all take `startup_s`, give or take a tenth."""


@dataclass(slots=True)
class Played:
    """What became of one run."""

    ttfts_s: list[float]
    """In the order of arrival."""
    replica_s: float
    changes: list[tuple[float, int, int]] = field(default_factory=list)
    """When, from how many that are wanted, to how many."""
    killed_running: int = 0
    """Replicas sent away while they served, though others were only starting."""
    most: int = 0
    unanswered: int = 0


class _Replica:
    __slots__ = ("asked_s", "core", "id", "in_flight", "leaving", "prompts", "ready", "serves_s")

    def __init__(self, id: int, core: SimulatorCore, asked_s: float, serves_s: float) -> None:
        self.id = id
        self.core = core
        self.asked_s = asked_s
        self.serves_s = serves_s
        self.ready = False
        self.leaving = False
        self.prompts = 0
        self.in_flight = 0


class ElasticPool:
    """One run: made, played once."""

    def __init__(self, rule: Rule, terms: Terms, seed: int) -> None:
        self._rule = rule
        self._terms = terms
        self._seed = seed
        self._replicas: dict[int, _Replica] = {}
        self._made = 0
        self._queue: deque[tuple[Call, int]] = deque()
        self._events: list[tuple[float, int]] = []
        self._due: dict[int, float] = {}
        self._joins: list[tuple[float, int]] = []
        self._seen = Seen(prefill_tokens_per_s=terms.gpu.prefill_tokens_per_s)
        self._played = Played([], 0.0)
        self._wanted = terms.initial
        self._jitter = seeded(seed, "start-ups")
        for _ in range(terms.initial):
            self._start(0.0, at_once=True)

    def play(self, calls: Sequence[Call], *, last_s: float = 0.0) -> Played:
        """Play a trace. Time ends with the last arrival, or at `last_s`."""
        played = self._played
        played.ttfts_s = [math.inf] * len(calls)
        end_s = max(last_s, calls[-1].at_s if calls else 0.0)
        tick_s, second_s, at = 0.0, 0.0, 0
        while True:
            call_s = calls[at].at_s if at < len(calls) else math.inf
            now = min(call_s, tick_s, second_s)
            if now > end_s:
                break
            self._run_to(now)
            if now == second_s:
                self._look(now)
                second_s += 1.0
            elif now == tick_s:
                self._decide(now)
                tick_s += self._rule.tick_s
            else:
                self._arrived(calls[at], at)
                at += 1
        self._run_to(end_s)
        paid_s = played.replica_s + sum([end_s - one.asked_s for one in self._replicas.values()])
        self._run_to(end_s + LAST_ANSWERS_S)
        played.replica_s = paid_s
        played.unanswered = len(self._queue) + sum([one.in_flight for one in self._replicas.values()])
        return played

    # -- requests ------------------------------------------------------------------------------------------------------

    def _arrived(self, call: Call, index: int) -> None:
        seen = self._seen
        seen.arrived_requests += 1
        seen.arrived_tokens += call.arrival.input_tokens
        seen.backlog_tokens += call.arrival.input_tokens
        seen.backlog_requests += 1
        seen.in_flight += 1
        self._queue.append((call, index))
        self._dispatch(call.at_s)

    def _dispatch(self, now: float) -> None:
        queue = self._queue
        while queue:
            free = [
                one
                for one in self._replicas.values()
                if one.ready and not one.leaving and one.prompts < PROMPTS_AT_ONCE
            ]
            if not free:
                return
            replica = min(free, key=lambda one: (one.prompts, one.in_flight, one.id))
            call, index = queue.popleft()
            arrival = call.arrival
            request = SimRequest(
                index,
                arrival.input_tokens,
                arrival.output_tokens,
                call.chain.keys,
                paced=False,
                owner=(replica, call),
            )
            replica.prompts += 1
            replica.in_flight += 1
            replica.core.submit(request, now)
            self._watch(replica)

    def _watch(self, replica: _Replica) -> None:
        at_s = replica.core.next_event_time()
        if at_s is None:
            self._due.pop(replica.id, None)
        elif at_s != self._due.get(replica.id):
            self._due[replica.id] = at_s
            heapq.heappush(self._events, (at_s, replica.id))

    def _run_to(self, now: float) -> None:
        """Everything due until now, in the order of time: what engines say, and replicas that come to serve."""
        events, joins = self._events, self._joins
        while True:
            if joins and joins[0][0] <= now and (not events or joins[0][0] <= events[0][0]):
                at_s, id = heapq.heappop(joins)
                self._joined(id, at_s)
            elif events and events[0][0] <= now:
                at_s, id = heapq.heappop(events)
                if self._due.get(id) == at_s:
                    del self._due[id]
                    self._advance(self._replicas[id], at_s)
            else:
                return

    def _advance(self, replica: _Replica, at_s: float) -> None:
        seen = self._seen
        freed = False
        for request, start, tokens, emitted_s, gap_s, finished in replica.core.advance(at_s):
            call: Call = request.owner[1]
            if not start:
                ttft_s = emitted_s - call.at_s
                self._played.ttfts_s[request.id] = ttft_s
                seen.ttfts.append((emitted_s, ttft_s))
                seen.backlog_tokens -= call.arrival.input_tokens
                seen.backlog_requests -= 1
                replica.prompts -= 1
                freed = True
            else:
                seen.tpots.append((emitted_s, gap_s / tokens))
            if finished:
                replica.in_flight -= 1
                seen.in_flight -= 1
        self._watch(replica)
        if replica.leaving and not replica.in_flight:
            self._gone(replica, at_s)
        elif freed and self._queue:
            self._dispatch(at_s)

    # -- replicas ------------------------------------------------------------------------------------------------------

    def _start(self, now: float, *, at_once: bool = False) -> None:
        terms, id = self._terms, self._made
        self._made += 1
        takes_s = terms.startup_s * (0.9 + 0.2 * self._jitter.random())
        if terms.starts is not None:
            takes_s = terms.starts(id)
        serves_s = now if at_once else now + takes_s
        core = SimulatorCore(terms.gpu.settings(), seeded(self._seed, "replica", id))
        self._replicas[id] = _Replica(id, core, now, serves_s)
        if serves_s < math.inf:
            heapq.heappush(self._joins, (serves_s, id))

    def _joined(self, id: int, now: float) -> None:
        replica = self._replicas.get(id)
        if replica is not None:
            replica.ready = True
            if now > replica.asked_s:
                self._rule.started(now - replica.asked_s)
            self._dispatch(now)

    def _gone(self, replica: _Replica, now: float) -> None:
        self._played.replica_s += now - replica.asked_s
        del self._replicas[replica.id]
        self._due.pop(replica.id, None)

    def _decide(self, now: float) -> None:
        terms = self._terms
        self._refresh(now)
        wanted = min(terms.most, max(terms.least, self._rule.wanted(self._seen)))
        if wanted != self._wanted:
            self._played.changes.append((now, self._wanted, wanted))
            self._wanted = wanted
        self._played.most = max(self._played.most, wanted)
        staying = [one for one in self._replicas.values() if not one.leaving]
        for _ in range(wanted - len(staying)):
            self._start(now)
        if wanted < len(staying):
            candidates = [Removable(str(one.id), one.ready, one.in_flight, one.asked_s) for one in staying]
            gone = [self._replicas[int(id)] for id in removed(candidates, len(staying) - wanted)]
            still = sum([not one.ready for one in staying]) - sum([not one.ready for one in gone])
            for one in gone:
                self._played.killed_running += one.ready and still > 0
                one.leaving = True
                if not one.in_flight:
                    self._gone(one, now)

    def _refresh(self, now: float) -> None:
        seen = self._seen
        staying = [one for one in self._replicas.values() if not one.leaving]
        seen.now = now
        seen.ready = sum([one.ready for one in staying])
        expected_s = self._terms.startup_s
        seen.starting_s = [expected_s - (now - one.asked_s) for one in staying if not one.ready]
        seen.failing = sum([not one.ready and now - one.asked_s > 5.0 * expected_s for one in staying])

    def _look(self, now: float) -> None:
        self._refresh(now)
        ready = [one for one in self._replicas.values() if one.ready and not one.leaving]
        running = sum([one.core.running for one in self._replicas.values()])
        self._seen.seconds.append(
            Second(
                len(ready),
                running,
                self._seen.in_flight - running,
                [one.core.cache.usage_ratio for one in ready],
                self._seen.backlog_tokens,
            )
        )
