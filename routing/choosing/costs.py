"""The cost of an endpoint for a request, in milliseconds, and the pickers that take the cheapest one.

    queue      what has to be prefilled there before it, at the rate the replica was seen to prefill at
    prefill    what of its own prompt is not in the replica's cache, at the same rate
    others     the same again, at the pool's mean rate: `OTHERS_ROOMY` times, as a prefill done twice is time taken from
               whoever comes next, so less of it where fewer go than elsewhere; up to `OTHERS` times the more crowded
               the pool's caches are, as a cache filled twice holds half as much
    eviction   where caches are crowded the same once more, if this one is full, since something else will have to be
               prefilled again then; less of it where it is less full, so that caches fill alike
    load       `LOAD_MS` for each request in flight, foreign ones too: they decode together; up to `LOAD_ROOMY_MS` the
               roomier caches are: who has many is sent more. Each foreign one that waits: a prompt as usual there
    failures   until `failed_until_s`: a replica that fails at once has nothing in flight, and is not idle. While more
               than one is to be got over, it is not taken to hold anything, nor to be anybody's home
    limits     what is left of the wait for a provider's limits, the nearer their end (`routing.replicas.quota`)
    affinity   less on the home of its conversation, or, where several choose who share no index, of its beginning, and
               on who holds that (`homes.py`)
    start      where engines differ: what a request takes on each without any of the above
    zone       what it costs more where the replica is in another zone
    price      what the tokens cost there, at so many milliseconds a US dollar
    lateness   `LATENESS` times what it would be later than the model's objective

One unit, so that no score has to be weighed against another: `uncached tokens * (1 + load)` of SGLang's lmetric and the
linear cost of NVIDIA Dynamo are the same idea without the terms for others, and give up affinity too early: with what a
request costs its successors left out, a hot prefix is computed again wherever it is idle (`penstock simulate-routing`).
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Collection, Sequence
from typing import Final

from routing.choosing.homes import Homes
from routing.choosing.opinion import Cost, Opinion
from routing.choosing.overflow import Overflow
from routing.choosing.terms import LATENESS, Terms, shares_of_load, usd_of
from routing.choosing.usable import draw, usable
from routing.facts import RequestFacts
from routing.model import Endpoint
from routing.prefix.index import PrefixIndex
from routing.prefix.match import slots_in
from routing.replicas.rates import together
from routing.replicas.replica import FAILED_S
from routing.replicas.replica_table import ReplicaTable

OTHERS: Final = 4.0
OTHERS_ROOMY: Final = 1.0
CROWDED: Final = 0.1
"""What part of the hits a quarter of the room would lose where all of `OTHERS` counts (`PrefixIndex.crowding`). For 48
hot prompts it is .17 on 4 replicas with room for 16 each, and under .02 on 16 of them."""
EVICTION: Final = 1.0
LOAD_MS: Final = 1.0
LOAD_ROOMY_MS: Final = 4.0
_LOOK_AGAIN_S: Final = 0.1
"""How old the pool's mean rate, how crowded its caches are, who is full, and what engines say of their load may be."""


class LeastCost:
    """The endpoint with the least cost. Ties go to the first one after a random place, drawn by weight."""

    __slots__ = (
        "_by_slot",
        "_engines",
        "_even",
        "_foreign_ms",
        "_fresh_per_token",
        "_further",
        "_homes",
        "_index",
        "_least_foreign_ms",
        "_least_per_token",
        "_load_ms",
        "_mixed",
        "_ms_per_usd",
        "_next_s",
        "_others_per_token",
        "_overflow",
        "_per_token",
        "_places",
        "_pool",
        "_rates",
        "_session",
        "_slo_ms",
        "_slots",
        "_slow_start_s",
        "_states",
        "_table",
    )

    def __init__(self, pool: Sequence[Endpoint], table: ReplicaTable, terms: Terms) -> None:
        self._pool = tuple(pool)
        self._table = table
        self._engines = tuple({endpoint.engine: None for endpoint in pool})
        self._states = tuple([endpoint.state for endpoint in pool])
        self._even = all(endpoint.weight == pool[0].weight for endpoint in pool)
        self._mixed = len(self._engines) > 1
        self._session = terms.session
        self._ms_per_usd = terms.ms_per_usd
        self._slo_ms = terms.slo_ttft_ms
        self._slow_start_s = terms.slow_start_s
        zoned = any(endpoint.away_ms for endpoint in pool)
        self._further = self._mixed or zoned or terms.ms_per_usd > 0.0 or terms.slo_ttft_ms is not None
        """Whether any of the rarer terms counts (`_further_ms`)."""
        self._overflow = None if terms.slo_ttft_ms is None else Overflow(terms.slo_ttft_ms)
        self._index: PrefixIndex | None = table.prefixes if terms.caches else None
        self._by_slot: dict[int, list[int]] = {}
        self._slots = 0
        self._homes: Homes | None = Homes(pool, session=True) if terms.session and pool else None
        """Of prompts only where others choose who share no index."""
        if terms.caches:
            for at, endpoint in enumerate(self._pool):
                slot = table.slot_of(endpoint.state)
                self._by_slot.setdefault(slot, []).append(at)
                self._slots |= 1 << slot
        self._places = list(range(len(self._pool)))
        self._rates = [state.prefill.ms_per_token for state in self._states]
        """How long each takes to prefill a token, as all of them together make it likely."""
        self._per_token = [0.0] * len(self._pool)
        self._others_per_token = [0.0] * len(self._pool)
        self._fresh_per_token = [0.0] * len(self._pool)
        """What a token that nobody holds costs more there: it is not computed twice, wherever that is."""
        self._foreign_ms = [0.0] * len(self._pool)
        self._least_foreign_ms = self._least_per_token = 0.0
        """Under what no endpoint is, of the load of others and of what a token costs."""
        self._load_ms = LOAD_MS
        self._next_s = float("-inf")

    def pick(
        self, facts: RequestFacts, now: float, rng: random.Random, skip: Collection[Endpoint] = ()
    ) -> Endpoint | None:
        pool = self._pool
        size = len(pool)
        if size == 1:  # a hosted provider, mostly; but what it was sent is worth knowing when others join
            only = usable(pool, now, skip)
            if self._index is not None:
                facts.matched(self._index)
            return only[0] if only else None
        if now >= self._next_s:
            self._look(now)
        cached = self._cached(facts)
        favoured, favour_ms = (-1, 0.0) if self._homes is None else self._homes.of(facts, now)
        drawn = -1.0
        if self._even:
            drawn = rng.random()
            start = int(drawn * size)
            first = pool[start]
            if first.state.available(now) and first not in skip:  # else whoever is after it would be drawn twice
                at = self._near(facts, cached, favoured, favour_ms, start, now)
                if at < 0:
                    places = self._places
                    at = self._cheapest(places[start:] + places[:start], facts, cached, favoured, favour_ms, now)[0]
                chosen = pool[at]
                # The cheapest of all is the cheapest of those that may be asked, if it may be; in a panic too.
                if chosen.state.available(now) and chosen not in skip:
                    return chosen
            drawn = rng.random()
        asked = usable(pool, now, skip)
        if not asked:
            return None
        places = self._places
        if len(asked) != size:
            left = set(asked)
            places = [at for at, one in enumerate(pool) if one in left]
        if self._even:
            start = int(drawn * len(places))
        else:
            one = draw(asked, rng)
            start = next(step for step, at in enumerate(places) if pool[at] is one)
        return pool[self._cheapest(places[start:] + places[:start], facts, cached, favoured, favour_ms, now)[0]]

    def _near(
        self, facts: RequestFacts, cached: list[int], favoured: int, favour_ms: float, start: int, now: float
    ) -> int:
        """The cheapest, if it is one of the few that hold something of the prompt; else -1.

        None of the others can cost less than the whole prompt does at the least rate, without any load. So mostly they
        need not be looked at.
        """
        match = facts.match
        if not cached or match is None:
            return -1
        holding = self._slots & match.points[0][1]  # whoever holds more holds this too
        if 2 * holding.bit_count() > len(cached):
            return -1
        near = [at for slot in slots_in(holding) for at in self._by_slot[slot]]
        if favoured >= 0 and favoured not in near:
            near.append(favoured)
        if not near:
            return -1
        if len(near) > 1:
            near.sort()
            first = bisect_left(near, start)
            near = near[first:] + near[:first]
        at, cost = self._cheapest(near, facts, cached, favoured, favour_ms, now)
        return at if cost < self._least_foreign_ms + facts.prompt_tokens * self._least_per_token else -1

    def _cheapest(
        self, places: list[int], facts: RequestFacts, cached: list[int], favoured: int, favour_ms: float, now: float
    ) -> tuple[int, float]:
        """The first of these places, of which there is one, that costs least; and what it costs."""
        pool, states, rates, even = self._pool, self._states, self._rates, self._even
        foreign_ms, per_token, further, request_ms = self._foreign_ms, self._per_token, self._further, self._load_ms
        tokens, fresh, fresh_per_token = facts.prompt_tokens, facts.fresh_tokens(), self._fresh_per_token
        kept_ms = favour_ms * self._kept() / max(1, tokens) if favoured >= 0 else 0.0
        best, least = -1, 0.0
        for at in places:
            state = states[at]
            ms_per_token = rates[at]
            ahead = state.prefill_tokens + state.remote_prefill_tokens
            uncached = tokens - cached[at] if cached else tokens
            load_ms = ahead * ms_per_token + request_ms * (state.in_flight_requests + state.remote_requests)
            load_ms += foreign_ms[at]
            if state.plain_until_s > now:
                load_ms += (state.plain_until_s - now) * 1e3
            if state.failed_until_s > now:
                load_ms += (state.failed_until_s - now) * 1e3
                if state.failed_until_s - now > FAILED_S:
                    uncached = tokens
            if state.scarce_until_s > now:
                load_ms += (state.scarce_until_s - now) * 1e3
            if not even:
                load_ms /= pool[at].weight
            if self._slow_start_s:
                load_ms /= state.share(now, self._slow_start_s)
            cost = load_ms + uncached * (ms_per_token + per_token[at]) + fresh * fresh_per_token[at]
            if at == favoured:
                if state.failed_until_s - now <= FAILED_S:
                    cost -= favour_ms
            elif kept_ms:
                cost -= (tokens - uncached) * kept_ms
            if further:
                cost += self._further_ms(pool[at], facts, uncached, now)
            if best < 0 or cost < least:
                best, least = at, cost
        return best, least

    def _further_ms(self, endpoint: Endpoint, facts: RequestFacts, uncached: int, now: float) -> float:
        """The terms that most pools are without; none is under 0."""
        cost = endpoint.away_ms
        if self._mixed:
            cost += endpoint.state.prefill.base_ms
        if self._ms_per_usd:
            cost += self._ms_per_usd * usd_of(endpoint, facts)
        if self._slo_ms is not None:
            cost += LATENESS * max(0.0, self._ttft_ms(endpoint, uncached, now) - self._slo_ms)
        return cost

    def late(self, endpoint: Endpoint, facts: RequestFacts, now: float) -> bool:
        """Whether its answer, the best of this pool, would miss what is due (`routing.choosing.overflow`)."""
        if self._overflow is None:
            return False
        queue_ms = endpoint.state.all_ahead_tokens(now) * endpoint.state.prefill.ms_per_token
        return self._overflow.late(self.ttft_ms(endpoint, facts, now), queue_ms, now)

    def overflows(self, now: float) -> bool:
        return self._overflow is not None and now < self._overflow.until_s

    def tries(self) -> bool:
        return self._overflow is not None and self._overflow.tries()

    def soonest(self, facts: RequestFacts, now: float, skip: Collection[Endpoint] = ()) -> Endpoint | None:
        return min(usable(self._pool, now, skip), key=lambda one: self.ttft_ms(one, facts, now), default=None)

    def opinion(self, facts: RequestFacts, now: float, rng: random.Random, skip: Collection[Endpoint] = ()) -> Opinion:
        if now >= self._next_s and self._pool:
            self._look(now)
        cached = self._cached(facts) or [0] * len(self._pool)
        favoured, favour_ms = (-1, 0.0) if self._homes is None else self._homes.of(facts, now)
        kept_ms = favour_ms * self._kept() / max(1, facts.prompt_tokens)
        favours = [favour_ms if at == favoured else cached[at] * kept_ms for at in self._places]
        costs = [self._cost(at, facts, cached[at], favours[at], now) for at in self._places]
        chosen = self.pick(facts, now, rng, skip)
        if chosen is None:
            return Opinion(None, "of least cost", tuple(costs))
        ttft_ms = self.ttft_ms(chosen, facts, now)
        late = self._overflow is not None and ttft_ms > self._overflow.due_ms(now)
        return Opinion(chosen, "of least cost", tuple(costs), ttft_ms, late)

    def _cost(self, at: int, facts: RequestFacts, cached: int, favour_ms: float, now: float) -> Cost:
        """The sum that `pick` compares, apart."""
        endpoint, state = self._pool[at], self._states[at]
        weight = 1.0 if self._even else endpoint.weight
        if self._slow_start_s:
            weight *= state.share(now, self._slow_start_s)
        ms_per_token = self._rates[at]
        ahead = state.prefill_tokens + state.remote_prefill_tokens
        if state.failed_until_s - now > FAILED_S:
            cached, favour_ms = 0, 0.0
        uncached = facts.prompt_tokens - cached
        late_ms = 0.0
        if self._slo_ms is not None:
            late_ms = LATENESS * max(0.0, self._ttft_ms(endpoint, uncached, now) - self._slo_ms)
        return Cost(
            queue_ms=(ahead * ms_per_token + max(0.0, state.plain_until_s - now) * 1e3) / weight,
            foreign_ms=self._foreign_ms[at] / weight,
            load_ms=self._load_ms * (state.in_flight_requests + state.remote_requests) / weight,
            failures_ms=max(0.0, state.failed_until_s - now) * 1e3 / weight,
            limits_ms=max(0.0, state.scarce_until_s - now) * 1e3 / weight,
            prefill_ms=uncached * ms_per_token,
            others_ms=uncached * self._others_per_token[at] + facts.fresh_tokens() * self._fresh_per_token[at],
            eviction_ms=uncached * (self._per_token[at] - self._others_per_token[at]),
            affinity_ms=-favour_ms,
            start_ms=state.prefill.base_ms if self._mixed else 0.0,
            zone_ms=endpoint.away_ms,
            price_ms=self._ms_per_usd * usd_of(endpoint, facts),
            lateness_ms=late_ms,
        )

    def ttft_ms(self, endpoint: Endpoint, facts: RequestFacts, now: float) -> float:
        """When its first token should come, as far as what is known tells."""
        uncached = facts.prompt_tokens if self._index is None else facts.uncached_tokens(endpoint.state.slot)
        return self._ttft_ms(endpoint, uncached, now)

    def _ttft_ms(self, endpoint: Endpoint, uncached: int, now: float) -> float:
        prefill = endpoint.state.prefill
        return prefill.base_ms + (endpoint.state.all_ahead_tokens(now) + uncached) * prefill.ms_per_token

    def _cached(self, facts: RequestFacts) -> list[int]:
        """Tokens of the prompt that each endpoint's replica holds; empty where nobody holds any."""
        index = self._index
        if index is None:
            return []
        match = facts.matched(index)
        if not match.points:
            return []
        cached = [0] * len(self._pool)
        by_slot, slots = self._by_slot, self._slots
        for depth, mask in match.points:
            tokens = facts.tokens_of(depth)
            holding, lacking = slots & mask, slots & ~mask
            if holding.bit_count() <= lacking.bit_count():
                for slot in slots_in(holding):
                    for at in by_slot[slot]:
                        cached[at] = tokens
            else:  # a system prompt that nearly all of them hold
                before, cached = cached, [tokens] * len(cached)
                for slot in slots_in(lacking):
                    for at in by_slot[slot]:
                        cached[at] = before[at]
        return cached

    def home(self, facts: RequestFacts, now: float) -> Endpoint | None:
        at = -1 if self._homes is None else self._homes.of(facts, now)[0]
        return self._pool[at] if at >= 0 else None

    def _look(self, now: float) -> None:
        """Read what changes slowly: rates, how full caches are, what engines say of load, how many choose beside us."""
        self._next_s = now + _LOOK_AGAIN_S
        choosers = self._table.choosers(self._engines)
        if self._index is not None and not self._session:
            self._homes = (self._homes or Homes(self._pool, session=False)) if choosers > 1 else None
        self._rates = together([state.prefill for state in self._states])
        mean = self._mean_ms_per_token()
        index, foreign = self._index, [state.reported.foreign_requests(now) for state in self._states]
        crowding = 1.0 if index is None else min(1.0, index.crowding(self._by_slot) / CROWDED)
        self._load_ms = LOAD_ROOMY_MS + (LOAD_MS - LOAD_ROOMY_MS) * crowding
        shares = shares_of_load(self._states, foreign) if index is not None else [1.0] * len(foreign)
        roomy, eviction = mean * OTHERS_ROOMY, mean * EVICTION * crowding
        room = mean * (OTHERS - OTHERS_ROOMY) * crowding
        for at, state in enumerate(self._states):
            others = roomy * shares[at]
            self._fresh_per_token[at] = roomy - others
            self._others_per_token[at] = others + room
            full = 0.0 if index is None else index.fullness(state.slot)
            self._per_token[at] = others + room + (eviction * full if full < 1.0 else eviction)
            self._foreign_ms[at] = self._load_ms * foreign[at] + self._rates[at] * state.foreign_tokens(now)
        if self._homes is not None:
            self._homes.look(choosers, mean, self._mean_load_ms(), crowding)
        self._least_foreign_ms = min(self._foreign_ms)
        self._least_per_token = min([rate + more for rate, more in zip(self._rates, self._per_token, strict=True)])

    def _kept(self) -> float:
        return self._homes.kept if self._homes is not None else 0.0

    def _mean_load_ms(self) -> float:
        """What waits at a replica of the pool, without what is rare."""
        load_ms = sum(self._foreign_ms)
        for state, rate in zip(self._states, self._rates, strict=True):
            load_ms += (state.prefill_tokens + state.remote_prefill_tokens) * rate
            load_ms += self._load_ms * (state.in_flight_requests + state.remote_requests)
        return load_ms / len(self._pool)

    def _mean_ms_per_token(self) -> float:
        return sum(self._rates) / len(self._rates)
