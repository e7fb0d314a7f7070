"""Experiments: who was given which arm, and what became of it."""

from __future__ import annotations

from gateway.telemetry.metrics.family import counter, gauge, most

EXPERIMENT_REQUESTS = counter(
    "penstock_experiment_requests_total",
    "Requests that were given an arm and are counted for it.",
    *("model", "experiment", "arm"),
)
EXPERIMENT_UNITS = counter(
    "penstock_experiment_units_total",
    "Units that met an arm, each once for every share it had; known where releases are decided.",
    *("model", "experiment", "arm"),
)
EXPERIMENT_EVENTS = counter(
    "penstock_experiment_events_total",
    "Requests of an arm that had such an event: errors, attempt_failures, refusals, length_stops.",
    *("model", "experiment", "arm", "metric"),
)
EXPERIMENT_WEIGHT = gauge(
    "penstock_experiment_weight",
    "The part of an experiment's units that an arm has, from 0 to 1.",
    *("model", "experiment", "arm"),
    combine=most,
)
EXPOSURE_LOST = counter(
    "penstock_experiment_exposure_lost_total",
    "Requests that did not name the unit that their experiment assigns by: served as the control is, and not counted.",
    *("model", "experiment"),
)
OBSERVATIONS_LOST = counter(
    "penstock_experiment_observations_lost_total",
    "What a worker had to tell the gate of a release and could not.",
)

FAMILIES = (
    EXPERIMENT_REQUESTS,
    EXPERIMENT_UNITS,
    EXPERIMENT_EVENTS,
    EXPERIMENT_WEIGHT,
    EXPOSURE_LOST,
    OBSERVATIONS_LOST,
)
