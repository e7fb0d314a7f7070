"""Shadow traffic: copies that were sent and what became of them, and those that were not."""

from __future__ import annotations

from gateway.telemetry.metrics.family import add, counter, gauge

SHADOW_REQUESTS = counter(
    "penstock_shadow_requests_total",
    "Copies of requests that were sent to a model's shadow: answered, failed, or given_up where a client's request had "
    "to wait or the gateway ended.",
    *("model", "result"),
)
SHADOW_DROPPED = counter(
    "penstock_shadow_dropped_total",
    "Requests that a model's shadow was to have a copy of, and had none, by the reason.",
    *("model", "reason"),
)
SHADOW_COST = counter(
    "penstock_shadow_cost_usd_total",
    "US dollars that copies have cost; no part of penstock_cost_usd_total.",
    "model",
)
SHADOW_IN_FLIGHT = gauge(
    "penstock_shadow_in_flight",
    "Copies that are being answered.",
    "model",
    combine=add,
)

FAMILIES = (SHADOW_REQUESTS, SHADOW_DROPPED, SHADOW_COST, SHADOW_IN_FLIGHT)
