"""The policies that can be compared, by name: routing's own and the field's."""

from __future__ import annotations

from gateway.virtual.balancer import Build, of_routing
from gateway.virtual.baselines.cache_aware import cache_aware
from gateway.virtual.baselines.dynamo import dynamo
from gateway.virtual.baselines.endpoint_picker import endpoint_picker, endpoint_picker_precise
from gateway.virtual.baselines.least import least_requests, least_tokens
from gateway.virtual.oracle import oracle
from routing.model import LEAST_LOAD, ROUND_ROBIN

POLICIES: dict[str, Build] = {
    ROUND_ROBIN: of_routing(ROUND_ROBIN),
    LEAST_LOAD: of_routing(LEAST_LOAD),
    "least_requests": least_requests,
    "least_tokens": least_tokens,
    "sglang_cache_aware": cache_aware,
    "llm_d_epp": endpoint_picker,
    "llm_d_epp_precise": endpoint_picker_precise,
    "dynamo": dynamo,
    "oracle": oracle,
}

TWINS = {"llm_d_epp": "llm_d_epp_precise"}
"""A policy that remembers what it sent, and the same one that is told what the caches hold."""

OURS = LEAST_LOAD
"""Whom the others are compared with, unless it is said otherwise."""


def policy_named(name: str) -> Build:
    """The policy of a name. Raises ValueError, naming the known ones."""
    build = POLICIES.get(name)
    if build is None:
        raise ValueError(f"unknown policy {name[:64]!r}; known policies: {', '.join(POLICIES)}")
    return build
