"""The simulated KV cache: a fixed number of blocks, shared by equal prompt prefixes, idle ones evicted oldest first.

Invariant: blocks held by running requests plus idle cached blocks never exceed the capacity.

A block's key chains over simulated *token ids*, as vLLM's does. It has nothing in common with the routing prefix
key (hashes over prompt text), on purpose: hit rates measured against this cache are evidence, not an echo.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence


def block_keys(token_ids: Sequence[int], block_size: int) -> tuple[int, ...]:
    """One key per full block; each depends on all tokens before it."""
    keys = []
    parent = 0
    for end in range(block_size, len(token_ids) + 1, block_size):
        parent = hash((parent, *token_ids[end - block_size : end]))
        keys.append(parent)
    return tuple(keys)


class BlockCache:
    """Block accounting of one server."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._held: dict[int, int] = {}  # key -> running requests that use the block
        self._idle: OrderedDict[int, None] = OrderedDict()  # cached, used by none; oldest first
        self._private = 0  # blocks that cannot be shared: partial prompt blocks and output

    @property
    def used(self) -> int:
        """Blocks that running requests need."""
        return len(self._held) + self._private

    @property
    def idle(self) -> int:
        """Blocks kept only in case a prefix comes again."""
        return len(self._idle)

    @property
    def usage_ratio(self) -> float:
        return self.used / self.capacity

    def cached(self, keys: Sequence[int]) -> int:
        """How many of the leading blocks are there. Changes nothing, and no block is younger for it.

        Bisected: a prompt's tail is the first to go, so where a block is, those before it are.
        """
        held, idle = self._held, self._idle
        low, high = 0, len(keys)
        while low < high:
            middle = (low + high) // 2
            key = keys[middle]
            if key in held or key in idle:
                low = middle + 1
            else:
                high = middle
        return low

    def allocate(self, keys: Sequence[int], private: int) -> int | None:
        """Hold a prompt's shareable blocks and `private` others; how many leading ones were cached.

        None, with nothing changed, when the blocks are not there.
        """
        held, idle = self._held, self._idle
        room = self.capacity - len(held) - self._private - private
        # A later block can outlive an earlier one: still no new block, but no hit either.
        if room < len(keys) and room < sum([key not in held for key in keys]):
            return None
        hits, leading = 0, True
        for key in keys:
            users = held.get(key)
            if users is not None:
                held[key] = users + 1
            else:
                held[key] = 1
                leading = key in idle and leading
                idle.pop(key, None)
            hits += leading
        self._private += private
        for _ in range(len(held) + self._private + len(idle) - self.capacity):
            idle.popitem(last=False)
        return hits

    def release(self, keys: Sequence[int], private: int) -> None:
        """Give back what `allocate` held. The prompt's blocks stay cached, its tail the first to go."""
        self._private -= private
        held, idle = self._held, self._idle
        for key in reversed(keys):
            users = held.pop(key) - 1
            if users:
                held[key] = users
            else:
                idle[key] = None

    def clear_idle(self) -> None:
        """Forget all cached prefixes that nothing uses."""
        self._idle.clear()
