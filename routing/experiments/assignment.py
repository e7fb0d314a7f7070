"""Which arm of an experiment a unit (a user, a session, a key, a request) belongs to: a pure function of its name.

A unit falls into one of `BUCKETS` of its layer, by SHA-256. Experiments of a layer share its buckets: each has a range
of its own, and what no range covers is held out. Within its range every arm but the first, the control, has a slot with
a fixed start, from which it grows as its weight does; all the rest is the control's. So a ramp moves units only from
the control to that arm, never back and never between others, and a weight of 0 gives all of them back.

Anybody can compute the same (`docs/assignment.md` has test vectors): the first eight bytes, big-endian, of SHA-256 over
the UTF-8 of salt, a zero byte, layer, a zero byte, unit; modulo a million.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

BUCKETS: Final = 1_000_000

Unit = Any
"""The 64 bits of `unit_hash`, an int. Compiled, what is called one is made anew for each look into a set; what is not
stays the same object, which is found without being compared."""


def unit_hash(salt: str, layer: str, unit: str) -> int:
    """64 bits that stand for a unit."""
    data = f"{salt}\0{layer}\0{unit}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(data).digest()[:8], "big")


def bucket_of(hashed: int) -> int:
    """The bucket of a unit with this hash."""
    return hashed % BUCKETS


class Slot:
    """The place of one arm that is not the control. Immutable."""

    __slots__ = ("arm", "most", "start")

    def __init__(self, arm: str, start: int, most: int) -> None:
        self.arm: Final = arm
        self.start: Final = start
        """The bucket that it takes first; it grows upwards."""
        self.most: Final = most
        """How many buckets it may ever take."""


class Split:
    """One experiment's range of buckets, and how it is split now. Immutable."""

    __slots__ = ("_ends", "control", "end", "slots", "start")

    def __init__(self, start: int, end: int, control: str, slots: Sequence[Slot], shares: Mapping[str, float]) -> None:
        """The range is from `start` up to, and without, `end`; `shares` are of it, of each arm that is not the control.

        Raises ValueError for slots that overlap or leave the range, and for a share that is larger than its slot.
        """
        if not 0 <= start < end <= BUCKETS:
            raise ValueError(f"a range of buckets lies within 0 and {BUCKETS}")
        free = start
        for slot in sorted(slots, key=lambda one: (one.start, one.most)):
            if slot.start < free or slot.start + slot.most > end or slot.most < 0:
                raise ValueError(f"the slot of {slot.arm!r} overlaps another, or leaves the range")
            free = slot.start + slot.most
        arms = [slot.arm for slot in slots]
        if len({control, *arms}) != len(arms) + 1:
            raise ValueError("each arm has a name of its own")
        if unknown := sorted(shares.keys() - set(arms)):
            raise ValueError(f"there is no arm {unknown[0]!r} beside the control")
        self.start: Final = start
        self.end: Final = end
        self.control: Final = control
        self.slots: Final = tuple(slots)
        self._ends: Final = tuple([slot.start + self._buckets(slot, shares.get(slot.arm, 0.0)) for slot in slots])

    def _buckets(self, slot: Slot, share: float) -> int:
        count = round(share * (self.end - self.start))
        if not 0 <= count <= slot.most:
            raise ValueError(f"{slot.arm!r} may have at most {slot.most / (self.end - self.start):g} of the range")
        return count

    def arm(self, bucket: int) -> str | None:
        """Whose bucket it is; None outside the range."""
        if not self.start <= bucket < self.end:
            return None
        ends = self._ends
        for at, slot in enumerate(self.slots):
            if slot.start <= bucket < ends[at]:
                return slot.arm
        return self.control

    def share(self, arm: str) -> float:
        """Which part of the range an arm has."""
        counts = {slot.arm: end - slot.start for slot, end in zip(self.slots, self._ends, strict=True)}
        whole = self.end - self.start
        return (whole - sum(counts.values()) if arm == self.control else counts[arm]) / whole


def slots_of(start: int, end: int, most: Mapping[str, float]) -> list[Slot]:
    """Slots for these arms, side by side at the far end of a range; `most` is the part of it that each may ever take.

    Raises ValueError when they take more than all of it together.
    """
    whole = end - start
    counts = {arm: round(share * whole) for arm, share in most.items()}
    if sum(counts.values()) > whole or min(counts.values(), default=0) < 0:
        raise ValueError("arms cannot take more than the whole range together")
    slots, at = [], end
    for arm, count in counts.items():
        at -= count
        slots.append(Slot(arm, at, count))
    return slots
