"""What one worker has in flight at each replica, told to the others by way of the control plane."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.workers.exchange.messages import Load, ReplicaLoad
from routing.replicas.replica_table import ReplicaTable

EVERY_S: Final = 0.02


class LoadTelling:
    """See the module."""

    def __init__(self, table: Callable[[], ReplicaTable], tell: Callable[[Load], bool]) -> None:
        """`table` is that of the moment; `tell` sends a message and returns whether it went out."""
        self._table = table
        self._tell = tell
        self._last: list[ReplicaLoad] = []

    async def tell(self) -> None:
        """Tell it, unless it is what was told last: the step of a loop."""
        loads = [
            ReplicaLoad(*state.key, state.in_flight_tokens, state.prefill_tokens, state.in_flight_requests)
            for state in self._table().busy()
        ]
        if loads != self._last and self._tell(Load(loads)):
            self._last = loads  # one that found no room is told again
