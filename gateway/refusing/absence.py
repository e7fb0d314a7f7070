"""What a client is told when no replica may be asked: why, and in how many seconds one may be.

Where every endpoint is passed over for what the request asks for, no time will help: the client is told what it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil
from typing import TYPE_CHECKING, Final

from gateway.errors import Failure
from routing.choosing.capabilities import Takes
from routing.choosing.filters import passed_over
from routing.facts import RequestFacts
from routing.model import Endpoint

if TYPE_CHECKING:
    from routing.route import ModelRoute

RECHECK_S: Final = 5.0
"""For what has no time of its own: a server that starts, one that drains. The usual interval of health probes."""
_MOST_NAMED: Final = 3
"""Engines whose reasons are told."""


def nobody_for(route: ModelRoute, facts: RequestFacts, now: float) -> Failure:
    """The refusal of a request, for which nobody of the route may be asked."""
    pools = route.speakers[facts.operation].pools
    if route.filters:
        refused = _unfit(route, facts, [endpoint for pool in pools for endpoint in pool], now)
        if refused is not None:
            return refused
    return nobody(route.name, pools, now)


def nobody(model: str, pools: Iterable[Sequence[Endpoint]], now: float) -> Failure:
    """The refusal of a request for `model`, which these pools serve."""
    waits = [_wait_s(endpoint, now) for pool in pools for endpoint in pool]
    seconds = max(1, ceil(min(waits, default=RECHECK_S)))
    why = "is available at the moment" if waits else "has started yet"
    return Failure(
        "no_replica", f"no replica of model {model!r} {why}; try again in {seconds} s", retry_after_s=float(seconds)
    )


def _unfit(route: ModelRoute, facts: RequestFacts, endpoints: list[Endpoint], now: float) -> Failure | None:
    """None where some endpoint could take the request, were it there."""
    over = passed_over(route, facts, now)
    if not endpoints or any(endpoint not in over for endpoint in endpoints):
        return None
    lacking = [
        name
        for rule in route.filters
        if isinstance(rule, Takes)
        for endpoint in endpoints
        for name in rule.lacking(endpoint, facts)
    ]
    if not lacking:
        return Failure("invalid_field", facts.needs.unreadable, facts.needs.unreadable_param)
    reasons = list(dict.fromkeys(f"{endpoint.engine} {reason}" for endpoint, reason in over.items()))
    told = "; ".join(reasons[:_MOST_NAMED])
    return Failure("unsupported_parameter", f"no target of model {route.name!r} takes this request: {told}", lacking[0])


def _wait_s(endpoint: Endpoint, now: float) -> float:
    """When it may be asked, as far as anybody knows."""
    state = endpoint.state
    if state.draining:
        return RECHECK_S
    # Its breaker lets a probe through then; one that is past that has a probe on its way.
    return max(0.0, state.breaker.open_until - now)
