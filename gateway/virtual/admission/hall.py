"""Admission on a fleet whose service times are known exactly, so that every decision can be judged.

A replica has so many places; a request in one takes `base + prompt * prefill + (output - 1) * tpot`, whatever else
runs.
`routing`'s own line, leases and learned rates decide, as `gateway/waiting.py` has them decide. An oracle that knows the
exact times of everything that runs and waits says of each request, when it comes, whether it could meet its deadline.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil
from typing import Final

from routing.choosing.policy import choose_with_room
from routing.facts import RequestFacts
from routing.fleet import ModelSpec, TargetSpec, build_route
from routing.lease import Lease, LeaseSeries
from routing.model import Endpoint
from routing.replicas.replica_table import ReplicaTable
from routing.waiting.admission import AdmissionSettings, Refusal, foreseen
from routing.waiting.service import takes_s
from routing.waiting.turns import Ticket

OPERATION: Final = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Places:
    """The modelled fleet."""

    replicas: int = 4
    each: int = 8
    """Requests that one replica runs at once."""
    base_ms: float = 40.0
    prefill_ms_per_token: float = 0.02
    tpot_ms: float = 20.0

    def takes_s(self, ask: Ask) -> float:
        """Exactly."""
        decode_ms = max(0, ask.output_tokens - 1) * self.tpot_ms
        return (self.base_ms + ask.prompt_tokens * self.prefill_ms_per_token + decode_ms) * 1e-3

    def first_s(self, ask: Ask) -> float:
        """Until its first token."""
        return (self.base_ms + ask.prompt_tokens * self.prefill_ms_per_token) * 1e-3


@dataclass(slots=True, eq=False)
class Ask:
    """One request, and what became of it."""

    at_s: float
    prompt_tokens: int
    output_tokens: int
    max_tokens: int
    tenant: str = ""
    allowed_s: float | None = None
    """From its coming to its last token; None: it waits as long as it must."""
    feasible: bool = True
    """What the oracle said when it came."""
    admitted: bool = False
    started_s: float | None = None
    ended_s: float | None = None
    priority: int = 0
    patience_s: float | None = None
    """How long its client waits; None: for ever."""
    comes_back: bool = False
    """Whether it comes again when it is told to."""
    told_s: list[float] = field(default_factory=list)
    """Each Retry-After that it got."""

    @property
    def wait_s(self) -> float | None:
        return None if self.started_s is None else self.started_s - self.at_s


@dataclass(slots=True)
class _Run:
    """One request in a place."""

    ask: Ask
    facts: RequestFacts
    endpoint: Endpoint
    lease: Lease


class Hall:
    """The fleet and its line, in virtual time. For one run."""

    def __init__(self, places: Places, settings: AdmissionSettings, seed: int = 0) -> None:
        self.places = places
        names = tuple(str(number) for number in range(places.replicas))
        targets = (TargetSpec("fleet", "m", names, frozenset({OPERATION})),)
        self._route = build_route(ModelSpec("m", targets, admission=settings), ReplicaTable())
        self._rng = random.Random(seed)  # noqa: S311 - a simulation
        self._events: list[tuple[float, int, object]] = []
        self._order = 0
        self._ends: dict[Ask, float] = {}
        """When each that runs will be over, exactly."""
        self._queue: dict[Ask, Ticket] = {}
        self._count = LeaseSeries()

    def play(self, asks: Iterable[Ask]) -> list[Ask]:
        """All of them, each when it comes; returns them when the last has left."""
        everyone = list(asks)
        for ask in everyone:
            self._at(ask.at_s, ask)
        while self._events:
            now, _, what = heapq.heappop(self._events)
            if isinstance(what, Ask):
                self._comes(what, now)
            elif isinstance(what, Ticket):
                self._overdue(what)
            elif isinstance(what, _Run):
                self._step(what, now)
        return everyone

    def _at(self, at_s: float, what: object) -> None:
        self._order += 1
        heapq.heappush(self._events, (at_s, self._order, what))

    def _comes(self, ask: Ask, now: float) -> None:
        route, line = self._route, self._route.line
        facts = RequestFacts(OPERATION, ask.prompt_tokens, route.tokens.output_tokens(ask.max_tokens))
        facts.tenant, facts.priority = ask.tenant, ask.priority
        if ask.allowed_s is not None:
            facts.deadline_s = now + ask.allowed_s
        endpoint, room = choose_with_room(route, facts, now, self._rng)
        assert endpoint is not None
        room = room and not line.waiting
        ask.feasible = self._could(ask, now, room)
        in_flight = 0 if room else sum([one.state.in_flight_requests for one in route.endpoints()])
        answer = line.offer(facts, ask, now, room, takes_s(facts, endpoint.state), in_flight)
        if isinstance(answer, Refusal):
            ask.told_s.append(float(ceil(answer.retry_after_s)))
            if ask.comes_back:
                self._at(now + ask.told_s[-1], ask)
            return
        ask.admitted = True
        if answer is None:
            self._start(ask, facts, endpoint, now)
        else:
            self._queue[ask] = answer
            leaves_s = answer.deadline_s if ask.patience_s is None else min(answer.deadline_s, now + ask.patience_s)
            self._at(leaves_s, answer)

    def _could(self, ask: Ask, now: float, room: bool) -> bool:
        """The oracle: whether it can be over in time, if it goes when its turn comes."""
        if ask.allowed_s is None:
            return True
        start_s = now
        if not room:
            ahead = [self.places.takes_s(other) for other, ticket in self._queue.items() if ticket.waits]
            start_s = foreseen(ahead, list(self._ends.values()))
        return start_s + self.places.takes_s(ask) <= now + ask.allowed_s

    def _start(self, ask: Ask, facts: RequestFacts, endpoint: Endpoint, now: float) -> None:
        self._route.line.started(ask, now + takes_s(facts, endpoint.state))
        ask.started_s = now
        self._ends[ask] = now + self.places.takes_s(ask)
        lease = Lease(endpoint.state, facts, now, None, self._count)
        self._at(now + self.places.first_s(ask), _Run(ask, facts, endpoint, lease))

    def _step(self, run: _Run, now: float) -> None:
        ask, state = run.ask, run.endpoint.state
        end_s = self._ends[ask]
        if now < end_s:
            run.lease.first_byte()
            run.lease.works(now, self._rng)
            self._at(end_s, run)
            return
        ask.ended_s = now
        del self._ends[ask]
        run.lease.first_byte()
        run.lease.works(now, self._rng)
        run.lease.release(now)
        if ask.output_tokens > 1:
            state.decode.learn(self.places.tpot_ms, now)
        cut = ask.output_tokens == ask.max_tokens
        self._route.tokens.learn(4 * ask.prompt_tokens, ask.prompt_tokens, ask.output_tokens, now, cut)
        self._route.line.ended(ask)
        self._pump(now)

    def _pump(self, now: float) -> None:
        line = self._route.line
        while (ticket := line.first()) is not None:
            endpoint, room = choose_with_room(self._route, ticket.facts, now, self._rng)
            if endpoint is None or not room:
                return
            line.next(now)
            ask = ticket.owner
            assert isinstance(ask, Ask)
            del self._queue[ask]
            self._start(ask, ticket.facts, endpoint, now)

    def _overdue(self, ticket: Ticket) -> None:
        if ticket.waits:
            self._route.line.withdraw(ticket)
            ask = ticket.owner
            assert isinstance(ask, Ask)
            del self._queue[ask]
