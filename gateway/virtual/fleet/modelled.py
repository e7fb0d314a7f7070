"""A fleet of modelled replicas behind modelled gateways, in virtual time: one loop, one clock, no waiting.

Promises: every call of a trace ends exactly once and in one outcome, whatever the policy; nothing is left in flight;
equal arguments give equal outcomes. At one moment, what ends comes before what arrives.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

from engines.simulator.core import Admission, SimRequest, SimulatorCore
from gateway.virtual.fleet.balancer import Policy
from gateway.virtual.fleet.foresight import Foresight
from gateway.virtual.fleet.gateways import ModelledGateway, Sent, share, tell
from gateway.virtual.fleet.replicas import Gpu, TrueCaches, cores_of, scrape
from gateway.virtual.trace import Call, seeded

REFUSED = -1
FIT_S = 2.0
"""How often what is expected of caches is corrected: `health.load_interval_s`."""


class Outcome:
    """What became of one call."""

    __slots__ = ("cached_tokens", "call", "end_s", "predicted_tokens", "replica", "ttft_s")

    def __init__(self, call: Call, replica: int, predicted_tokens: int = -1) -> None:
        self.call = call
        self.replica = replica
        """Its place in the fleet; `REFUSED` of a call that went nowhere, and whose first token never came."""
        self.ttft_s = math.inf
        self.end_s = call.at_s
        self.cached_tokens = 0
        self.predicted_tokens = predicted_tokens
        """What the gateway believed to be cached; -1 where it does not ask."""

    @property
    def refused(self) -> bool:
        """Whether its gateway told it at once that it would be late."""
        return self.replica == REFUSED


@dataclass(frozen=True, slots=True)
class Crew:
    """The gateways in front of the fleet."""

    gateways: int = 1
    """Each call comes in at one of them by chance."""
    tell_s: float = 0.0
    """How often each hears what the others have in flight; 0 is never."""
    share_s: float = 0.0
    """How often each hears what the others have sent where; 0 is never."""
    room: float = 1.0
    """Times what caches hold that the gateways take them to hold: how many bytes a token has is a guess."""
    corrects: bool = True
    """Whether they correct that by what engines report."""
    spares: bool = True
    """Whether engines say with each answer what they have to do, and a policy that spares hears it."""


ALONE = Crew()


class ModelledFleet:
    """One run: made, played once, looked at."""

    def __init__(self, gpus: Sequence[Gpu], policy: Policy, seed: int, crew: Crew = ALONE) -> None:
        self.cores: list[SimulatorCore] = cores_of(gpus, seed)
        caches = TrueCaches(self.cores)
        foresight = Foresight(caches, len(self.cores))
        peers = 1 if crew.share_s else crew.gateways
        self.gateways = [
            ModelledGateway(policy, gpus, caches, foresight, seeded(seed, "gateway", i), peers, crew.room, crew.spares)
            for i in range(crew.gateways)
        ]
        self._crew = crew
        self._seed = seed
        self._events: list[tuple[float, int]] = []
        """When each replica next has something to say, and its place; a replica may stand here more than once."""
        self._due = [math.inf] * len(self.cores)
        balancer = self.gateways[0].balancer
        self._scrape_s = balancer.scrape_s if balancer.scraper is not None else 0.0

    def play(self, calls: Sequence[Call]) -> list[Outcome]:
        """Play a trace to its end; outcomes are in its order. Raises ValueError for a call no replica can hold."""
        outcomes: list[Outcome] = []
        if not calls:
            return outcomes
        doors = seeded(self._seed, "doors")
        begin_s = calls[0].at_s
        next_scrape_s = begin_s if self._scrape_s else math.inf
        next_tell_s = begin_s if self._crew.tell_s and len(self.gateways) > 1 else math.inf
        next_share_s = begin_s if self._crew.share_s and len(self.gateways) > 1 else math.inf
        next_fit_s = begin_s + FIT_S if self._crew.corrects else math.inf
        only = self.gateways[0] if len(self.gateways) == 1 else None
        for call in calls:
            now = call.at_s
            while (tick_s := min(next_scrape_s, next_tell_s, next_share_s, next_fit_s)) <= now:
                self._run_to(tick_s)
                if tick_s == next_fit_s:
                    for gateway in self.gateways:
                        gateway.fit(tick_s)
                    next_fit_s += FIT_S
                elif tick_s == next_scrape_s:
                    scrapes = scrape(self.cores)
                    for gateway in self.gateways:
                        gateway.scraped(scrapes, tick_s)
                    next_scrape_s += self._scrape_s
                elif tick_s == next_tell_s:
                    tell(self.gateways)
                    next_tell_s += self._crew.tell_s
                else:
                    share(self.gateways)
                    next_share_s += self._crew.share_s
            self._run_to(now)
            gateway = only or self.gateways[int(doors.random() * len(self.gateways))]
            sent = gateway.send(call, now)
            if sent is None:
                outcomes.append(Outcome(call, REFUSED))
                continue
            outcome = Outcome(call, sent.replica, sent.lease.cached_tokens)
            outcomes.append(outcome)
            self._submit(call, sent, outcome, now)
        self._run_to(math.inf)
        return outcomes

    def _submit(self, call: Call, sent: Sent, outcome: Outcome, now: float) -> None:
        core = self.cores[sent.replica]
        arrival = call.arrival
        request = SimRequest(
            call.index,
            arrival.input_tokens,
            arrival.output_tokens,
            call.chain.keys,
            paced=False,
            owner=(sent, outcome),
        )
        admission = core.submit(request, now)
        assert admission is not Admission.REJECTED, "the queue of a modelled replica is as long as any trace"
        self._watch(sent.replica)

    def _watch(self, replica: int) -> None:
        """Note when a replica next has something to say."""
        at_s = self.cores[replica].next_event_time()
        if at_s is None:
            self._due[replica] = math.inf
        elif at_s != self._due[replica]:
            self._due[replica] = at_s
            heapq.heappush(self._events, (at_s, replica))

    def _run_to(self, now: float) -> None:
        events, due = self._events, self._due
        while events and events[0][0] <= now:
            at_s, replica = heapq.heappop(events)
            if due[replica] != at_s:
                continue  # something came between, and it stands here again
            for request, start, _, emitted_s, _, finished in self.cores[replica].advance(at_s):
                sent: Sent
                outcome: Outcome
                sent, outcome = request.owner
                if not start:
                    outcome.ttft_s = emitted_s - outcome.call.at_s
                    outcome.cached_tokens = request.cached_tokens
                    sent.gateway.first_token(sent, emitted_s)
                    if sent.gateway.spares:
                        sent.gateway.told(replica, scrape([self.cores[replica]])[0], emitted_s)
                if finished:
                    outcome.end_s = emitted_s
                    sent.gateway.ended(sent, outcome.cached_tokens, emitted_s)
            due[replica] = math.inf
            self._watch(replica)
