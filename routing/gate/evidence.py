"""Evidence about one guardrail of a canary: e-processes over the arm that each bad event falls into.

Assignment is random with a known share. When something bad happens (an error, a slow answer), only its arm is looked
at: if the canary's rate is at most `ratio` times the control's, the event is the canary's with probability at most
`canary_share(q, ratio)`, whatever the base rate is and however it moves over the day. A product of likelihood ratios
against that is an e-process, and by Ville's inequality it ever reaches 1/alpha with probability at most alpha, looked
at after every event, without end (MaxSPRT, Kulldorff et al. 2011; Lindon, Sanden and Shirikian, KDD 2022). No variance,
no burn-in, no asymptotics.

The unit of an event is the unit of assignment: of one user only the first bad event counts (`FirstEvents`), or users
who differ would cry wolf.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Sequence
from typing import Final

from routing.experiments.assignment import Unit


def canary_share(share: float, ratio: float) -> float:
    """The canary's part of all events, when it has this share of the units and this ratio of the control's rate."""
    return share * ratio / (share * ratio + 1.0 - share)


class Evidence:
    """An e-process against "the canary's rate over the control's is on this side of `null`".

    A mixture of alternatives, each a ratio on the other side: their mean is an e-process too.
    """

    __slots__ = ("_alternatives", "_if_canary", "_if_control", "_logs", "_share", "null")

    def __init__(self, null: float, alternatives: Sequence[float], *, two_sided: bool = False) -> None:
        """Raises ValueError unless all alternatives are on one side of `null`.

        `two_sided`: against a ratio that is `null`, no more and no less; alternatives may be on both sides.
        """
        if not alternatives or null <= 0.0 or min(alternatives) <= 0.0:
            raise ValueError("ratios are above 0, and there is an alternative")
        if not (two_sided or min(alternatives) > null or max(alternatives) < null):
            raise ValueError("all alternatives are above the null's ratio, or all below it")
        self.null: Final = null
        self._alternatives: Final = list(alternatives)
        self._logs = [0.0] * len(alternatives)
        self._share = 0.0
        """That of the last event, for which the factors of an event are known."""
        self._if_canary: list[float] = []
        self._if_control: list[float] = []

    def event(self, canary: bool, share: float) -> None:
        """A bad event fell into the canary, or not, while this was the canary's share of units, within 0 and 1.

        The share may be another at each event: evidence goes on over the steps of a ramp.
        """
        if share != self._share:
            null = canary_share(share, self.null)
            others = [canary_share(share, ratio) for ratio in self._alternatives]
            self._share = share
            self._if_canary = [math.log(other / null) for other in others]
            self._if_control = [math.log((1.0 - other) / (1.0 - null)) for other in others]
        factors = self._if_canary if canary else self._if_control
        self._logs = [log + factor for log, factor in zip(self._logs, factors, strict=True)]

    def state(self) -> list[float]:
        """To go on from later (`restore`)."""
        return list(self._logs)

    def restore(self, state: Sequence[float]) -> None:
        """Raises ValueError where it is of other alternatives."""
        if len(state) != len(self._alternatives):
            raise ValueError("evidence of other alternatives")
        self._logs = [float(one) for one in state]

    @property
    def log_value(self) -> float:
        """The natural logarithm of the e-value; 0 before any event."""
        most = max(self._logs)
        return most + math.log(sum([math.exp(one - most) for one in self._logs]) / len(self._logs))

    def rejects(self, alpha: float) -> bool:
        """Whether the null is rejected at this level."""
        return self.log_value >= -math.log(alpha)


def against_no_worse(tolerance: float = 1.1, *, fine: bool = False) -> Evidence:
    """Against "the canary's rate is at most `tolerance` times the control's": enough of it means roll back.

    `fine`: looks for a tenth more, too. Of amounts, whose events are frequent.
    """
    ratios = [1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 100.0]
    return Evidence(tolerance, [tolerance * ratio for ratio in ([1.1, *ratios] if fine else ratios)])


def against_worse(margin: float = 1.5) -> Evidence:
    """Against "the canary's rate is at least `margin` times the control's": enough of it allows to promote."""
    return Evidence(margin, [margin * ratio for ratio in [0.9, 0.8, 0.65, 0.5, 0.35, 0.2]])


MOST_UNITS: Final = 300_000
"""That are remembered of one kind: of a share, by then it is known to one part in a thousand."""


class FirstEvents:
    """Which units have had their event of one metric. Later ones of theirs are none, nor are those of units beyond what
    can be remembered."""

    __slots__ = ("_kept", "_most", "_units")

    def __init__(self, units: Iterable[int] = (), most: int = MOST_UNITS) -> None:
        """`units` are hashes (`routing.experiments.assignment.unit_hash`) that are known to have had theirs."""
        self._kept = array("Q", units)
        """The same in the order in which they came, so that to keep 300,000 is to copy 2.4 MB, 20 times as quick."""
        self._units = set(self._kept)
        self._most: Final = most

    def has(self, unit: Unit) -> bool:
        """Whether this unit has had its event. Compiled, `in` takes twice as long."""
        return unit in self._units

    def __len__(self) -> int:
        return len(self._units)

    def __contains__(self, unit: Unit) -> bool:
        return unit in self._units

    @property
    def full(self) -> bool:
        """Whether no other unit can be remembered."""
        return len(self._units) >= self._most

    def state(self) -> bytes:
        """To go on from later: `FirstEvents.of`."""
        return self._kept.tobytes()

    @classmethod
    def of(cls, state: bytes) -> FirstEvents:
        """As it was when its `state` was taken."""
        return cls(array("Q", state))

    def is_first(self, unit: Unit) -> bool:
        """Whether this is the unit's first that can be told from its others; it has had it from now on."""
        if self.full or unit in self._units:
            return False
        self._units.add(unit)
        self._kept.append(unit)
        return True
