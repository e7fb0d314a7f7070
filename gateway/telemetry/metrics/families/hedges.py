"""Second attempts beside one whose first byte was late."""

from __future__ import annotations

from gateway.telemetry.metrics.family import counter

HEDGES = counter(
    "penstock_hedges_total",
    "Second attempts of late streams: the second one was answered first (won), the first one was (lost), or neither.",
    "model",
    "result",
)
HEDGES_WITHHELD = counter(
    "penstock_hedges_withheld_total",
    "Late streams that were not asked for a second time, by the reason.",
    "model",
    "reason",
)

FAMILIES = (HEDGES, HEDGES_WITHHELD)
