"""What is shown of the ways in which caches are known."""

from __future__ import annotations

from gateway.fleet.predictions import watch_predictions
from gateway.telemetry.metrics import Metrics
from routing.replicas.replica_table import ReplicaTable


def test_each_replica_is_shown_with_what_its_cache_is_known_by() -> None:
    table, metrics = ReplicaTable(), Metrics(())
    states = {name: table.get(("e", name)) for name in ("told", "reporting", "silent", "new")}
    for state in states.values():
        table.slot_of(state)
    states["reporting"].tally.take(100, 90, 200, 1.0)
    states["silent"].tally.take(100, 0, 200, 1.0)
    complete = {("e", "told"), ("e", "gone")}
    watch_predictions(metrics, lambda: table, complete)

    def shown() -> set[tuple[str, ...]]:
        return {one.labels for one in metrics.others()[1] if one.name == "penstock_prefix_mode"}

    assert {("e", "told", "events"), ("e", "reporting", "approximate"), ("e", "silent", "unknown")} == shown()
    complete.clear()
    assert {("e", "reporting", "approximate"), ("e", "silent", "unknown")} == shown()
