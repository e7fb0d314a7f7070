"""The experiment of one model as the request path knows it: who gets which arm, with which shares just now.

The arm is the request's from the moment it is assigned, whatever becomes of it (intention to treat). Shares change
while requests run (`set_shares`, one assignment): what was assigned keeps what it was given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from routing.experiments.assignment import BUCKETS, Slot, Split, Unit, bucket_of, slots_of, unit_hash
from routing.gate.observation import Assigned

MOST_GIVEN: Final = 4096
"""Units that have asked lately and mostly ask again: to look up what one is given takes a twentieth of hashing it."""

LONGEST_GIVEN: Final = 256
"""Letters of a unit that is looked up: whoever names it, names it as long as they like."""


class Assignment:
    """What one request was given. Immutable."""

    __slots__ = ("arm", "at", "counted", "digits", "experiment", "line", "shares", "told", "unit")

    def __init__(self, experiment: str, arm: str, at: int, unit: Unit = 0, shares: tuple[float, ...] = ()) -> None:
        """Without shares it is one that counts nowhere: it was pinned, or is no part of the experiment."""
        self.experiment: Final = experiment
        """The experiment's identity."""
        self.arm: Final = arm
        self.at: Final = at
        """The place of the arm in the experiment's list; 0 is the control."""
        self.unit: Final = unit
        self.shares: Final = shares
        """Of each arm in their order, at this assignment."""
        self.counted: Final = bool(shares)
        self.line: Final = b"x-penstock-arm: %b\r\n" % arm.encode()
        """As the answer says it in its head."""
        self.digits: Final = unit.to_bytes(8, "big").hex() if shares else ""
        """The unit's 16 hex digits; of who is not counted, none."""
        self.told: Final = Assigned(experiment, at, unit, shares)
        """What gates are told where it counts."""


class Experiment:
    """See the module."""

    __slots__ = (
        "_at",
        "_given",
        "_plain",
        "_slots",
        "_split",
        "arms",
        "end",
        "identity",
        "layer",
        "salt",
        "shares",
        "start",
    )

    def __init__(
        self,
        identity: str,
        salt: str,
        layer: str,
        arms: Sequence[str],
        most: Mapping[str, float],
        shares: Mapping[str, float],
        start: int = 0,
        end: int = BUCKETS,
    ) -> None:
        """`arms` begin with the control. `most` is the part of the range that each other may ever take, and `shares`
        what it has at first; an arm that is not named has nothing. Raises ValueError for what cannot be."""
        self.identity: Final = identity
        self.salt: Final = salt
        self.layer: Final = layer
        self.arms: Final = tuple(arms)
        self.start: Final = start
        self.end: Final = end
        self._given: Final[dict[str, Assignment]] = {}
        """What units are given with the shares of now; those outside the range, what counts nowhere."""
        self._slots: Final = tuple(slots_of(start, end, most))
        self._at: Final = {arm: at for at, arm in enumerate(self.arms)}
        self._plain: Final = tuple([Assignment(identity, arm, at) for at, arm in enumerate(self.arms)])
        self.set_shares(shares)

    def set_shares(self, shares: Mapping[str, float]) -> None:
        """From now on the arms beside the control have these parts of the range; the control has the rest.

        Raises ValueError, and changes nothing, for shares that are impossible.
        """
        given = {arm: share for arm, share in shares.items() if arm != self.arms[0]}
        whole = [arm for arm, share in given.items() if share >= 1.0]
        slots: Sequence[Slot] = self._slots
        if len(whole) == 1 and len(self.arms) > 2:
            # One of several was promoted: it has all, wherever its slot was.
            slots = [Slot(whole[0], self.start, self.end - self.start)]
            given = {whole[0]: 1.0}
        self._split = split = Split(self.start, self.end, self.arms[0], slots, given)
        having = {slot.arm for slot in split.slots}
        self.shares: tuple[float, ...] = tuple(
            [split.share(arm) if arm == self.arms[0] or arm in having else 0.0 for arm in self.arms]
        )
        self._given.clear()

    def assign(self, unit: str, *, again: bool = True) -> Assignment | None:
        """The arm of a unit; None for one outside the experiment's range. `again`: the unit may ask once more."""
        given = self._given.get(unit)
        if given is None:
            hashed = unit_hash(self.salt, self.layer, unit)
            arm = self._split.arm(bucket_of(hashed))
            given = self._plain[0]
            if arm is not None:
                given = Assignment(self.identity, arm, self._at[arm], hashed, self.shares)
            if again and len(unit) <= LONGEST_GIVEN:
                if len(self._given) >= MOST_GIVEN:
                    self._given.clear()
                self._given[unit] = given
        return given if given.counted else None

    def plain(self, arm: str) -> Assignment | None:
        """Of a request that has this arm and is not counted; None for no such arm."""
        at = self._at.get(arm)
        return None if at is None else self._plain[at]

    @property
    def uncounted(self) -> Assignment:
        """Of a request that is no part of the experiment: served as the control is."""
        return self._plain[0]

    def gives(self, arm: str) -> bool:
        """Whether anybody is given this arm just now."""
        at = self._at.get(arm)
        return at is not None and self.shares[at] > 0.0
