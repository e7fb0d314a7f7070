"""A guardrail over an amount: latency, cost, or a custom one. Slow is what is slower than most of the control's.

One number per unit: of requests that are their own units each has one; of a user it is the mean over the first
`PER_UNIT` requests (of the logarithm, where amounts are positive), because everybody's first slow answer comes soon, in
both arms. Of users who have not come so often, the oldest beyond `MOST_OPEN` gives the mean of what it has. A number
above the control's p50, p75 or p90 is a bad event of that threshold. Thresholds are frozen when a step begins, from
numbers of the control before it: they cannot know what they judge.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any, Final

from routing.experiments.assignment import Unit
from routing.gate.ceiling import PER_UNIT
from routing.gate.evidence import FirstEvents
from routing.gate.guardrail import Guardrail
from routing.gate.load import Fit, Load
from routing.gate.tally import Tally

QUANTILES: Final = [(0.5, "p50"), (0.75, "p75"), (0.9, "p90")]
SLO: Final = "slo"
REMEMBERED: Final = 2_000
"""Numbers of the control, of which thresholds are made."""
ENOUGH_REQUESTS: Final = 1_000
ENOUGH_UNITS: Final = 200
MOST_OPEN: Final = 2_000
"""Units of both arms of which fewer than `PER_UNIT` requests are known."""
ENOUGH_OF_CANARY: Final = 50
"""Numbers of the canary, before its lack of bad events says anything."""
LEAST: Final = 1e-9
"""For the logarithm of a cost of nothing."""

Number = tuple[float, float]
"""A unit's amount, and the logarithm of the load that it met."""


class Open:
    """A unit of which fewer than `PER_UNIT` requests are known."""

    __slots__ = ("amount", "canary", "load", "requests", "share")

    def __init__(self, canary: bool) -> None:
        self.canary: Final = canary
        self.share = 0.0
        self.requests = 0
        self.amount = 0.0
        self.load = 0.0

    @property
    def number(self) -> Number:
        """The means of what is known."""
        return self.amount / self.requests, self.load / self.requests


class Amounts:
    """Of one metric."""

    __slots__ = (
        "_custom",
        "_enough",
        "_finished",
        "_fit",
        "_hangs_on_load",
        "_limits",
        "_load",
        "_most_open",
        "_numbers",
        "_open",
        "_residual_limits",
        "_sticky",
        "guardrail",
        "logarithmic",
        "raw",
        "seen",
        "sums",
        "tallies",
        "thresholds",
    )

    def __init__(self, guardrail: Guardrail, load: Load, *, sticky: bool, most_open: int = MOST_OPEN) -> None:
        self.guardrail: Final = guardrail
        self._custom: Final = guardrail.custom
        self._hangs_on_load: Final = guardrail.hangs_on_load
        self.logarithmic: Final = not guardrail.custom
        self._load: Final = load
        self._sticky: Final = sticky
        self._enough: Final = ENOUGH_UNITS if sticky else ENOUGH_REQUESTS
        names = [name for _, name in QUANTILES] + ([SLO] if guardrail.slo is not None else [])
        level = guardrail.alpha / len(names)
        self.tallies: Final = {
            name: Tally(guardrail, level, name, sticky=sticky, ceiling=name == SLO) for name in names
        }
        """What rolls back and promotes."""
        self.raw: Final = {name: Tally(guardrail, level, f"raw {name}", sticky=sticky, ceiling=False) for name in names}
        """Of what was met while the load was uneven, with what the load does to it: it may only hold."""
        self.seen = [0, 0]
        """Numbers of the control, of the canary."""
        self.sums = [[0.0, 0.0], [0.0, 0.0]]
        """Of the numbers and of their squares, of each arm."""
        self.thresholds: dict[str, float] = {}
        """What is judged by now, as amounts."""
        self._limits: dict[str, float] = {}
        self._residual_limits: dict[str, float] = {}
        self._numbers: deque[Number] = deque(maxlen=REMEMBERED)
        self._most_open: Final = most_open
        self._open: dict[int, Open] = {}
        self._finished = FirstEvents()
        """Units that gave their number in this step."""
        self._fit: Final = Fit()
        self.begin_step()

    def begin_step(self) -> None:
        """Freeze thresholds from what is known of the control: its numbers, else the SLO, else as soon as is enough."""
        self._open.clear()
        self._finished = FirstEvents()
        self._fit.fit()
        slo = self.guardrail.slo
        if len(self._numbers) >= self._enough:
            self._freeze()
        elif not self._limits and slo is not None:
            self._limits = {SLO: self._scaled(slo)}
            self.thresholds = {SLO: slo}

    def request(self, unit: Unit, canary: bool, share: float, value: float, in_flight: float) -> bool:
        """An amount of one request; returns whether there is a new bad event of the canary."""
        gave = self._sticky and self._finished.has(unit)
        fits = self._hangs_on_load and not canary
        if gave and not fits:
            return False  # nearly all of units that come often
        scaled = self._scaled(self.guardrail.worse(value) if self._custom else value)
        load = math.log(max(1.0, in_flight))
        if fits:
            self._fit.request(scaled, load)
        if gave:
            return False
        if not self._sticky:
            return self._judge(unit, canary, share, (scaled, load))
        done = self._collect(unit, canary, share, scaled, load)
        if done is None:
            return False
        one = self._open.pop(done)
        return self._finished.is_first(done) and self._judge(done, one.canary, one.share, one.number)

    def _judge(self, unit: Unit, canary: bool, share: float, number: Number) -> bool:
        arm = int(canary)
        amount, load = number
        self.seen[arm] += 1
        self.sums[arm][0] += amount
        self.sums[arm][1] += amount * amount
        worse = False
        if not (self.guardrail.hangs_on_load and self._load.uneven):
            worse = self._events(self.tallies, self._limits, amount, unit, canary, share)
        else:
            self._events(self.raw, self._limits, amount, unit, canary, share)
            if self._fit.slope is not None:
                limits, residual = self._residual_limits, amount - self._fit.slope * load
                worse = self._events(self.tallies, limits, residual, unit, canary, share)
        if not canary:
            self._numbers.append(number)
            if not self._limits and len(self._numbers) >= self._enough:
                self._freeze()
            if self._fit.slope is None and self._fit.ready:
                self._fit.fit()
                self._freeze_residuals()
        return worse

    def _events(
        self, tallies: dict[str, Tally], limits: dict[str, float], amount: float, unit: Unit, canary: bool, share: float
    ) -> bool:
        counted = False
        for name, limit in limits.items():
            tally, above = tallies[name], amount > limit
            if above:
                counted |= tally.event(unit, canary, share)
            if canary and tally.ceiling is not None:
                tally.ceiling.unit(above)
        return counted and canary

    def _collect(self, unit: Unit, canary: bool, share: float, amount: float, load: float) -> Unit | None:
        """A request of a unit that has several, and has given no number; returns the one that is to, since then."""
        one = self._open.get(unit)
        if one is None:
            one = self._open[unit] = Open(canary)
        one.share = share
        one.requests += 1
        one.amount += amount
        one.load += load
        if one.requests >= PER_UNIT:
            return unit
        return next(iter(self._open)) if len(self._open) > self._most_open else None

    def _scaled(self, value: float) -> float:
        return math.log(max(LEAST, value)) if self.logarithmic else value

    def unscaled(self, number: float) -> float:
        """An amount, of what it was compared as."""
        if self.logarithmic:
            return math.exp(number)
        return number if self.guardrail.lower_is_better else -number

    def _freeze(self) -> None:
        self._limits = quantiles([amount for amount, _ in self._numbers])
        self.thresholds = {name: self.unscaled(limit) for name, limit in self._limits.items()}
        self._freeze_residuals()

    def _freeze_residuals(self) -> None:
        if self._fit.slope is not None and len(self._numbers) >= self._enough:
            slope = self._fit.slope
            self._residual_limits = quantiles([amount - slope * load for amount, load in self._numbers])

    # -- what it says --------------------------------------------------------------------------------------------------

    @property
    def judged_by(self) -> list[Tally]:
        """The tallies of the thresholds in use."""
        return [self.tallies[name] for name in self._limits]

    @property
    def idle(self) -> bool:
        """Whether neither arm has such an amount at all."""
        return self.seen == [0, 0] and not self._open

    @property
    def promotes(self) -> bool:
        """Whether the canary is sure to be better than the margin by each threshold in use."""
        judging = self.judged_by
        if not judging or self.seen[1] < ENOUGH_OF_CANARY or self.held_by_load is not None:
            return False
        return all(tally.promotes for tally in judging)

    @property
    def held_by_load(self) -> Tally | None:
        """The threshold by which the canary is worse, while its load is another and may be all there is to it."""
        if self._load.uneven:
            for tally in self.raw.values():
                if tally.rolls_back:
                    return tally
        return None

    def state(self) -> list[Any]:
        """To go on from later (`restore`). Units of which not all requests came yet begin anew."""
        return [
            [tally.state() for tally in self.tallies.values()],
            [tally.state() for tally in self.raw.values()],
            list(self.seen),
            [list(one) for one in self.sums],
            dict(self.thresholds),
            dict(self._limits),
            dict(self._residual_limits),
            [list(one) for one in self._numbers],
            self._fit.state(),
            self._finished.state(),
        ]

    def restore(self, state: list[Any]) -> None:
        """Raises ValueError where it is of other thresholds."""
        tallies, raw, seen, sums, thresholds, limits, residual_limits, numbers, fit, finished = state
        for tally, one in zip([*self.tallies.values(), *self.raw.values()], [*tallies, *raw], strict=True):
            tally.restore(one)
        self.seen = list(seen)
        self.sums = [list(one) for one in sums]
        self.thresholds, self._limits = dict(thresholds), dict(limits)
        self._residual_limits = dict(residual_limits)
        self._numbers.extend([(amount, load) for amount, load in numbers])
        self._fit.restore(fit)
        self._finished = FirstEvents.of(finished)


def quantiles(values: list[float]) -> dict[str, float]:
    """The thresholds of these numbers, by their names."""
    ordered = sorted(values)
    return {name: ordered[min(len(ordered) - 1, int(part * len(ordered)))] for part, name in QUANTILES}
