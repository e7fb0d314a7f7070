"""Replicas that are written into an orchestrator, and who writes them."""

from __future__ import annotations

from gateway.telemetry.metrics.family import counter, gauge, most

SCALE_WRITES = counter(
    "penstock_scale_writes_total",
    "Writes of an engine's number of replicas: written, conflict (tried again), failed; foreign: somebody else's.",
    "engine",
    "result",
)

LEADER = gauge(
    "penstock_leader",
    "1 while this gateway holds the Lease by which one of several scales engines, 0 while another does.",
    combine=most,
)

REPLICA_SLEEPS = counter(
    "penstock_replica_sleeps_total",
    "Replicas put to sleep and woken, by result: slept, woken; sleep_failed and wake_failed are tried again,"
    " and shortage (no descriptor or port of the gateway's own left to ask it) is no failure of theirs.",
    "engine",
    "result",
)

FAMILIES = (SCALE_WRITES, LEADER, REPLICA_SLEEPS)
