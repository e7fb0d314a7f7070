"""Background loops."""

from __future__ import annotations

from gateway.telemetry.metrics.family import gauge, most

LOOP_AGE = gauge(
    "penstock_loop_last_success_age_seconds",
    "Seconds since the control loop last succeeded.",
    "loop",
    combine=most,  # the stalest shows
)

FAMILIES = (LOOP_AGE,)
