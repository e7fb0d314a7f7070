"""Filters: what an endpoint cannot do for this request, said before anything is compared or picked.

A filter never ranks. It says why it passes an endpoint over, in words for an operator, and an endpoint that any filter
passes over is not asked, on the first attempt or a later one. A route has no filters unless a feature adds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from routing.facts import RequestFacts
from routing.model import Endpoint
from routing.route import ModelRoute, Tiers


class Filter(Protocol):
    """One reason for which endpoints may be passed over."""

    def concerns(self, facts: RequestFacts) -> bool:
        """Whether it could pass anybody over for this request: asked once, where there may be many endpoints."""

    def passes_over(self, endpoint: Endpoint, facts: RequestFacts, now: float) -> str:
        """Why the endpoint is no place for the request; empty when this filter has nothing against it."""


def passed_over(route: ModelRoute, facts: RequestFacts, now: float) -> Mapping[Endpoint, str]:
    """The endpoints that speak the operation and are passed over all the same, each with one reason: that it lacks the
    adapter, else what the first filter says."""
    speakers = route.speakers.get(facts.operation)
    if speakers is None:
        return {}
    reasons = refused(route, speakers, facts, now)
    if route.held is None:
        return reasons
    lacking = route.held.lacking(speakers)
    return {**reasons, **lacking} if reasons else lacking


def refused(route: ModelRoute, tiers: Tiers, facts: RequestFacts, now: float) -> dict[Endpoint, str]:
    """Those in the tiers that a filter passes over, each with the first one's reason."""
    reasons: dict[Endpoint, str] = {}
    rules = [rule for rule in route.filters if rule.concerns(facts)]
    if not rules:
        return reasons
    for pool in tiers.pools:
        for endpoint in pool:
            for rule in rules:
                reason = rule.passes_over(endpoint, facts, now)
                if reason:
                    reasons[endpoint] = reason
                    break
    return reasons
