"""Which tokens stand for which blocks of a prompt's bytes: so an engine's news of tokens is news for the prefix index.

An engine tells of blocks of tokens, by names of which each stands for everything before it; the index holds chains of
blocks of bytes (`routing.prefix.chain`). A prompt of which both are known links the two: if the block of tokens that
ends at token 1,000 of 4,000 is evicted, less than a quarter of the prompt is left. Bytes are taken to be spread evenly
over tokens, the same assumption that makes tokens of the depth in a decision: what is claimed is what is counted.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from routing.prefix.chain import BLOCK_BYTES

MOST_NAMES: Final = 131_072
"""Blocks of tokens linked: 2 million tokens in blocks of 16, about 20 MiB."""


class Linked:
    """A prompt of which both are known."""

    __slots__ = ("_bytes_before", "_bytes_per_name", "chain", "names")

    def __init__(
        self, chain: Sequence[int], names: Sequence[int], block_size: int, tokens: int, prompt_bytes: int, before: int
    ) -> None:
        self.chain = chain
        self.names = names
        self._bytes_per_name = (prompt_bytes + before) * block_size / max(1, tokens)
        self._bytes_before = before

    def depth(self, names: int) -> int:
        """How many blocks of bytes the first so many blocks of tokens hold."""
        return min(len(self.chain), max(0, int(names * self._bytes_per_name - self._bytes_before) // BLOCK_BYTES))


class TokenLinks:
    """The prompts linked lately, of one model: another has other chains, and may have another tokenizer."""

    def __init__(self, most_names: int = MOST_NAMES) -> None:
        self._most_names = most_names
        self._prompts: OrderedDict[int, Linked] = OrderedDict()
        """By number, the oldest first."""
        self._places: dict[int, tuple[int, int]] = {}
        """By name: a prompt, the last one linked that has it, and the place in it."""
        self._number = 0
        self._names = 0

    def __len__(self) -> int:
        return self._names

    def link(
        self,
        chain: Sequence[int],
        names: Sequence[int],
        block_size: int,
        tokens: int,
        prompt_bytes: int,
        before: int = 0,
    ) -> Linked:
        """A prompt's chain, and the names of its full blocks of tokens.

        `prompt_bytes` are what the chain was made of, in `tokens` with the `before` bytes that come first in it: tools.
        """
        linked = Linked(chain, names, block_size, tokens, prompt_bytes, before)
        self._number += 1
        self._prompts[self._number] = linked
        self._names += len(names)
        for at, name in enumerate(names):
            self._places[name] = self._number, at
        while self._names > self._most_names:
            number, oldest = self._prompts.popitem(last=False)
            self._names -= len(oldest.names)
            for name in oldest.names:
                if self._places.get(name, (0, 0))[0] == number:
                    del self._places[name]
        return linked

    def prompts(self, names: Sequence[int]) -> dict[int, tuple[Linked, int, int]]:
        """The prompts that have some of these blocks: by number, with the first and the last place of them."""
        found: dict[int, tuple[Linked, int, int]] = {}
        for name in names:
            place = self._places.get(name)
            if place is not None:
                number, at = place
                linked, first, last = found.get(number, (self._prompts[number], at, at))
                found[number] = linked, min(first, at), max(last, at)
        return found
