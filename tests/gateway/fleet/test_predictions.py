"""What is shown of the ways in which caches are known."""

from __future__ import annotations

from gateway.fleet.predictions import watch_predictions
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.metrics.snapshot import AT_ONCE
from routing.replicas.replica_table import ReplicaTable


def test_each_replica_is_shown_with_what_its_cache_is_known_by() -> None:
    table, metrics = ReplicaTable(), Metrics(())
    states = {name: table.get(("e", name)) for name in ("told", "reporting", "silent", "new")}
    for state in states.values():
        table.slot_of(state)
    states["reporting"].tally.take(100, 90, 200, 1.0, 1.0)
    states["silent"].tally.take(100, 0, 200, 1.0, 1.0)
    complete = {("e", "told"), ("e", "gone")}
    watch_predictions(metrics, lambda: table, complete)

    def shown() -> set[tuple[str, ...]]:
        return {one.labels for one in metrics.others()[1] if one.name == "penstock_prefix_mode"}

    assert {("e", "told", "events"), ("e", "reporting", "approximate"), ("e", "silent", "unknown")} == shown()
    complete.clear()
    assert {("e", "reporting", "approximate"), ("e", "silent", "unknown")} == shown()


def test_those_of_whom_nothing_is_shown_are_passed_over_in_steps_too() -> None:
    table, metrics = ReplicaTable(), Metrics(())
    watch_predictions(metrics, lambda: table, set())
    for number in range(AT_ONCE * 3):
        table.slot_of(table.get(("e", str(number))))
    assert sum(1 for _ in metrics.read_others()) >= 4 * 3
    assert metrics.others() == ([], [])


def test_replicas_may_come_and_go_while_those_of_a_large_fleet_are_read() -> None:
    table, metrics = ReplicaTable(), Metrics(())
    watch_predictions(metrics, lambda: table, set())

    def come(name: str) -> None:
        state = table.get(("e", name))
        table.slot_of(state)
        state.tally.take(100, 90, 200, 1.0, 1.0)

    for number in range(AT_ONCE * 2):
        come(str(number))
    turns = 0
    for turns, _ in enumerate(metrics.read_others(), 1):
        come(f"new {turns}")
        table.succeed(("e", str(turns)))
    assert turns > 4 * 2  # each family in several
    assert {("e", "new 1"), ("e", str(AT_ONCE))} <= {one.labels for one in metrics.others()[1]}
