"""What is spent: by keys, and on own engines by the hour."""

from __future__ import annotations

from gateway.telemetry.metrics.family import add, counter, gauge

GPU_COST = counter(
    "penstock_gpu_cost_usd_total",
    "US dollars that the engine's replicas have cost by the hour; `idle` is the part that no request pays.",
    "engine",
    "state",
)
"""`state` is `busy` or `idle`."""
SPENT = gauge(
    "penstock_spent_usd",
    "US dollars that the key's requests have cost since the day, or the month, began (UTC), where a price is known.",
    *("key", "tenant", "period"),
    combine=add,
)
"""`period` is `day` or `month`. Beyond a thousand keys `key` and `tenant` are `other`."""

FAMILIES = (GPU_COST, SPENT)
