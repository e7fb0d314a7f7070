"""Which requests of a model are copied to its shadow, and whether there is money left for another copy.

Whether a unit is copied is a pure function of its name, as its arm is (`routing.experiments.assignment`): the same
salt copies the same units, and a larger share copies those that a smaller one did, and more. Money is counted over the
last hour, and what a copy will cost is put aside before it is sent.
"""

from __future__ import annotations

from typing import Final

from routing.experiments.assignment import BUCKETS, bucket_of, unit_hash

HOUR_S: Final = 3600.0
SLOT_S: Final = 60.0
"""What was spent within one of these is let go together, when all of it is an hour old."""
LEARN: Final = 0.1
"""How much of the usual cost each copy replaces."""


class ShadowSample:
    """The units of one model that are copied. Immutable."""

    __slots__ = ("_below", "layer", "salt")

    def __init__(self, salt: str, layer: str, share: float) -> None:
        """`share` is from 0 to 1, of all units."""
        self.salt: Final = salt
        self.layer: Final = layer
        self._below: Final = round(share * BUCKETS)

    def takes(self, unit: str) -> bool:
        """Whether requests of this unit are copied."""
        return bucket_of(unit_hash(self.salt, self.layer, unit)) < self._below


class HourlyBudget:
    """What copies may cost within any hour. `now` (seconds) never runs backwards.

    Law: while no copy costs more than was put aside for it, what they cost within an hour is never above the limit.
    """

    __slots__ = ("_reserved_usd", "_slots", "_spent_usd", "limit_usd", "usual_usd")

    def __init__(self, limit_usd: float) -> None:
        self.limit_usd = limit_usd
        """May change at any time."""
        self.usual_usd = 0.0
        """What a copy has cost of late, for those whose cost nobody knows before."""
        self._reserved_usd = 0.0
        self._spent_usd = 0.0
        self._slots: list[tuple[float, float]] = []
        """When each ends, and what was spent in it; the oldest first."""

    def spent_usd(self, now: float) -> float:
        """Within the last hour, to within `SLOT_S`, with what is put aside."""
        self._forget(now)
        return self._spent_usd + self._reserved_usd

    def reserve(self, usd: float, now: float) -> bool:
        """Put so much aside for a copy, to be settled when it is over; False when there is not so much left."""
        if usd > self.limit_usd - self.spent_usd(now):
            return False
        self._reserved_usd += usd
        return True

    def settle(self, reserved_usd: float, cost_usd: float, now: float, *, at_least: bool = False) -> None:
        """A copy for which `reserved_usd` was put aside is over, and has cost so much.

        `at_least`: it may have cost more than anybody knows. Then no less is spent than was put aside.
        """
        self._forget(now)
        self._reserved_usd = max(0.0, self._reserved_usd - reserved_usd)
        self.usual_usd += (cost_usd - self.usual_usd) * (LEARN if self.usual_usd else 1.0)
        if at_least:
            cost_usd = max(cost_usd, reserved_usd)
        if cost_usd <= 0.0:
            return
        slots = self._slots
        if slots and now < slots[-1][0]:
            slots[-1] = slots[-1][0], slots[-1][1] + cost_usd
        else:
            slots.append((now + SLOT_S, cost_usd))
        self._spent_usd += cost_usd

    def _forget(self, now: float) -> None:
        slots = self._slots
        while slots and slots[0][0] + HOUR_S <= now:
            del slots[0]
            self._spent_usd = sum([usd for _, usd in slots])  # not by difference, which would leave a trace
