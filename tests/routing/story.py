"""A fleet in simulated time whose replicas do what a test says: who gets how much, and who is out when."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from routing.choosing.policy import choose
from routing.facts import RequestFacts
from routing.failing.blame import verdict_of
from routing.failing.ejection import EjectionSettings, ejections
from routing.failing.outcome import Outcome
from routing.fleet import ModelSpec, TargetSpec, build_fleet
from routing.lease import Lease, LeaseSeries
from routing.replicas.replica import ReplicaState
from routing.replicas.replica_table import ReplicaTable
from tests.routing.fleets import OPERATION, SPOKEN

PROMPT_TOKENS = 500


@dataclass(frozen=True)
class Does:
    """What a replica does with one request."""

    ttft_s: float = 0.05
    fails: bool = False
    """At that moment, with a 500; else it answers for `lasts_s`."""
    lasts_s: float = 1.0


Behaviour = Callable[[float, random.Random], Does]


def well(_now: float, rng: random.Random) -> Does:
    return Does(ttft_s=rng.uniform(0.04, 0.06))


def slow(times: float) -> Behaviour:
    return lambda _now, rng: Does(ttft_s=times * rng.uniform(0.04, 0.06))


def failing(share: float, after_s: float = 0.001) -> Behaviour:
    """Fails this share of its requests, and at once, so that it has little in flight."""

    def does(now: float, rng: random.Random) -> Does:
        return Does(after_s, fails=True) if rng.random() < share else well(now, rng)

    return does


def flapping(bad: Behaviour, every_s: float) -> Behaviour:
    return lambda now, rng: (bad if int(now / every_s) % 2 else well)(now, rng)


@dataclass
class Told:
    """What has happened."""

    sent: list[tuple[float, str]] = field(default_factory=list)
    """When, and to which replica."""
    failed: Counter[str] = field(default_factory=Counter)
    out: list[tuple[float, str, str, float]] = field(default_factory=list)
    """When, which replica, why, for how long."""
    most_out: int = 0

    def share(self, replica: str, from_s: float = 0.0, until_s: float = float("inf")) -> float:
        """Of the requests of that time, those that this replica got."""
        then = [to for at_s, to in self.sent if from_s <= at_s < until_s]
        return then.count(replica) / max(1, len(then))


class Story:
    """One tier of replicas `0`, `1`, ..., that do what `behaviours` say."""

    def __init__(
        self, policy: str, *behaviours: Behaviour, ejection: EjectionSettings | None = None, **model: float
    ) -> None:
        self.behaviours = list(behaviours)
        self.table = ReplicaTable()
        names = tuple(str(number) for number in range(len(behaviours)))
        target = TargetSpec("a", "up", names, SPOKEN)
        spec = ModelSpec("m", (target,), policy, ejection=ejection, **model)  # type: ignore[arg-type]
        self.route = build_fleet([spec], self.table).models["m"]
        self.states: dict[str, ReplicaState] = {state.key[1]: state for state in self.table}

    def run(
        self, seconds: float, per_s: float = 40.0, seed: int = 1, at: dict[float, Callable[[], None]] | None = None
    ) -> Told:
        """`at`: what happens when, besides."""
        rng, traffic, told, order = random.Random(seed), random.Random(seed + 1), Told(), count()
        events: list[tuple[float, int, Callable[[float], None]]] = []

        def later(at_s: float, what: Callable[[float], None]) -> None:
            heapq.heappush(events, (at_s, next(order), what))

        def request(now: float) -> None:
            if now < seconds:
                later(now + traffic.expovariate(per_s), request)
            self._send(now, rng, told, later)

        def look(now: float) -> None:
            if now < seconds:
                later(now + 1.0, look)
            self._look(now, told)

        for at_s, happens in (at or {}).items():
            later(at_s, lambda _now, happens=happens: happens())  # type: ignore[misc]
        later(0.0, request)
        later(0.5, look)
        while events:
            now, _, what = heapq.heappop(events)
            what(now)
        assert [state.in_flight_requests for state in self.table] == [0] * len(self.behaviours)
        return told

    def _send(
        self, now: float, rng: random.Random, told: Told, later: Callable[[float, Callable[[float], None]], None]
    ) -> None:
        facts = RequestFacts(OPERATION, PROMPT_TOKENS, 100)
        endpoint = choose(self.route, facts, now, rng)
        assert endpoint is not None, "the last one is never taken away"
        replica = endpoint.replica
        told.sent.append((now, replica))
        does = self.behaviours[int(replica)](now, rng)
        lease = Lease(endpoint.state, facts, now, None, LeaseSeries())

        def begins(at_s: float) -> None:
            if does.fails:
                told.failed[replica] += 1
                pools = self.route.whole.pools
                verdict = verdict_of(Outcome.SERVER_ERROR, endpoint, pools, False, at_s)
                lease.tell(verdict, at_s, rng, Outcome.SERVER_ERROR.value)
                lease.release(at_s)
            else:
                lease.first_byte()
                lease.works(at_s, rng)
                later(at_s + does.lasts_s, lambda end_s: void(lease.release(end_s)))

        later(now + does.ttft_s, begins)

    def _look(self, now: float, told: Told) -> None:
        for state in self.states.values():
            if 0.0 < state.ejected_until_s <= now and state.returned_s < state.ejected_until_s:
                state.readmit(now)
        for found in ejections([self.route], now):
            if found is not None:
                for_s = found.state.eject(now, found.base_s, found.max_s)
                told.out.append((now, found.state.key[1], found.reason, for_s))
        out = [state for state in self.states.values() if state.ejected_until_s > now]
        told.most_out = max(told.most_out, len(out))


def void(_result: object) -> None: ...
