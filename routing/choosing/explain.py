"""Why a request goes where it goes: every endpoint that speaks its operation, what is held against each, what each
would cost, and which one is chosen. It says of a moment what `choose_with_room` (`routing.choosing.policy`) would do
in it, and changes nothing.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass

from routing.choosing.filters import passed_over
from routing.choosing.opinion import Cost, Opinion
from routing.choosing.policy import foresee, is_full, waited_for
from routing.choosing.usable import is_panic, last_resort
from routing.facts import RequestFacts
from routing.model import Endpoint
from routing.replicas.replica import ReplicaState
from routing.route import ModelRoute


@dataclass(frozen=True, slots=True)
class Considered:
    """One endpoint as the choice sees it."""

    endpoint: Endpoint
    state: str
    """`ready`, or why nothing new is sent there: `unhealthy`, `draining`, `aside` (it refuses our credentials),
    `ejected` (its peers do better) or `breaker_open`."""
    passed_over: str
    """Why a filter keeps the request from it; empty where none does."""
    full: bool
    """Whether it is known to have no room."""
    cached_tokens: int
    """Of the prompt, what it is believed to hold; -1 where the policy does not want to know."""
    cost: Cost | None
    """None where the policy adds nothing up."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What would become of a request now."""

    candidates: tuple[Considered, ...]
    """In the order of the tiers."""
    chosen: Endpoint | None
    reason: str
    """One sentence."""
    waits: bool
    """Whether it would wait in the gateway, because every endpoint is full or others wait already."""
    refused: bool = False
    """Whether it would be refused at once: its first token would come later than the model's objective."""


def explain(
    route: ModelRoute, facts: RequestFacts, now: float, rng: random.Random, tried: Collection[Endpoint] = ()
) -> Explanation:
    """Explain one request, `tried` being where it was sent before. Policies that draw lots draw from `rng`."""
    speakers = route.speakers.get(facts.operation)
    if speakers is None:
        return Explanation((), None, "no engine of the model speaks the operation", False)
    over = passed_over(route, facts, now)
    everyone = [endpoint for pool in speakers.pools for endpoint in pool]
    full = {endpoint for endpoint in everyone if is_full(endpoint, facts, route, now)}
    opinions = [picker.opinion(facts, now, rng, {*over, *full, *tried}) for picker in speakers.pickers]
    chosen, reason = _chosen(opinions)
    waits = bool(route.line.waiting) and not tried
    worth = waited_for(full, facts, route, now) if chosen is not None else set()
    if chosen is not None and worth:
        others = {*over, *(full - worth), *tried}
        holder, why = _chosen([picker.opinion(facts, now, rng, others) for picker in speakers.pickers])
        if holder is not None and holder in worth and holder.tier == chosen.tier:
            chosen, reason = holder, f"{why}, which holds the prompt and is worth its queue"
    if chosen is None and full:
        chosen, reason = _chosen([picker.opinion(facts, now, rng, {*over, *tried}) for picker in speakers.pickers])
        if chosen is not None:
            reason = f"every endpoint is known to be full; {reason}"
            waits = not tried
    if chosen is None and tried:
        chosen, reason = _chosen([picker.opinion(facts, now, rng, over) for picker in speakers.pickers])
        reason = f"everyone left was tried before; {reason}"
    for pool in speakers.pools if chosen is None else ():
        chosen = last_resort(pool, now, rng, over)
        if chosen is not None:
            reason = "nobody is available, so what probes say is not believed"
            break
    if chosen is None:
        reason = "nobody is available" if everyone else "no engine of the model has a replica"
    late = False
    if chosen is not None and not waits and not tried:
        chosen, first = foresee(route, chosen, facts, now)
        late = first is not None and first.over_s > 0.0
        if first is not None and late:
            comes_ms, due_ms = first.comes_s * 1e3, first.due_s * 1e3
            off = f", give or take {first.margin_s * 1e3:.0f} ms" if first.margin_s else ""
            reason = f"its first token would come in {comes_ms:.0f} ms{off}, and is due in {due_ms:.0f} ms"
    if waits:
        reason = f"it waits in the gateway, behind {route.line.waiting}; then {reason}"
    costs: list[Cost | None] = []
    for pool, opinion in zip(speakers.pools, opinions, strict=True):
        costs += opinion.costs or [None] * len(pool)
    candidates = [
        Considered(
            endpoint,
            condition(endpoint.state, now),
            over.get(endpoint, ""),
            endpoint in full,
            -1 if facts.match is None else facts.prompt_tokens - facts.uncached_tokens(endpoint.state.slot),
            cost,
        )
        for endpoint, cost in zip(everyone, costs, strict=True)
    ]
    if any(is_panic(pool) for pool in speakers.pools):
        reason += "; fewer than half of a tier are up, so what probes say is not believed there"
    return Explanation(tuple(candidates), chosen, reason, waits, late)


def condition(state: ReplicaState, now: float) -> str:
    """Whether a replica gets anything new at `now`, in a word."""
    if state.draining:
        return "draining"
    if not state.healthy:
        return "unhealthy"
    if not state.breaker.allows(now):
        return "breaker_open"
    if state.aside_until_s <= now:
        return "ready"
    return "ejected" if state.ejected_until_s > now else "aside"


def _chosen(opinions: list[Opinion]) -> tuple[Endpoint | None, str]:
    """The first tier that is in time, else the one that is least late; and why."""
    late: Opinion | None = None
    for tier, opinion in enumerate(opinions):
        if opinion.chosen is None:
            continue
        if not opinion.late:
            where = f"the one {opinion.rule} in tier {tier}"
            if late is None:
                return opinion.chosen, where
            return opinion.chosen, f"{where}, because the tier before it would miss the objective"
        if late is None or (opinion.ttft_ms or 0.0) < (late.ttft_ms or 0.0):
            late = opinion
    if late is None:
        return None, ""
    return late.chosen, f"the one {late.rule}, though it will miss the objective: no other tier would be sooner"
