"""Which slots hold which blocks: spans, found from the root of a prompt on.

A span is a stretch of consecutive blocks of one chain that the same slots hold: the packed keys of its blocks, and a
mask of slots, both found by the key of its first block. Spans know neither parents nor children. A chain is walked by
its own keys: where it leaves a span, or the span ends, the next key of the chain is the first of another span or of
none. So a branch needs no cut, and a prompt costs as many steps as its holders differ along it, two or three, not as
many as it has blocks. A span is cut in two where a slot comes to hold, or stops holding, a part of it. Two in a row
that the same slots hold are joined when next a slot is sent them, unless a run (`routing.prefix.holding`) begins
between the two: a run is found by its first key, so a span begins wherever a run does.

A key stands for all the keys before it, so two stretches that agree in their last block agree in all of them: comparing
is one look, and where they part is found by bisection.

The tables are sharded, so that none of them ever grows by more than a few thousand entries at once, and hold only
integers and bytes, which the garbage collector does not visit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Final

KEY_BYTES: Final = 8
SHARD_MASK: Final = 255
key_at: Final[Callable[[bytes, int], tuple[int]]] = Struct("=Q").unpack_from
"""The key at an offset, in bytes, of packed keys."""


def common(keys: bytes, chain: Sequence[int], at: int) -> int:
    """How many of the packed keys are those of the chain from `at` on. The first one is."""
    most = min(len(keys) // KEY_BYTES, len(chain) - at)
    if key_at(keys, (most - 1) * KEY_BYTES)[0] == chain[at + most - 1]:
        return most
    same, other = 1, most - 1
    while same < other:
        middle = (same + other) // 2
        if key_at(keys, middle * KEY_BYTES)[0] == chain[at + middle]:
            same = middle + 1
        else:
            other = middle
    return same


class Spans:
    """All spans of an index."""

    def __init__(self) -> None:
        self._keys: list[dict[int, bytes]] = [{} for _ in range(SHARD_MASK + 1)]
        self._masks: list[dict[int, int]] = [{} for _ in range(SHARD_MASK + 1)]
        self._begun: list[dict[int, int]] = [{} for _ in range(SHARD_MASK + 1)]
        self.count = 0

    def clear(self) -> None:
        """Nobody holds anything."""
        for shard in range(SHARD_MASK + 1):
            self._keys[shard].clear()
            self._masks[shard].clear()
            self._begun[shard].clear()
        self.count = 0

    def run_begins(self, head: int) -> None:
        """A run begins with this key."""
        begun = self._begun[head & SHARD_MASK]
        begun[head] = begun.get(head, 0) + 1

    def run_ends(self, head: int) -> None:
        """A run that began with this key does so no more."""
        begun = self._begun[head & SHARD_MASK]
        if begun[head] == 1:
            del begun[head]
        else:
            begun[head] -= 1

    def match(self, chain: Sequence[int], slots: int) -> list[tuple[int, int]]:
        """`Match.points` of the chain, of the slots in the mask `slots` alone."""
        points: list[tuple[int, int]] = []
        at, end, held = 0, len(chain), slots
        while at < end:
            head = chain[at]
            keys = self._keys[head & SHARD_MASK].get(head)
            if keys is None:
                break
            still = held & self._masks[head & SHARD_MASK][head]
            if still != held:
                if at:
                    points.append((at, held))
                if not still:
                    return points
                held = still
            at += common(keys, chain, at)
        if at:
            points.append((at, held))
        return points

    def hold(self, chain: Sequence[int], packed: bytes, bit: int) -> None:
        """The slot of `bit` holds the whole chain, whose keys are also in `packed`."""
        at, end = 0, len(chain)
        before, held_before = 0, 0
        while at < end:
            head = chain[at]
            shard = head & SHARD_MASK
            keys = self._keys[shard].get(head)
            if keys is None:
                break
            mask = self._masks[shard][head]
            if mask == bit:
                break
            at += self._cut(head, keys, common(keys, chain, at))
            mask |= bit
            self._masks[shard][head] = mask
            if mask == held_before and head not in self._begun[shard] and head != before:
                self._keys[before & SHARD_MASK][before] += self._remove(head)
            else:
                before, held_before = head, mask
        if at < end:
            self._hold_alone(chain, packed, at, bit)

    def _hold_alone(self, chain: Sequence[int], packed: bytes, first: int, bit: int) -> None:
        """From `first` on nobody holds the chain but perhaps the slot of `bit`: all of that becomes one span."""
        at = first
        while at < len(chain):
            head = chain[at]
            shard = head & SHARD_MASK
            keys = self._keys[shard].get(head)
            if keys is None or self._masks[shard][head] != bit:
                break
            at += self._cut(head, keys, common(keys, chain, at))
            self._remove(head)
        self._put(chain[first], packed[first * KEY_BYTES :], bit)

    def release(self, run: bytes, keep: int, bit: int) -> None:
        """The slot of `bit` holds no more than the first `keep` blocks of a run, which begins where a span does.

        A block that no span begins with where one should is passed over: somebody dropped its span, which only happens
        where keys collide or holes were made.
        """
        at, end = 0, len(run) // KEY_BYTES
        while at < end:
            head = key_at(run, at * KEY_BYTES)[0]
            shard = head & SHARD_MASK
            keys = self._keys[shard].get(head)
            if keys is None:
                at += 1
            elif at < keep:
                at += self._cut(head, keys, min(keep - at, len(keys) // KEY_BYTES))
            else:
                mask = self._masks[shard][head] & ~bit
                if mask:
                    self._masks[shard][head] = mask
                else:
                    self._remove(head)
                at += len(keys) // KEY_BYTES

    def _cut(self, head: int, keys: bytes, blocks: int) -> int:
        """The span ends after so many blocks, and the rest of it, if any, is one of its own. Returns `blocks`."""
        at = blocks * KEY_BYTES
        if at < len(keys):
            self._keys[head & SHARD_MASK][head] = keys[:at]
            self._put(key_at(keys, at)[0], keys[at:], self._masks[head & SHARD_MASK][head])
        return blocks

    def _put(self, head: int, keys: bytes, mask: int) -> None:
        shard = head & SHARD_MASK
        self.count += head not in self._keys[shard]
        self._keys[shard][head] = keys
        self._masks[shard][head] = mask

    def _remove(self, head: int) -> bytes:
        self.count -= 1
        del self._masks[head & SHARD_MASK][head]
        return self._keys[head & SHARD_MASK].pop(head)
