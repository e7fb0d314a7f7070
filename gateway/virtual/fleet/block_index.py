"""Which replica has which blocks: those it was sent of late, and those of the requests that are under way."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence


class BlockIndex:
    """Exact and unhurried; no replica has more than `most_blocks`."""

    def __init__(self, replicas: int, most_blocks: Sequence[int]) -> None:
        self._lru: list[OrderedDict[int, None]] = [OrderedDict() for _ in range(replicas)]
        self._most = list(most_blocks)
        self._having: dict[int, int] = {}  # block -> bit mask of replicas

    def depths(self, chain: Sequence[int], now: float) -> list[int]:
        """Leading blocks that each replica has."""
        return leading(self._having, chain, len(self._lru))

    def add(self, chain: Sequence[int], replica: int, now: float) -> None:
        """The replica was sent these; the oldest blocks over its bound are forgotten."""
        lru, having, bit = self._lru[replica], self._having, 1 << replica
        for block in chain:
            if block in lru:
                lru.move_to_end(block)
            else:
                lru[block] = None
                having[block] = having.get(block, 0) | bit
        while len(lru) > self._most[replica]:
            block, _ = lru.popitem(last=False)
            left = having[block] & ~bit
            if left:
                having[block] = left
            else:
                del having[block]


class ActiveBlocks:
    """The blocks of the requests that are under way, each counted once for a replica."""

    def __init__(self, replicas: int) -> None:
        self.blocks = [0] * replicas
        self._users: list[dict[int, int]] = [{} for _ in range(replicas)]
        self._having: dict[int, int] = {}

    def shared(self, chain: Sequence[int]) -> list[int]:
        """Blocks of the prompt that are active at each replica already."""
        return leading(self._having, chain, len(self.blocks))

    def add(self, chain: Sequence[int], own: int, replica: int) -> None:
        """A request of these blocks, and `own` that no other has."""
        users, having, bit = self._users[replica], self._having, 1 << replica
        fresh = own
        for block in chain:
            count = users.get(block, 0)
            users[block] = count + 1
            if not count:
                fresh += 1
                having[block] = having.get(block, 0) | bit
        self.blocks[replica] += fresh

    def remove(self, chain: Sequence[int], own: int, replica: int) -> None:
        """It is over."""
        users, having, bit = self._users[replica], self._having, 1 << replica
        gone = own
        for block in chain:
            count = users[block] - 1
            if count:
                users[block] = count
                continue
            del users[block]
            gone += 1
            left = having[block] & ~bit
            if left:
                having[block] = left
            else:
                del having[block]
        self.blocks[replica] -= gone


def leading(having: dict[int, int], chain: Sequence[int], replicas: int) -> list[int]:
    """How many leading blocks of the chain each replica has, from a bit mask per block."""
    found = [0] * replicas
    mask = (1 << replicas) - 1
    depth = 0
    for depth, block in enumerate(chain):
        gone = mask & ~having.get(block, 0)
        if gone:
            _note(found, gone, depth)
            mask &= ~gone
            if not mask:
                return found
    _note(found, mask, len(chain))
    return found


def _note(found: list[int], mask: int, depth: int) -> None:
    while mask:
        low = mask & -mask
        found[low.bit_length() - 1] = depth
        mask ^= low
