"""One modelled gateway, or one of its workers: routing's code from the facts of a request to the end of its lease."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from gateway.virtual.fleet.balancer import Balancer, Policy, Surroundings
from gateway.virtual.fleet.foresight import Foresight
from gateway.virtual.fleet.replicas import Gpu, Scrape, TrueCaches
from gateway.virtual.trace import BLOCK_TOKENS, BYTES_PER_TOKEN, Call
from routing.choosing.policy import choose, choose_with_room, in_time
from routing.facts import RequestFacts
from routing.fleet import ModelSpec, TargetSpec, build_route
from routing.lease import Lease, LeaseSeries
from routing.model import Endpoint
from routing.prefix.match import Match
from routing.replicas.replica_table import ReplicaTable
from routing.route import Tiers

OPERATION: Final = "/v1/chat/completions"
MODEL: Final = "m"
ENGINE: Final = "fleet"


class Sent:
    """A call on its way."""

    __slots__ = ("call", "gateway", "lease", "replica")

    def __init__(self, call: Call, gateway: ModelledGateway, replica: int, lease: Lease) -> None:
        self.call = call
        self.gateway = gateway
        self.replica = replica
        self.lease = lease


class ModelledGateway:
    """Shares nothing with its like but what `tell` carries over."""

    def __init__(
        self,
        policy: Policy,
        gpus: Sequence[Gpu],
        caches: TrueCaches,
        foresight: Foresight,
        rng: random.Random,
        peers: int,
        room: float = 1.0,
        spares: bool = False,
    ) -> None:
        """`peers` choose among the replicas and share no index, ourselves included. Caches are taken to hold `room`
        times what they do. `spares`: replicas that are known to be full are spared, as admission does, if the policy
        is one that does so."""
        self.table = ReplicaTable()
        self.table.gateways = {ENGINE: peers}
        names = tuple(str(i) for i in range(len(gpus)))
        spec = ModelSpec(
            MODEL,
            (TargetSpec(ENGINE, MODEL, names, frozenset({OPERATION})),),
            policy.routing,
            slo_ttft_ms=policy.slo_ttft_ms,
            refuse_late=policy.refuse_late,
        )
        route = build_route(spec, self.table)
        self.pool: tuple[Endpoint, ...] = route.whole.pools[0]
        self._place = {endpoint: i for i, endpoint in enumerate(self.pool)}
        self.balancer = Balancer(route.whole.pickers[0])
        if policy.rule is not None:
            self.balancer = policy.rule(Surroundings(self.pool, tuple(gpus), caches, foresight, rng))
            tiers = Tiers((self.pool,), (self.balancer.picker,))
            route = replace(route, whole=tiers, speakers={OPERATION: tiers})
        self._route = route
        self._foresight = foresight if policy.foresees else None  # keeping it costs a fifth of a run
        self._told_true = policy.foresees and policy.rule is None
        self._blocks = [int(room * gpu.cache_tokens) // BLOCK_TOKENS for gpu in gpus]
        """As `vllm:cache_config_info` tells."""
        if route.prefixes is not None:
            for endpoint, blocks in zip(self.pool, self._blocks, strict=True):
                endpoint.state.cache_blocks = blocks
                route.prefixes.limit(endpoint.state.slot, blocks)
        self._rng = rng
        self.spares = spares and policy.spares
        """Whether it wants to hear what engines have to do, since those that are full are spared."""
        self.untold: list[tuple[int, Sequence[int]]] = []
        """What went where, by the place in the pool, since the others were told."""
        self.series = LeaseSeries()

    def send(self, call: Call, now: float) -> Sent | None:
        """Choose a replica for the call and take the lease; None where it is refused, since it would be late."""
        arrival, estimate = call.arrival, self._route.tokens
        self._route.budget.deposit()
        prompt_tokens = estimate.prompt_tokens(arrival.input_tokens * BYTES_PER_TOKEN)
        facts = RequestFacts(OPERATION, prompt_tokens, estimate.output_tokens(), call)
        facts.tenant, facts.priority = arrival.tenant, arrival.priority
        if self._told_true:
            facts.match = self._true_match(call)
        if self.spares:
            endpoint, room = choose_with_room(self._route, facts, now, self._rng)
        else:
            endpoint, room = choose(self._route, facts, now, self._rng), True
        assert endpoint is not None, "no replica of the model ever fails"
        endpoint, first = in_time(self._route, endpoint, facts, now, room)
        if first is not None and first.over_s > 0.0:
            return None
        lease = Lease(endpoint.state, facts, now, None, self.series)
        replica = self._place[endpoint]
        if self._foresight is not None:
            self._foresight.sent(call, replica)
        if self._route.prefixes is not None:
            self._route.sent(facts, endpoint)
            self.untold.append((replica, call.chain))
        if self.balancer.watcher is not None:
            self.balancer.watcher.sent(call, facts, replica, now)
        return Sent(call, self, replica, lease)

    def _true_match(self, call: Call) -> Match:
        """What the prefix index would answer if it knew."""
        assert self._foresight is not None, "only a gateway that foresees is told"
        depths = self._foresight.depths(call.chain)
        slots = [endpoint.state.slot for endpoint in self.pool]
        return Match(
            [
                (depth, sum(1 << slot for slot, held in zip(slots, depths, strict=True) if held >= depth))
                for depth in sorted({*depths} - {0})
            ]
        )

    def first_token(self, sent: Sent, now: float) -> None:
        """The first body byte of its answer is here."""
        if self._foresight is not None:
            self._foresight.first_token(sent.call, sent.replica)
        sent.lease.first_byte()
        sent.lease.works(now, self._rng)
        if self.balancer.watcher is not None:
            self.balancer.watcher.first_token(sent.call, sent.replica, now)

    def told(self, replica: int, scrape: Scrape, now: float) -> None:
        """An answer begins with what its engine has to do: more, and more often, than vLLM's load header says."""
        self.pool[replica].state.tell(scrape.running, scrape.waiting, scrape.kv_usage_ratio, now)

    def ended(self, sent: Sent, cached_tokens: int, now: float) -> None:
        """Its answer is whole, and says how much of the prompt was cached."""
        sent.lease.release(now)
        arrival = sent.call.arrival
        if sent.lease.cached_tokens >= 0:
            state = self.pool[sent.replica].state
            state.tally.take(sent.lease.cached_tokens, cached_tokens, arrival.input_tokens, now, sent.call.at_s)
        self._route.tokens.learn(
            arrival.input_tokens * BYTES_PER_TOKEN, arrival.input_tokens, arrival.output_tokens, now
        )
        if self.balancer.watcher is not None:
            self.balancer.watcher.ended(sent.call, sent.replica, now)

    def hear(self, sent: Sequence[tuple[int, Sequence[int]]]) -> None:
        """Another gateway sent these prompts there."""
        index = self._route.prefixes
        if index is not None:
            for replica, chain in sent:
                index.add(chain, self.pool[replica].state.slot)

    def fit(self, now: float) -> None:
        """Expect of each replica's cache what the guesses of late say, as a worker does when loads are told."""
        index = self._route.prefixes
        if index is None or self._told_true:
            return
        for endpoint, blocks in zip(self.pool, self._blocks, strict=True):
            state = endpoint.state
            state.tally.judge(index.fullness(state.slot), now)
            for _ in self.table.fit(state, int(blocks * state.tally.room)):
                pass

    def scraped(self, scrapes: Sequence[Scrape], now: float) -> None:
        """A reading of all replicas' metrics came in."""
        if self.balancer.scraper is not None:
            self.balancer.scraper.scraped(scrapes, now)


def tell(gateways: Sequence[ModelledGateway]) -> None:
    """Each gateway hears what the others have in flight, as workers do through their parent."""
    pools = [gateway.pool for gateway in gateways]
    for endpoints in zip(*pools, strict=True):
        states = [endpoint.state for endpoint in endpoints]
        tokens = sum([state.in_flight_tokens for state in states])
        prefill_tokens = sum([state.prefill_tokens for state in states])
        requests = sum([state.in_flight_requests for state in states])
        for state in states:
            state.set_remote(
                tokens - state.in_flight_tokens,
                prefill_tokens - state.prefill_tokens,
                requests - state.in_flight_requests,
            )


def share(gateways: Sequence[ModelledGateway]) -> None:
    """Each gateway hears what the others have sent where since the last time, as workers do through their parent."""
    news = [gateway.untold for gateway in gateways]
    for at, gateway in enumerate(gateways):
        gateway.untold = []
        for other, sent in enumerate(news):
            if other != at:
                gateway.hear(sent)
