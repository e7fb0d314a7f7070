"""Requests that needed more than one attempt."""

from __future__ import annotations

from gateway.telemetry.metrics.family import counter

RETRIES = counter(
    "penstock_retries_total",
    "Requests sent again to the same engine before their first byte, by the reason.",
    "engine",
    "reason",
)
FALLBACKS = counter(
    "penstock_fallbacks_total", "Requests sent on to another engine before their first byte.", "model", "from", "to"
)

FAMILIES = (RETRIES, FALLBACKS)
