"""The other gateways, where there are any."""

from __future__ import annotations

from gateway.telemetry.metrics.family import add, gauge, most

PEER_AGE = gauge(
    "penstock_peer_age_seconds",
    "Seconds since the peer, by its address, last told its load; after 15 its figures count no more.",
    "peer",
    combine=most,
)
PEERS = gauge("penstock_peers", "Other gateways whose figures count.", combine=add)

FAMILIES = (PEER_AGE, PEERS)
