"""Background loops."""

from __future__ import annotations

from gateway.telemetry.metrics.family import counter, gauge, most

LOOP_AGE = gauge(
    "penstock_loop_last_success_age_seconds",
    "Seconds since the control loop last succeeded; of Kubernetes, `leader_election` and `scaling:ENGINE` among them.",
    "loop",
    combine=most,  # the stalest shows
)

LOOP_RESTARTS = counter(
    "penstock_loop_restarts_total",
    "Times that the control loop died of an exception, which is logged, and was restarted after a back-off.",
    "loop",
)

PROBES_UNSENT = counter(
    "penstock_probes_unsent_total",
    "Health probes that were not sent because the gateway could open no connection; they judge no replica.",
    "engine",
)

OUT_OF_DESCRIPTORS = counter(
    "penstock_out_of_descriptors_total",
    "Looks, one a second in each worker, that found no file descriptor left: new clients are let go unheard meanwhile.",
)

FAMILIES = (LOOP_AGE, LOOP_RESTARTS, PROBES_UNSENT, OUT_OF_DESCRIPTORS)
