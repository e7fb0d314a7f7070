"""A guardrail over something that a request has or has not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from routing.experiments.assignment import Unit
from routing.gate.evidence import FirstEvents
from routing.gate.guardrail import RATES, Guardrail
from routing.gate.tally import Tally


class Rate:
    """Of one metric."""

    __slots__ = ("bad", "canary_trials", "control_trials", "flag", "guardrail", "tally")

    def __init__(self, guardrail: Guardrail, *, sticky: bool) -> None:
        self.guardrail: Final = guardrail
        self.flag: Final = RATES.get(guardrail.metric, 0)
        """That of requests which have it; 0: it is a custom one."""
        self.tally: Final = Tally(guardrail, guardrail.alpha, sticky=sticky, ceiling=True)
        self.control_trials = 0
        self.canary_trials = 0
        """Of units that are users their requests, not they."""
        self.bad: FirstEvents | None = FirstEvents() if sticky and not guardrail.custom else None
        """Units of the canary with an event, where a unit has several requests."""

    def tried(self, unit: Unit, event: bool) -> None:
        """A request of the canary is over. Where a unit has several, its first event counts at once."""
        ceiling = self.tally.ceiling
        if ceiling is not None and (self.bad is None or (event and self.bad.is_first(unit))):
            ceiling.unit(event)

    def through(self, unit: Unit) -> None:
        """A unit of the canary that has several requests has had enough of them."""
        if self.tally.ceiling is not None and self.bad is not None and not self.bad.full and not self.bad.has(unit):
            self.tally.ceiling.unit(False)

    def state(self) -> list[Any]:
        """To go on from later (`restore`)."""
        trials = [self.control_trials, self.canary_trials]
        return [trials, self.tally.state(), b"" if self.bad is None else self.bad.state()]

    def restore(self, state: Sequence[Any]) -> None:
        """Raises ValueError where it is of another guardrail."""
        trials, tally, bad = state
        self.control_trials, self.canary_trials = trials
        self.tally.restore(tally)
        if self.bad is not None:
            self.bad = FirstEvents.of(bad)
