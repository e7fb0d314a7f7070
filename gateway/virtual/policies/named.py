"""The policies that can be compared, by name: routing's own and the field's."""

from __future__ import annotations

from dataclasses import replace

from gateway.virtual.fleet.balancer import Policy
from gateway.virtual.policies.baselines.cache_aware import cache_aware
from gateway.virtual.policies.baselines.dynamo import dynamo
from gateway.virtual.policies.baselines.endpoint_picker import endpoint_picker, endpoint_picker_precise
from gateway.virtual.policies.baselines.least import least_requests, least_tokens
from gateway.virtual.policies.oracle import ROOMY, SCARCE, oracle
from gateway.virtual.policies.scenarios import TTFT_SLO_S
from routing.model import LATENCY, LEAST_LOAD, PREFIX, ROUND_ROBIN, SESSION, SLO

# Plain baselines as well as ours: these two send to a full replica, too, as whoever publishes them does.
REFUSING = "slo_refusing"
"""Ours, where the model refuses at once what would be late (`slo.refuse_late`)."""

POLICIES: dict[str, Policy] = {
    ROUND_ROBIN: Policy(ROUND_ROBIN),
    LEAST_LOAD: Policy(LEAST_LOAD),
    LATENCY: Policy(LATENCY, spares=True),
    PREFIX: Policy(PREFIX, spares=True),
    SESSION: Policy(SESSION, spares=True),
    REFUSING: Policy(SLO, spares=True, refuse_late=True),
    "prefix_told": Policy(PREFIX, foresees=True, spares=True),
    "least_requests": Policy(rule=least_requests),
    "least_tokens": Policy(rule=least_tokens),
    "sglang_cache_aware": Policy(rule=cache_aware),
    "llm_d_epp": Policy(rule=endpoint_picker),
    "llm_d_epp_precise": Policy(rule=endpoint_picker_precise),
    "dynamo": Policy(rule=dynamo),
    "oracle": oracle(SCARCE),
    "oracle_roomy": oracle(ROOMY),
}

TWINS = {PREFIX: "prefix_told", "llm_d_epp": "llm_d_epp_precise"}
"""A policy that remembers what it sent, and the same one that is told what the caches hold."""

USUAL = (
    PREFIX,
    REFUSING,
    "prefix_told",
    LEAST_LOAD,
    ROUND_ROBIN,
    "least_requests",
    "sglang_cache_aware",
    "llm_d_epp",
    "dynamo",
)
"""Those that are compared unless others are named: ours, and whom it has to beat."""

OURS = PREFIX
"""Whom the others are compared with, unless it is said otherwise."""


def policy_named(name: str, ttft_slo_s: float = TTFT_SLO_S) -> Policy:
    """The policy of a name, for that objective if it keeps one. Raises ValueError, naming the known ones."""
    policy = POLICIES.get(name)
    if policy is None:
        raise ValueError(f"unknown policy {name[:64]!r}; known policies: {', '.join(POLICIES)}")
    return replace(policy, slo_ttft_ms=1e3 * ttft_slo_s) if policy.routing == SLO else policy
