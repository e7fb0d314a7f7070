"""What a router knows that hears the engines' KV events: the true caches, and for a while what it has just sent.

A prompt that waits is in no cache yet. Without an entry for it, its siblings in a burst would go elsewhere and each be
computed anew; so both llm-d (2 s) and Dynamo (5 s) keep predicted entries beside the events. The events' delay is left
out, to the advantage of those who use them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from gateway.virtual.fleet.block_index import ActiveBlocks
from gateway.virtual.fleet.replicas import TrueCaches


class ToldCaches:
    """Leading blocks by event or prediction."""

    def __init__(self, caches: TrueCaches, replicas: int, predicted_s: float) -> None:
        self._caches = caches
        self._predicted = ActiveBlocks(replicas)
        self._predicted_s = predicted_s
        self._until: deque[tuple[float, Sequence[int], int]] = deque()

    def depths(self, chain: Sequence[int], now: float) -> list[int]:
        """Leading blocks of the prompt that each replica has, or will have."""
        until = self._until
        while until and until[0][0] <= now:
            _, over, replica = until.popleft()
            self._predicted.remove(over, 0, replica)
        return list(map(max, self._caches.depths(chain), self._predicted.shared(chain)))

    def add(self, chain: Sequence[int], replica: int, now: float) -> None:
        """The replica was sent these."""
        self._predicted.add(chain, 0, replica)
        self._until.append((now + self._predicted_s, chain, replica))
