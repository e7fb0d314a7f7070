"""What one worker shows of its guesses at what engines have cached."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from gateway.telemetry.metrics import Metrics
from gateway.telemetry.metrics.families.prefix_predictions import (
    PREFIX_ERROR_RATIO,
    PREFIX_ERROR_TOKENS,
    PREFIX_MODE,
    PREFIX_REPORTED,
)
from routing.prefix.tally import PrefixTally
from routing.replicas.replica import ReplicaKey
from routing.replicas.replica_table import ReplicaTable

EVENTS, APPROXIMATE, UNKNOWN = "events", "approximate", "unknown"


def watch_predictions(metrics: Metrics, table: Callable[[], ReplicaTable], complete: Collection[ReplicaKey]) -> None:
    """Show them of the replicas in `table`, asked anew each time; `complete` are those whose engines tell of their
    caches and have missed nothing."""

    def of(figure: Callable[[PrefixTally], float | None]) -> Iterator[tuple[ReplicaKey, float | None]]:
        for state in list(table().slotted.values()):  # replicas come and go while it is read
            yield state.key, figure(state.tally) if state.tally.predicted else None

    def modes() -> Iterator[tuple[tuple[str, ...], float | None]]:
        for state in table():
            if state.key in complete:
                yield (*state.key, EVENTS), 1.0
            elif state.tally.predicted:
                yield (*state.key, APPROXIMATE if state.tally.reports else UNKNOWN), 1.0
            else:
                yield state.key, None

    metrics.watch(PREFIX_MODE, modes)
    metrics.watch(PREFIX_REPORTED, lambda: of(lambda tally: float(tally.reports)))
    metrics.watch(PREFIX_ERROR_TOKENS, lambda: of(lambda tally: tally.error_tokens))
    metrics.watch(PREFIX_ERROR_RATIO, lambda: of(lambda tally: tally.error_ratio))
