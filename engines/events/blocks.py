"""The blocks that one engine holds, by the tokens that they stand for.

An engine names its blocks by hashes that depend on its version and its seed. Here the name of a block is a hash of its
tokens and of the name of the block before, so that one prompt's blocks have the same names whatever engine holds them,
and its tokens alone tell them (`token_keys`). A block whose beginning is not known has no name and is passed over.
"""

from __future__ import annotations

from array import array
from typing import Final

from xxhash import xxh3_64_intdigest

from engines.events.wire import GPU, Removed, Stored

MOST_BLOCKS: Final = 131_072
"""Of one engine: 2 million tokens in blocks of 16, about 25 MiB."""


def token_keys(tokens: array[int], block_size: int, key: int = 0) -> list[int]:
    """The names of the full blocks of these tokens; `key` is that of the block before."""
    keys: list[int] = []
    raw = memoryview(tokens).cast("B")
    step = block_size * tokens.itemsize
    for at in range(0, len(raw) // step * step, step):
        key = xxh3_64_intdigest(raw[at : at + step], key)
        keys.append(key)
    return keys


class Blocks:
    """Bounded: an engine that holds more is no longer followed, until it has told that it holds nothing."""

    def __init__(self, most_blocks: int = MOST_BLOCKS) -> None:
        self._most_blocks = most_blocks
        self._names: dict[int, int] = {}
        """By the engine's hash."""
        self._media: dict[int, set[str]] = {}
        """Where blocks are held, of those that are, or were, not only on the GPU."""
        self._held: dict[int, int] = {}
        """How many hashes stand for a name."""
        self.block_size = 0
        """Tokens; 0 until something was stored."""
        self.complete = False
        """Whether everything that the engine holds was told since it held nothing."""

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._held

    def leading(self, names: list[int]) -> int:
        """How many of a prompt's blocks are held, from its beginning."""
        return next((at for at, name in enumerate(names) if name not in self._held), len(names))

    def clear(self, *, complete: bool) -> None:
        """Nothing is known to be held; `complete`: and nothing is."""
        self._names, self._media, self._held = {}, {}, {}
        self.complete = complete

    def store(self, event: Stored) -> list[int]:
        """Take it in; returns the names of those blocks that are known now, in order."""
        names, size = self._names, event.block_size
        if len(event.hashes) * size != len(event.tokens) or (self.block_size and size != self.block_size):
            self.complete = False  # blocks that are not full, or of another size
            return []
        if event.parent is None:
            key = xxh3_64_intdigest(event.variant.encode()) if event.variant else 0
        elif event.parent in names:
            key = names[event.parent]
        else:
            self.complete = False
            return []
        if len(names) + len(event.hashes) > self._most_blocks:
            self.clear(complete=False)
            return []
        self.block_size = size
        keys = token_keys(event.tokens, size, key)
        for hash_, name in zip(event.hashes, keys, strict=True):
            media = self._media.get(hash_)
            if media is None and event.medium != GPU:
                media = self._media[hash_] = {GPU} if hash_ in names else set()
            if media is not None:
                media.add(event.medium)
            if hash_ not in names:
                names[hash_] = name
                self._held[name] = self._held.get(name, 0) + 1
        return keys

    def remove(self, event: Removed) -> list[int]:
        """Take it in; returns the names of those blocks that are held nowhere any more."""
        gone: list[int] = []
        for hash_ in event.hashes:
            name = self._names.get(hash_)
            if name is None:
                continue
            media = self._media.get(hash_)
            if media is not None:
                media.discard(event.medium)
                if media:
                    continue
                del self._media[hash_]
            del self._names[hash_]
            if self._held[name] == 1:
                del self._held[name]
                gone.append(name)
            else:
                self._held[name] -= 1
        return gone
