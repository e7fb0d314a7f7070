"""One's own traffic, and what the autoscaler would have done with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gateway.virtual.scaling.compare import attained
from gateway.virtual.scaling.pool import REPLICA, ElasticPool, Terms
from gateway.virtual.scaling.rules.ours import Ours
from gateway.virtual.trace import Arrival, calls_of
from routing.autoscale.settings import AutoscaleSettings
from routing.autoscale.signals import Bounds


def replay(
    arrivals: Sequence[Arrival],
    startup_s: float,
    least: int,
    most: int,
    ttft_ms: float,
    prefill_tokens_per_s: float,
    usd_per_hour: float,
) -> str:
    """Each change of the number of replicas, and the sums. Raises ValueError for a request that no replica can hold."""
    rule = Ours(AutoscaleSettings(ttft_ms=ttft_ms, startup_s=startup_s), Bounds(least, most))
    gpu = replace(REPLICA, prefill_tokens_per_s=prefill_tokens_per_s)
    terms = Terms(startup_s, least, most, initial=max(1, least), gpu=gpu)
    played = ElasticPool(rule, terms, 1).play(calls_of(arrivals))
    lines = [
        f"{at_s:8.0f} s  {decision.had:3} -> {decision.wanted:<3}  {decision.sentence}"
        for at_s, decision in rule.decisions
    ]
    hours = played.replica_s / 3600.0
    cost = f", {hours * usd_per_hour:.2f} USD" if usd_per_hour else ""
    lines.append(
        f"{len(arrivals)} requests, {attained(played, ttft_ms / 1000.0):.2%} of first tokens within {ttft_ms:.0f} ms; "
        f"{hours:.2f} replica-hours{cost}; {len(played.changes)} changes, {played.most} replicas at most"
    )
    return "\n".join(lines) + "\n"
