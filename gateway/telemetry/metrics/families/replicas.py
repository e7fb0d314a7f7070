"""The replicas of an engine, and what keeps traffic from them."""

from __future__ import annotations

from gateway.telemetry.metrics.family import gauge, most

REPLICAS = gauge("penstock_replicas", "Replicas of the engine, by state.", "engine", "state", combine=most)
REPLICAS_WANTED = gauge(
    "penstock_replicas_wanted",
    "Replicas that the engine should have, where they follow its traffic.",
    "engine",
    combine=most,
)
BREAKER_OPEN = gauge(
    "penstock_breaker_open",
    "1 while a circuit breaker keeps traffic from the replica, in any worker; 0 once it has closed; absent before.",
    "engine",
    "replica",
    combine=most,
)
ACCESS_TOKEN_SECONDS = gauge(
    "penstock_access_token_seconds",
    "Seconds that the engine's access token is good for; 0 while there is none.",
    "engine",
    combine=most,
)

REPLICA_VERSIONS = gauge(
    "penstock_replica_versions",
    "Replicas of the engine that say they are this version of it; a rolling upgrade has two.",
    *("engine", "version"),
    combine=most,
)
DISCOVERY_AGE = gauge(
    "penstock_discovery_age_seconds",
    "Seconds since whoever finds the engine's replicas (Kubernetes, a name server) last said something.",
    "engine",
    combine=most,
)

FAMILIES = (REPLICAS, REPLICAS_WANTED, BREAKER_OPEN, ACCESS_TOKEN_SECONDS, REPLICA_VERSIONS, DISCOVERY_AGE)
