"""What the control plane shows of itself among the metrics, read when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gateway.telemetry import logs
from gateway.telemetry.metrics.families.configuration import CONFIG_RELOADS
from gateway.telemetry.metrics.families.loops import LOOP_AGE, LOOP_RESTARTS
from gateway.telemetry.metrics.families.records import RECORDS_DROPPED
from gateway.telemetry.metrics.families.replicas import REPLICAS

if TYPE_CHECKING:
    from gateway.control.plane import Plane
    from gateway.process.supervisor import Supervisor


def watch_plane(plane: Plane, supervisor: Supervisor) -> None:
    """Have the plane's metrics read its parts."""
    metrics = plane.metrics
    for result in ("applied", "refused"):
        metrics.count(CONFIG_RELOADS, result, by=0)
    metrics.watch(
        LOOP_AGE,
        lambda: [((name,), age) for name, age in {**supervisor.ages_s(), **plane.scaling.ages_s()}.items()],
    )
    metrics.watch_counts(LOOP_RESTARTS, lambda: [((loop,), n) for loop, n in supervisor.restarts().items()])
    metrics.watch(REPLICAS, lambda: _replica_states(plane))
    metrics.watch_count(RECORDS_DROPPED, ("process_log",), logs.dropped)


def _replica_states(plane: Plane) -> Iterator[tuple[tuple[str, str], float]]:
    states = {**plane.roster.states(), **plane.launches.states()}
    return ((key, float(count)) for key, count in states.items())
