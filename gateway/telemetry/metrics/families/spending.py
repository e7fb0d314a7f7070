"""What own engines cost by the hour."""

from __future__ import annotations

from gateway.telemetry.metrics.family import counter

GPU_COST = counter(
    "penstock_gpu_cost_usd_total",
    "US dollars that the engine's replicas have cost by the hour; `idle` is the part that no request pays.",
    "engine",
    "state",
)
"""`state` is `busy` or `idle`."""

FAMILIES = (GPU_COST,)
