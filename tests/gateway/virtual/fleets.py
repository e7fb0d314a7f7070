"""Small fleets and short traffic."""

from __future__ import annotations

from gateway.virtual.fleet.modelled import ALONE, Crew, ModelledFleet
from gateway.virtual.fleet.replicas import Gpu
from gateway.virtual.policies.named import policy_named
from gateway.virtual.trace import Arrival, Call, calls_of
from gateway.virtual.workloads import shared_prompts

SMALL = Gpu(cache_tokens=8_000)


def shared_calls(rate_per_s: float = 60.0, duration_s: float = 2.0, seed: int = 1) -> list[Call]:
    return calls_of(shared_prompts(seed, rate_per_s, duration_s, prefixes=8, prefix_tokens=1024))


def fleet_of(policy: str, replicas: int = 3, crew: Crew = ALONE, seed: int = 1) -> ModelledFleet:
    return ModelledFleet((SMALL,) * replicas, policy_named(policy), seed, crew)


def evenly(count: int, gap_s: float, input_tokens: int, output_tokens: int = 1) -> list[Call]:
    """Prompts with nothing in common, one every `gap_s`."""
    return calls_of(
        [
            Arrival(arrival_ms=1000 * gap_s * i, input_tokens=input_tokens, output_tokens=output_tokens)
            for i in range(count)
        ]
    )
