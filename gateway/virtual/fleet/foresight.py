"""What each replica's cache will hold when it comes to a prompt that is sent now: what is true, and nobody knows.

That is what the cache holds, and the prompts before it in the queue. The cache alone would mislead: of a burst of equal
prompts none is cached until the first is computed.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.virtual.fleet.block_index import ActiveBlocks
from gateway.virtual.fleet.replicas import TrueCaches
from gateway.virtual.trace import Call


class Foresight:
    """Shared by all gateways of a fleet."""

    def __init__(self, caches: TrueCaches, replicas: int) -> None:
        self._caches = caches
        self._coming = ActiveBlocks(replicas)

    def depths(self, chain: Sequence[int]) -> list[int]:
        """Leading blocks of the prompt that each replica will have."""
        return list(map(max, self._caches.depths(chain), self._coming.shared(chain)))

    def sent(self, call: Call, replica: int) -> None:
        """The call stands in the replica's queue."""
        self._coming.add(call.chain, 0, replica)

    def first_token(self, call: Call, replica: int) -> None:
        """Its prompt is computed."""
        self._coming.remove(call.chain, 0, replica)
