"""The units that an experiment has met: how many are the canary's in truth, and whether that can be.

Evidence is weighed with the share that was observed, not with the one that was configured: of 6 % that are said to be
5 %, the configured share would cry wolf in 13 to 94 % of tests. And where the two differ by more than chance, something
is broken between the assignment and us, and no comparison can be trusted (a sample ratio mismatch).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final

from routing.experiments.assignment import Unit
from routing.gate.evidence import Evidence, FirstEvents

PRIOR_UNITS: Final = 20.0
"""How many units the configured share counts for, beside those that were observed."""
MISMATCH_ALPHA: Final = 0.001
"""The chance that a sound assignment is called broken."""
MISMATCH_RATIOS: Final = [0.5, 0.8, 0.87, 0.94, 1.06, 1.14, 1.25, 2.0]


SPREAD: Final = 10_000.0
"""How near to the configured shares a broken assignment is taken to be: some percent of them."""


def sample_ratio_p(met: Iterable[tuple[tuple[int, int], float]]) -> float:
    """The p-value of "units fall into the canary with the configured share", of the units of control and canary under
    each share that was configured.

    The sequential multinomial test of Lindon and Malek (NeurIPS 2022): a Dirichlet of `SPREAD` around the shares is the
    alternative, and its Bayes factor may be looked at after every unit.
    """
    log_factor = 0.0
    for counts, share in met:
        log_factor += math.lgamma(SPREAD) - math.lgamma(SPREAD + sum(counts))
        for count, part in zip(counts, (1.0 - share, share), strict=True):
            prior = SPREAD * part
            log_factor += math.lgamma(prior + count) - math.lgamma(prior) - count * math.log(part)
    return math.exp(min(0.0, -log_factor))


class ObservedShare:
    """The canary's part of the units that were met while this was its configured share."""

    __slots__ = ("canary", "configured", "met", "units")

    def __init__(self, configured: float, *, sticky: bool) -> None:
        """`sticky`: a unit comes again, and is counted once."""
        self.configured: Final = configured
        self.canary = 0
        self.units = 0
        self.met: FirstEvents | None = FirstEvents() if sticky else None

    def meet(self, unit: Unit, canary: bool) -> bool:
        """A unit was assigned; returns whether it counts: the first time."""
        if self.met is not None and not self.met.is_first(unit):
            return False
        self.units += 1
        self.canary += canary
        return True

    def beside(self, canary: bool) -> float:
        """The share among all units but one, which is or is not the canary's: it must not speak for itself."""
        others = max(0, self.units - 1)
        canaries = min(others, max(0, self.canary - canary))
        return (self.configured * PRIOR_UNITS + canaries) / (PRIOR_UNITS + others)


class Units:
    """All that were met, by the share at which they were."""

    __slots__ = ("_shares", "_sticky", "balance")

    def __init__(self, *, sticky: bool) -> None:
        self._sticky: Final = sticky
        self._shares: dict[float, ObservedShare] = {}
        self.balance: Final = Evidence(1.0, MISMATCH_RATIOS, two_sided=True)
        """Against "units fall into the canary with the configured share"."""

    def at(self, configured: float) -> ObservedShare:
        """Those that were met at this share."""
        found = self._shares.get(configured)
        if found is None:
            found = self._shares[configured] = ObservedShare(configured, sticky=self._sticky)
        return found

    def meet(self, unit: Unit, canary: bool, configured: float) -> None:
        """A unit was assigned."""
        self.meet_at(self.at(configured), unit, canary)

    def meet_at(self, share: ObservedShare, unit: Unit, canary: bool) -> None:
        """The same, of a share that was looked up (`at`)."""
        if share.meet(unit, canary):
            self.balance.event(canary, share.configured)

    @property
    def canary(self) -> int:
        """The canary's units; one that was met at several shares counts at each."""
        return sum([share.canary for share in self._shares.values()])

    @property
    def units(self) -> int:
        """All units; one that was met at several shares counts at each."""
        return sum([share.units for share in self._shares.values()])

    @property
    def expected(self) -> float:
        """What the canary should have of them."""
        return sum([share.configured * share.units for share in self._shares.values()])

    @property
    def mismatch(self) -> bool:
        """Whether the canary has more or fewer than it could have by chance."""
        return self.balance.rejects(MISMATCH_ALPHA)

    @property
    def p(self) -> float:
        """That units fall into both arms as configured, by a test that says how large a difference is by no guess
        (`sample_ratio_p`). Holds at every look at once."""
        return sample_ratio_p([((one.units - one.canary, one.canary), one.configured) for one in self._shares.values()])

    def state(self) -> list[Any]:
        """To go on from later (`restore`)."""
        shares = [
            [one.configured, one.canary, one.units, b"" if one.met is None else one.met.state()]
            for one in self._shares.values()
        ]
        return [self.balance.state(), shares]

    def restore(self, state: list[Any]) -> None:
        balance, shares = state
        self.balance.restore(balance)
        self._shares = {}
        for configured, canary, units, met in shares:
            one = self.at(configured)
            one.canary, one.units = canary, units
            if self._sticky:
                one.met = FirstEvents.of(met)
