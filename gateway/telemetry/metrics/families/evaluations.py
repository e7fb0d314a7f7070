"""What was found of answers afterwards, in the process of the store."""

from __future__ import annotations

from gateway.telemetry.metrics.family import counter

EVALUATIONS = counter(
    "penstock_evaluations_total",
    "Answers, or pairs of a request's and its copy's, that an evaluator was given, by what became of that.",
    *("evaluator", "result"),
)

FAMILIES = (EVALUATIONS,)
