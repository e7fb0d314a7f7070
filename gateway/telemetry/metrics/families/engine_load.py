"""What engines say of their own load."""

from __future__ import annotations

from gateway.telemetry.metrics.family import gauge, most

ENGINE_WAITING = gauge(
    "penstock_engine_waiting",
    "Requests that wait inside the engine, of this gateway and others, where it tells.",
    *("engine", "replica"),
    combine=most,
)
ENGINE_KV_USAGE = gauge(
    "penstock_engine_kv_usage_ratio",
    "What part of the engine's KV cache is in use, 0 to 1, where it tells.",
    *("engine", "replica"),
    combine=most,
)

FAMILIES = (ENGINE_WAITING, ENGINE_KV_USAGE)
