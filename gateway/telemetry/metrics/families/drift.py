"""Whether models are still what they were, as of the last whole hour."""

from __future__ import annotations

from gateway.telemetry.metrics.family import gauge, most

DRIFT = gauge(
    "penstock_drift",
    "Whether the signal drifted within the last day: 1, or 0.",
    *("model", "arm", "route", "signal"),
    combine=most,
)
DRIFT_DISTANCE = gauge(
    "penstock_drift_distance",
    "How far the last hour was off: PSI of an amount; of a rate, the evidence that it changed, of which 1 alarms.",
    *("model", "arm", "route", "signal"),
    combine=most,
)

FAMILIES = (DRIFT, DRIFT_DISTANCE)
