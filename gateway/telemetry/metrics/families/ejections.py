"""Replicas that stand aside because their peers do better."""

from __future__ import annotations

from gateway.telemetry.metrics.family import counter, gauge, most

EJECTIONS = counter(
    "penstock_ejections_total",
    "How often a replica was made to stand aside because its peers do better, by a worker; failing or slow.",
    *("engine", "replica", "reason"),
)
EJECTED = gauge(
    "penstock_replica_ejected",
    "1 while a replica stands aside because its peers do better, in any worker.",
    *("engine", "replica"),
    combine=most,
)

FAMILIES = (EJECTIONS, EJECTED)
