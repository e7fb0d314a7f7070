"""Releases: how far the gate is from a decision."""

from __future__ import annotations

from gateway.telemetry.metrics.family import counter, gauge, most

EXPERIMENT_EVIDENCE = gauge(
    "penstock_experiment_evidence",
    "How much evidence there is, as a part of what is enough: at 1 the test (rollback, promote, ceiling) decides; "
    "of units, mismatch: at 1 they do not fall as configured, and the gate holds.",
    *("model", "experiment", "metric", "test"),
    combine=most,
)
RELEASE_OBSERVATIONS_DROPPED = counter(
    "penstock_release_observations_dropped_total",
    "What workers saw of requests of experiments and the gate had no time to weigh, and what "
    "other gateways told of them in a form that this version cannot read, a batch counted as one.",
)
RELEASE_HELD = gauge(
    "penstock_release_held_seconds",
    "How long a ramp has been ripe for its next step but for what the gate, or a window, says; known where releases "
    "are decided.",
    *("model", "experiment", "arm"),
    combine=most,
)
RELEASE_MOST_HELD = gauge(
    "penstock_release_max_hold_seconds",
    "After how long of that somebody is to be told (max_hold_s).",
    *("model", "experiment", "arm"),
    combine=most,
)

FAMILIES = (EXPERIMENT_EVIDENCE, RELEASE_HELD, RELEASE_MOST_HELD, RELEASE_OBSERVATIONS_DROPPED)
