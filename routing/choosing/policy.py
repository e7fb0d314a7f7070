"""Which endpoint a request goes to: filters, then tiers in order, and within a tier the route's picker."""

from __future__ import annotations

import random
from collections.abc import Collection
from typing import Final

from routing.choosing.filters import refused
from routing.choosing.usable import last_resort
from routing.facts import RequestFacts
from routing.model import SESSION, Endpoint
from routing.replicas.replica import ReplicaState
from routing.route import ModelRoute, Tiers
from routing.waiting.admission import IDLE_SHARE
from routing.waiting.first_token import FirstToken

MARGIN: Final = 1.0
"""Standard deviations of what was foreseen of first tokens (`PrefillRate.off_ms`) that a request is to come before it
is due, while others are late for want of engines. Then every queue is as long as the objective lets it be, so that
without a margin whatever takes longer than foreseen (a prompt that is not in the cache any more, mostly) makes all
behind it late (`penstock simulate-routing`)."""
SPARE: Final = 0.5
"""Of the time that is left: where another replica would answer within so much, or is idle, a request that would be late
where it costs least goes there. To compute a prompt again that another one holds takes time from all, and where queues
are long everywhere more would have to be refused for it."""
MOST_MARGIN: Final = 0.5
"""Of what the objective leaves beside the request's own prefill. However little can be foreseen, engines are to have
something to do; and whoever is only ever asked while idle shows nothing of what it does with several at once."""


def choose(
    route: ModelRoute, facts: RequestFacts, now: float, rng: random.Random, tried: Collection[Endpoint] = ()
) -> Endpoint | None:
    """An endpoint for the request, or None when nothing at all is available.

    The first tier with an available endpoint not in `tried` is picked from; when every available one was tried, the
    first tier with any. Where the policy keeps an objective, a tier that would miss it is passed over for a later one
    that would not, and where all would, the one that should be soonest serves. When none is available at all, one that
    is unhealthy or stands aside is asked before the client is
    told that there is nobody: when all are down, health is wrong. Never an endpoint that does not speak the operation,
    that a filter passes over, that is draining or that its breaker refuses. Changes nothing but a
    round-robin's turn: the caller takes the `Lease`, at the same `now`.
    """
    speakers = route.speakers.get(facts.operation)
    if speakers is None:
        return None
    if route.held is not None:
        speakers = route.held.among(speakers)
    over: Collection[Endpoint] = refused(route, speakers, facts, now) if route.filters else ()
    skip = {*over, *tried} if over else tried
    late: Endpoint | None = None
    least_ms = 0.0
    for picker in speakers.pickers:
        endpoint = picker.pick(facts, now, rng, skip)
        if endpoint is not None:
            if not route.overflows or not picker.late(endpoint, facts, now):
                return endpoint
            ttft_ms = picker.ttft_ms(endpoint, facts, now)
            if late is None or ttft_ms < least_ms:
                late, least_ms = endpoint, ttft_ms
    if late is not None:
        return late
    if tried:
        for picker in speakers.pickers:
            endpoint = picker.pick(facts, now, rng, over)
            if endpoint is not None:
                return endpoint
    for pool in speakers.pools:
        endpoint = last_resort(pool, now, rng, over)
        if endpoint is not None:
            return endpoint
    return None


def choose_with_room(
    route: ModelRoute, facts: RequestFacts, now: float, rng: random.Random, chosen: Endpoint | None = None
) -> tuple[Endpoint | None, bool]:
    """The endpoint for the request among those not known to be full; and whether there is one.

    Where there is, and one of its tier that is full holds the prompt, that one, if it is the cheapest with its queue:
    to be sent away for a moment's queue costs a prefill elsewhere, and whoever comes next is sent away for that one.
    When all are full, the one that would be asked all the same; None when nothing at all is available.
    `chosen`: what `choose` has said already, at the same `now`; it is not asked again where nobody is full.
    """
    pools = route.asked(facts.operation).pools
    full = {endpoint for pool in pools for endpoint in pool if is_full(endpoint, facts, route, now)}
    if chosen is not None and not full:
        return chosen, True
    endpoint = choose(route, facts, now, rng, full)
    if endpoint is None or endpoint in full:
        return endpoint, False
    worth = waited_for(full, facts, route, now)
    if worth:
        holder = choose(route, facts, now, rng, full - worth)
        # Costs are those of one tier: what a queue there is worth against the next tier's, they do not say.
        if holder is not None and holder in worth and holder.tier == endpoint.tier:
            return holder, True
    return endpoint, True


def in_time(
    route: ModelRoute, endpoint: Endpoint, facts: RequestFacts, now: float, room: bool = True, waited_s: float = 0.0
) -> tuple[Endpoint, FirstToken | None]:
    """Where a request of a model that refuses the late should go, and what is foreseen of its first token there.

    That is `endpoint`, which was chosen for it at `now`, `room` saying whether it is not full; or, where it would be
    late there after `waited_s` in line, whoever is soonest of all tiers, if that one has time to spare (`SPARE`). None
    where nothing is refused for being late: work of negative priority, replicas of which nothing has been learned, one
    of `TRIED` that would be refused, so that it is seen whether they would have been late, and
    a prompt that is too long for the objective on any engine, unless those within it are late for want of engines too:
    then it may go to an idle one.
    """
    if route.refuse_late_ms <= 0.0 or facts.priority < 0:
        return endpoint, None
    pickers = route.asked(facts.operation).pickers
    # Where all are full, nobody has asked yet whether it is late.
    pickers[endpoint.tier].late(endpoint, facts, now)
    endpoint, first = foresee(route, endpoint, facts, now, room, waited_s)
    if room and first is not None and first.over_s > 0.0 and pickers[endpoint.tier].tries():
        return endpoint, None
    return endpoint, first


def foresee(
    route: ModelRoute, endpoint: Endpoint, facts: RequestFacts, now: float, room: bool = True, waited_s: float = 0.0
) -> tuple[Endpoint, FirstToken | None]:
    """What `in_time` would say. Changes nothing."""
    if route.refuse_late_ms <= 0.0 or facts.priority < 0:
        return endpoint, None
    speakers = route.asked(facts.operation)
    first = _first_token(speakers, endpoint, facts, route.refuse_late_ms, waited_s, now)
    if first is not None and room and first.over_s > 0.0:
        skip = {one for pool in speakers.pools for one in pool if is_full(one, facts, route, now)}
        if route.filters:
            skip.update(refused(route, speakers, facts, now))
        # Whoever is soonest need not be idle: to compute the prompt may take longer than the queue of who holds it.
        busy = {one for pool in speakers.pools for one in pool if one.state.all_ahead_tokens(now) > 0.0}
        for passed in (skip, skip | busy):
            sooner = _soonest(speakers, facts, now, passed)
            if sooner is None or sooner is endpoint:
                continue
            other = _first_token(speakers, sooner, facts, route.refuse_late_ms, waited_s, now)
            if other is None or other.comes_s <= max(SPARE * other.due_s, other.alone_s):
                endpoint, first = sooner, other
                break
    if first is None or first.alone_s * 1e3 <= route.refuse_late_ms:
        return endpoint, first
    return endpoint, first if any([one.overflows(now) for one in speakers.pickers]) else None  # noqa: C419 - compiled, it is faster


def _first_token(
    speakers: Tiers, endpoint: Endpoint, facts: RequestFacts, slo_ms: float, waited_s: float, now: float
) -> FirstToken | None:
    """None where nothing has been learned of the replica."""
    prefill, picker = endpoint.state.prefill, speakers.pickers[endpoint.tier]
    if not prefill.learned:
        return None
    comes_ms = picker.ttft_ms(endpoint, facts, now)
    own_ms = facts.uncached_tokens(endpoint.state.slot) * prefill.ms_per_token
    one_ms = own_ms / max(1, len(speakers.pools[endpoint.tier]))
    alone_ms = prefill.base_ms + own_ms
    most_ms = MOST_MARGIN * max(0.0, slo_ms - alone_ms)
    margin_ms = min(MARGIN * prefill.off_ms, most_ms) if picker.overflows(now) else 0.0
    due_s = slo_ms * 1e-3 - waited_s
    return FirstToken(due_s, comes_ms * 1e-3, alone_ms * 1e-3, one_ms * 1e-3, margin_ms * 1e-3)


def _soonest(speakers: Tiers, facts: RequestFacts, now: float, skip: Collection[Endpoint]) -> Endpoint | None:
    """Whose first token should come first, of those that may be asked and are not in `skip`."""
    best: Endpoint | None = None
    least_ms = 0.0
    for picker in speakers.pickers:
        one = picker.soonest(facts, now, skip)
        if one is not None:
            ttft_ms = picker.ttft_ms(one, facts, now)
            if best is None or ttft_ms < least_ms:
                best, least_ms = one, ttft_ms
    return best


def waited_for(full: Collection[Endpoint], facts: RequestFacts, route: ModelRoute, now: float) -> set[Endpoint]:
    """Those of the full that hold the prompt, or are its home, and whose queue the request may join: it needs little
    time and few blocks there. Its home is where its conversation lives, or, by all who choose beside us and share no
    index, its beginning. None of them for work of negative priority, or where the policy sends no prompt to where it
    was before."""
    if facts.priority < 0 or not (route.prefixes is not None or route.policy == SESSION):
        return set()
    most = route.line.settings.in_flight
    left = [one for one in full if _has_places(one.state, most, now)]
    if not left:
        return set()
    homes = {picker.home(facts, now) for picker in route.asked(facts.operation).pickers}
    return {one for one in left if one in homes or _holds(one, facts, route)}


def _has_places(state: ReplicaState, most: int, now: float) -> bool:
    """Whether a full one may be sent more: it is under the configured limit, has refused or failed nothing of late, and
    those that wait there wait for prompts to be computed, and not for others to end."""
    if (most and state.in_flight_requests + state.remote_requests >= most) or state.failed_until_s > now:
        return False
    return not state.reported.has_no_places


def _holds(endpoint: Endpoint, facts: RequestFacts, route: ModelRoute) -> bool:
    """Whether it is believed to have computed half of the prompt."""
    return route.prefixes is not None and 2 * facts.uncached_tokens(endpoint.state.slot) <= facts.prompt_tokens


def is_full(endpoint: Endpoint, facts: RequestFacts, route: ModelRoute, now: float) -> bool:
    """Whether an endpoint is known to be full for this request. Work of negative priority wants a rather idle one."""
    settings = route.line.settings
    return settings.enabled and endpoint.state.full(now, settings.in_flight, IDLE_SHARE if facts.priority < 0 else 1.0)
