"""How much of prompts engines found in their prefix caches."""

from __future__ import annotations

from gateway.telemetry.metrics.family import gauge, most

PREFIX_HIT_RATIO = gauge(
    "penstock_prefix_hit_ratio",
    "What part of the last minute's prompt tokens the engine found in its prefix cache, 0 to 1, where it tells.",
    *("engine", "replica"),
    combine=most,
)

FAMILIES = (PREFIX_HIT_RATIO,)
