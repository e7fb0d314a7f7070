"""What the prefix index is to be, said plainly: sets of blocks and one order of use. A block is the prompt up to it."""

from __future__ import annotations

from collections import OrderedDict
from functools import cache

from routing.prefix.chain import BLOCK_BYTES, chain

Prompt = tuple[int, ...]
"""A letter for each block."""


@cache
def keys(prompt: Prompt) -> tuple[int, ...]:
    """The chain of a prompt."""
    return tuple(chain(b"".join(bytes([letter]) * BLOCK_BYTES for letter in prompt), 1))


class PrefixModel:
    """The same calls as `PrefixIndex`, with prompts for chains."""

    def __init__(self, capacity_pairs: int) -> None:
        self.capacity_pairs = capacity_pairs
        self.held: dict[int, set[Prompt]] = {}
        self.limits: dict[int, int] = {}
        self.order: OrderedDict[tuple[int, Prompt], None] = OrderedDict()

    def open(self, slot: int, limit: int | None) -> None:
        self.held[slot] = set()
        self.limits[slot] = self.capacity_pairs if limit is None else limit

    def drop(self, slot: int) -> None:
        for block in self.held.pop(slot):
            del self.order[slot, block]

    def limit(self, slot: int, blocks: int) -> None:
        self.limits[slot] = blocks
        while len(self.held[slot]) > blocks:
            self._forget(slot, next(block for at, block in self.order if at == slot))

    def add(self, prompt: Prompt, slot: int) -> None:
        for end in range(len(prompt), 0, -1):
            self.held[slot].add(prompt[:end])
            self.order[slot, prompt[:end]] = None
            self.order.move_to_end((slot, prompt[:end]))
        self.limit(slot, self.limits[slot])
        while len(self.order) > self.capacity_pairs:
            self._forget(*next(iter(self.order)))

    def depth(self, prompt: Prompt, slot: int) -> int:
        """How many blocks from the root on, without a gap."""
        depth = 0
        while depth < len(prompt) and prompt[: depth + 1] in self.held[slot]:
            depth += 1
        return depth

    def _forget(self, slot: int, block: Prompt) -> None:
        self.held[slot].remove(block)
        del self.order[slot, block]
