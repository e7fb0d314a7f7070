"""What the prefix index answers: how much of a prompt each slot holds."""

from __future__ import annotations

from itertools import compress
from typing import Final

FEW: Final = 6
"""Bits taken out of a mask one by one; for more of them the mask is written out once (0.2 us a bit against 3 us)."""
_SLOTS: Final = range(1 << 20)
_AS_BITS: Final = bytes.maketrans(b"01", b"\x00\x01")


class Match:
    """The blocks of one prompt that are held, by depth. It does not change when the index does."""

    __slots__ = ("points",)

    def __init__(self, points: list[tuple[int, int]]) -> None:
        self.points = points
        """`(depth_blocks, mask_of_slots)`: the slots of the mask hold that many blocks from the start of the prompt.

        Depths ascend, and each mask is part of the one before: a slot holds the deepest depth whose mask it is in.
        Empty where nobody holds the first block.
        """

    def depth_of(self, slot: int) -> int:
        """How many blocks, from the start of the prompt, the slot holds."""
        held = 0
        for depth, mask in self.points:
            if not mask >> slot & 1:
                break
            held = depth
        return held

    def depths(self, slots: int) -> list[int]:
        """`depth_of` of all slots below `slots`, which is more than the highest one in use."""
        depths = [0] * slots
        for depth, mask in self.points:
            for slot in slots_in(mask):
                depths[slot] = depth
        return depths


def slots_in(mask: int) -> list[int]:
    """The numbers of the bits that are set, ascending."""
    slots: list[int] = []
    if mask.bit_count() > FEW:
        slots = list(compress(_SLOTS, f"{mask:b}"[::-1].encode().translate(_AS_BITS)))
    else:
        while mask:
            rest = mask & (mask - 1)
            slots.append((mask ^ rest).bit_length() - 1)
            mask = rest
    return slots
