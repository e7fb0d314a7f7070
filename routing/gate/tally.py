"""What is known of one kind of bad event: how many were the canary's, and what that speaks for."""

from __future__ import annotations

from typing import Any, Final

from routing.experiments.assignment import Unit
from routing.gate.ceiling import CeilingEvidence
from routing.gate.evidence import FirstEvents, against_no_worse, against_worse
from routing.gate.guardrail import Guardrail


class Tally:
    """Of one metric; of an amount, of one threshold."""

    __slots__ = (
        "_first",
        "_shares",
        "better",
        "canary",
        "ceiling",
        "events",
        "level",
        "name",
        "promote_level",
        "worse",
    )

    def __init__(self, guardrail: Guardrail, level: float, name: str = "", *, sticky: bool, ceiling: bool) -> None:
        """`level` is its part of the guardrail's alpha. `name` is of the threshold."""
        self.name: Final = name
        self.level: Final = level
        self.worse: Final = against_no_worse(guardrail.tolerance, fine=not guardrail.rate)
        """Against "the canary is no worse than is tolerated"."""
        self.better: Final = against_worse(guardrail.margin)
        """Against "the canary is at least as bad as the margin"."""
        self.ceiling: Final = CeilingEvidence(guardrail.ceiling) if ceiling and guardrail.ceiling is not None else None
        # A promotion needs all thresholds, so each has all of alpha; of two ways to one, each has half.
        self.promote_level: Final = guardrail.alpha if self.ceiling is None else guardrail.alpha / 2.0
        self._first: FirstEvents | None = FirstEvents() if sticky else None
        self.events = 0
        self.canary = 0
        self._shares = 0.0

    def event(self, unit: Unit, canary: bool, share: float) -> bool:
        """A bad event of a unit, while the canary had this share of the others; returns whether it is its first."""
        if self._first is not None and not self._first.is_first(unit):
            return False
        self.events += 1
        self.canary += canary
        self._shares += share
        self.worse.event(canary, share)
        self.better.event(canary, share)
        return True

    @property
    def share(self) -> float:
        """The share of the events that the canary was to have, if it is as good as the control."""
        return self._shares / self.events if self.events else 0.0

    @property
    def rolls_back(self) -> bool:
        """Whether the canary is worse than is tolerated."""
        return self.worse.rejects(self.level)

    @property
    def promotes(self) -> bool:
        """Whether the canary is sure to be better than the margin, or to have next to no events."""
        if self.better.rejects(self.promote_level):
            return True
        return self.ceiling is not None and self.ceiling.rejects(self.promote_level)

    def state(self) -> list[Any]:
        """To go on from later (`restore`)."""
        return [
            self.name,
            self.worse.state(),
            self.better.state(),
            self.ceiling.state() if self.ceiling is not None else [],
            b"" if self._first is None else self._first.state(),
            self.events,
            self.canary,
            self._shares,
        ]

    def restore(self, state: list[Any]) -> None:
        """Raises ValueError where it is of another threshold."""
        name, worse, better, ceiling, first, self.events, self.canary, self._shares = state
        if name != self.name:
            raise ValueError("evidence of another threshold")
        self.worse.restore(worse)
        self.better.restore(better)
        if self.ceiling is not None and ceiling:
            self.ceiling.restore(ceiling)
        if self._first is not None:
            self._first = FirstEvents.of(first)
