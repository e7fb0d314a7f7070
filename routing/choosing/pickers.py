"""How one endpoint is picked from the pool of one tier.

A picker is built once per pool, so anything that depends only on the pool is computed then. In the common case (all
endpoints available, weights equal) a pick looks at two endpoints at most and allocates nothing.

Weights are relative capacity: loads are compared per unit of weight, and chances are proportional to weight.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from typing import Final, Protocol

from routing.choosing.costs import LeastCost
from routing.choosing.opinion import Opinion
from routing.choosing.terms import Terms
from routing.choosing.usable import draw, is_panic, usable
from routing.facts import RequestFacts
from routing.model import (
    CHEAPEST,
    LATENCY,
    LEAST_LOAD,
    PREFIX,
    RANDOM,
    ROUND_ROBIN,
    SESSION,
    SLO,
    WEIGHTED,
    Endpoint,
)
from routing.replicas.replica_table import ReplicaTable


class Picker(Protocol):
    """Picks from the pool it was built for."""

    __slots__ = ()

    def pick(
        self, facts: RequestFacts, now: float, rng: random.Random, skip: Collection[Endpoint] = ()
    ) -> Endpoint | None:
        """An endpoint that is available at `now` and not in `skip`; None when there is none."""

    def late(self, endpoint: Endpoint, facts: RequestFacts, now: float) -> bool:
        """Whether the one just picked would answer later than it should, so that the next tier's may be asked."""

    def ttft_ms(self, endpoint: Endpoint, facts: RequestFacts, now: float) -> float:
        """When the first token of the one just picked should come; 0 where the policy does not predict it."""

    def overflows(self, now: float) -> bool:
        """Whether lately something was late for want of engines, and not for its size."""

    def tries(self) -> bool:
        """Whether this one of those that would be late is sent all the same (`routing.choosing.overflow`)."""

    def soonest(self, facts: RequestFacts, now: float, skip: Collection[Endpoint] = ()) -> Endpoint | None:
        """Whose first token should come first, of those available and not in `skip`, whatever else it costs; None where
        there is none, or the policy predicts it of nobody. Call `pick` first."""

    def home(self, facts: RequestFacts, now: float) -> Endpoint | None:
        """The home of the request's conversation, or of its prompt, as every gateway would say; None where the policy
        gives it none, or nobody chooses beside us."""

    def opinion(self, facts: RequestFacts, now: float, rng: random.Random, skip: Collection[Endpoint] = ()) -> Opinion:
        """What `pick` would do now, and why. Changes nothing."""


CHEAPEST_MS_PER_USD: Final = 1e7
"""A thousand tokens of a cheap hosted model, 0.1 cents, weigh as much as 10 s: price decides, time between equals."""


class UnknownPolicyError(ValueError):
    """The configuration names a policy that does not exist."""


class WithoutForecast(Picker):
    """A picker that predicts nobody's first token and knows no objective, so that nothing it picks is late."""

    __slots__ = ("_even", "_pool")

    def __init__(self, pool: Sequence[Endpoint]) -> None:
        self._pool = tuple(pool)
        self._even = all(endpoint.weight == pool[0].weight for endpoint in pool)

    def late(self, endpoint: Endpoint, facts: RequestFacts, now: float) -> bool:
        return False

    def ttft_ms(self, endpoint: Endpoint, facts: RequestFacts, now: float) -> float:
        return 0.0

    def overflows(self, now: float) -> bool:
        return False

    def tries(self) -> bool:
        return False

    def soonest(self, facts: RequestFacts, now: float, skip: Collection[Endpoint] = ()) -> Endpoint | None:
        return None

    def home(self, facts: RequestFacts, now: float) -> Endpoint | None:
        return None


class LeastLoad(WithoutForecast):
    """Power of two choices on in-flight tokens (Mitzenmacher, "The Power of Two Choices", 2001).

    Two distinct endpoints are drawn at random and the one with fewer tokens in flight (ours and, as last told, other
    workers') is taken; then fewer requests; then chance. Tokens rather than requests because prompts differ by a
    factor of a thousand. Two rather than the minimum of all because several workers with slightly old figures would
    all rush to the same minimum. One that has failed just now loses to one that has not: it only looks idle.
    """

    __slots__ = ("_size", "_slow_start_s")

    def __init__(self, pool: Sequence[Endpoint], slow_start_s: float = 0.0) -> None:
        """`slow_start_s`: over how long a replica that came, or came back, counts for less than it is."""
        super().__init__(pool)
        self._slow_start_s = slow_start_s
        self._size = len(self._pool)

    def opinion(self, facts: RequestFacts, now: float, rng: random.Random, skip: Collection[Endpoint] = ()) -> Opinion:
        return Opinion(self.pick(facts, now, rng, skip), "with fewer tokens in flight, of two drawn at random")

    def pick(
        self, facts: RequestFacts, now: float, rng: random.Random, skip: Collection[Endpoint] = ()
    ) -> Endpoint | None:
        pool = self._pool
        if self._even and not skip and self._size > 1:
            # Both drawn from the whole pool and both usable: then the pair is a fair draw among the usable ones too.
            if self._size == 2:
                a, b = pool
            else:
                i = int(rng.random() * self._size)
                j = int(rng.random() * (self._size - 1))
                a, b = pool[i], pool[j + 1 if j >= i else j]
            if a.state.available(now) and b.state.available(now):
                return self._lighter(a, b, now, rng)
        elif self._size == 1:  # a hosted provider, mostly
            (a,) = pool
            return a if a.state.available(now) and a not in skip else None
        left = usable(pool, now, skip)
        if len(left) < 2:
            return left[0] if left else None
        if len(left) == 2:
            a, b = left
        else:
            a = draw(left, rng)
            left.remove(a)
            b = draw(left, rng)
        return self._lighter(a, b, now, rng)

    def _lighter(self, a: Endpoint, b: Endpoint, now: float, rng: random.Random) -> Endpoint:
        if not self._slow_start_s:
            return _lighter(a, b, a.weight, b.weight, now, rng)
        share_a, share_b = a.state.share(now, self._slow_start_s), b.state.share(now, self._slow_start_s)
        return _lighter(a, b, a.weight * share_a, b.weight * share_b, now, rng)


class RoundRobin(WithoutForecast):
    """Each usable endpoint in turn. With unequal weights, nginx's smooth weighted order (a a b a, not a a a b)."""

    __slots__ = ("_credit", "_next")

    def __init__(self, pool: Sequence[Endpoint]) -> None:
        super().__init__(pool)
        self._next = 0
        self._credit = [0.0] * len(self._pool)

    def opinion(self, facts: RequestFacts, now: float, rng: random.Random, skip: Collection[Endpoint] = ()) -> Opinion:
        turn, credit = self._next, list(self._credit)
        chosen = self.pick(facts, now, rng, skip)
        self._next, self._credit = turn, credit
        return Opinion(chosen, "whose turn it is")

    def pick(
        self, facts: RequestFacts, now: float, rng: random.Random, skip: Collection[Endpoint] = ()
    ) -> Endpoint | None:
        pool = self._pool
        if not self._even:
            return self._pick_smooth(now, skip)
        size = len(pool)
        panic = False
        for step in range(size):
            i = (self._next + step) % size
            endpoint = pool[i]
            if not endpoint.state.available(now):
                if not (panic or is_panic(pool)):
                    continue
                panic = True
                if not endpoint.state.last_resort(now):
                    continue
            if endpoint not in skip:
                self._next = i + 1
                return endpoint
        return None

    def _pick_smooth(self, now: float, skip: Collection[Endpoint]) -> Endpoint | None:
        best = -1
        total = 0.0
        left = usable(self._pool, now, skip)
        for i, endpoint in enumerate(self._pool):
            if endpoint not in left:
                continue
            total += endpoint.weight
            self._credit[i] += endpoint.weight
            if best < 0 or self._credit[i] > self._credit[best]:
                best = i
        if best < 0:
            return None
        self._credit[best] -= total
        return self._pool[best]


class Random(WithoutForecast):
    """Any usable endpoint, with a chance proportional to its weight."""

    __slots__ = ()

    def opinion(self, facts: RequestFacts, now: float, rng: random.Random, skip: Collection[Endpoint] = ()) -> Opinion:
        return Opinion(self.pick(facts, now, rng, skip), "drawn at random, by weight")

    def pick(
        self, facts: RequestFacts, now: float, rng: random.Random, skip: Collection[Endpoint] = ()
    ) -> Endpoint | None:
        pool = self._pool
        if self._even and not skip and len(pool) > 1:
            endpoint = pool[int(rng.random() * len(pool))]
            if endpoint.state.available(now):
                return endpoint
        left = usable(pool, now, skip)
        if len(left) < 2:
            return left[0] if left else None
        return draw(left, rng)


PICKERS: dict[str, Callable[[Sequence[Endpoint]], Picker]] = {
    LEAST_LOAD: LeastLoad,
    ROUND_ROBIN: RoundRobin,
    WEIGHTED: RoundRobin,
    RANDOM: Random,
}
"""Policies that compare nothing but load: name in the configuration -> how to build its picker for a pool."""

TERMS: dict[str, Terms] = {
    LATENCY: Terms(),
    PREFIX: Terms(caches=True),
    SESSION: Terms(session=True),
    CHEAPEST: Terms(caches=True, ms_per_usd=CHEAPEST_MS_PER_USD),
    SLO: Terms(caches=True),
}
"""Policies that take the endpoint of least cost: name in the configuration -> what counts."""

POLICIES: tuple[str, ...] = (*sorted(PICKERS), *sorted(TERMS))


def terms_of(
    policy: str, ms_per_usd: float | None, slo_ttft_ms: float | None, slow_start_s: float = 0.0
) -> Terms | None:
    """What counts under a policy; None for one that compares only load. Raises UnknownPolicyError, naming the known.

    A model's objective makes requests overflow only under `slo`; under all others it is for whoever reads figures.
    """
    terms = TERMS.get(policy)
    if terms is None:
        if policy not in PICKERS:
            raise UnknownPolicyError(f"unknown policy {policy[:64]!r}; known policies: {', '.join(POLICIES)}")
        return None
    return Terms(
        terms.caches,
        terms.session,
        terms.ms_per_usd if ms_per_usd is None else ms_per_usd,
        slow_start_s,
        slo_ttft_ms if policy == SLO else None,
    )


def build_picker(
    policy: str,
    terms: Terms | None,
    pool: Sequence[Endpoint],
    table: ReplicaTable,
    slow_start_s: float = 0.0,
) -> Picker:
    """The picker for `pool`, whose replicas are in `table`, which says who else chooses among them.

    `slow_start_s` is for policies that compare load; those without ignore it.
    """
    if terms is not None:
        return LeastCost(pool, table, terms)
    return LeastLoad(pool, slow_start_s) if policy == LEAST_LOAD else PICKERS[policy](pool)


def _lighter(a: Endpoint, b: Endpoint, weight_a: float, weight_b: float, now: float, rng: random.Random) -> Endpoint:
    sa, sb = a.state, b.state
    if sa.failed_until_s != sb.failed_until_s:  # mostly, both are 0
        failing = sa.failed_until_s > now
        if failing != (sb.failed_until_s > now):
            return b if failing else a
    if sa.scarce_until_s != sb.scarce_until_s and (sa.scarce_until_s > now or sb.scarce_until_s > now):
        return a if sa.scarce_until_s < sb.scarce_until_s else b
    # Cross-multiplied, so that equal integer loads compare as equal without a division.
    load_a = (sa.in_flight_tokens + sa.remote_tokens) * weight_b
    load_b = (sb.in_flight_tokens + sb.remote_tokens) * weight_a
    if load_a == load_b:
        load_a = sa.in_flight_requests * weight_b
        load_b = sb.in_flight_requests * weight_a
        if load_a == load_b:
            return a if rng.random() * (weight_a + weight_b) < weight_a else b
    return a if load_a < load_b else b
