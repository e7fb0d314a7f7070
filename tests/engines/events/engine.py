"""An engine that publishes as vLLM does, without any socket: numbered batches, a replay of the last few, restarts."""

from __future__ import annotations

from array import array
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Any

import msgspec

from engines.events import token_keys

BLOCK_SIZE = 2
encode = msgspec.msgpack.Encoder().encode


class PublishingEngine:
    """Its cache holds `capacity` blocks; the least recently used ones go first, and of a prompt the last ones."""

    def __init__(self, capacity: int = 6, buffer_steps: int = 4, *, maps: bool = True) -> None:
        self._capacity = capacity
        self._buffer_steps = buffer_steps
        self._maps = maps
        self._clock_s = 0.0
        self._incarnation = 0
        self.sent: list[tuple[int, bytes]] = []
        """What was published and nobody has taken away yet."""
        self.restart()

    def restart(self) -> None:
        """With an empty cache, and numbers from 0."""
        self._incarnation += 1
        self._number = 0
        self._buffer: deque[tuple[int, bytes]] = deque(maxlen=self._buffer_steps)
        self._held: OrderedDict[int, None] = OrderedDict()
        """Names of blocks (`token_keys`), the least recently used first."""

    @property
    def held(self) -> set[int]:
        return set(self._held)

    def replay(self, number: int) -> list[tuple[int, bytes]]:
        return [one for one in self._buffer if one[0] >= number]

    def serve(self, tokens: Sequence[int]) -> None:
        """Compute a prompt: store what is not there, evict for it, and publish both."""
        names = token_keys(array("I", tokens), BLOCK_SIZE)[: self._capacity]
        new = [name for name in names if name not in self._held]
        for name in reversed(names):  # the first block is the last to go
            if name in self._held:
                self._held.move_to_end(name)
        events: list[Any] = []
        for _ in range(len(self._held) + len(new) - self._capacity):
            gone, _none = self._held.popitem(last=False)
            events.append(self._removed(gone))
        if new:
            first = len(names) - len(new)
            assert names[first:] == new, "what is held of a prompt is its beginning"
            part = list(tokens[first * BLOCK_SIZE : len(names) * BLOCK_SIZE])
            events.append(self._stored(new, names[first - 1] if first else None, part))
            for name in reversed(names):
                self._held.pop(name, None)
                self._held[name] = None
        if events:
            self.publish(events)

    def clear(self) -> None:
        self._held.clear()
        self.publish([{"type": "AllBlocksCleared"} if self._maps else ["AllBlocksCleared"]])

    def publish(self, events: list[Any]) -> None:
        self._clock_s += 1.0
        batch = self._number, encode([self._clock_s, events, 0])
        self._number += 1
        self._buffer.append(batch)
        self.sent.append(batch)

    def _name(self, name: int) -> int:
        """As this incarnation calls it: with another seed each time."""
        return (name + self._incarnation) & 0xFFFF_FFFF_FFFF_FFFF

    def _stored(self, names: list[int], parent: int | None, tokens: list[int]) -> Any:
        hashes = [self._name(name) for name in names]
        before = None if parent is None else self._name(parent)
        if self._maps:
            return {
                "type": "BlockStored",
                "block_hashes": hashes,
                "parent_block_hash": before,
                "token_ids": tokens,
                "block_size": BLOCK_SIZE,
            }
        return ["BlockStored", hashes, before, tokens, BLOCK_SIZE, None, "GPU"]

    def _removed(self, name: int) -> Any:
        hashes = [self._name(name)]
        return {"type": "BlockRemoved", "block_hashes": hashes} if self._maps else ["BlockRemoved", hashes]
