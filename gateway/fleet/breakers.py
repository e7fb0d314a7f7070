"""What the log says of circuit breakers: one line for each that opens or closes, with the reason."""

from __future__ import annotations

import structlog

from routing.replicas.replica import ReplicaKey

log = structlog.get_logger()


def breaker_changed(key: ReplicaKey, closed: bool, why: str, open_s: float) -> None:
    """For `routing.replicas.replica_table.ReplicaTable`."""
    engine, replica = key
    if closed:
        log.info("breaker_closed", engine=engine, replica=replica, why=why)
    else:
        log.warning("breaker_opened", engine=engine, replica=replica, why=why, open_s=round(open_s, 1))
