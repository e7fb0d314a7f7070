"""Evidence for a promotion where bad events are too rare to be compared: the canary alone, against a ceiling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from routing.experiments.assignment import Unit
from routing.gate.evidence import FirstEvents

PER_UNIT: Final = 5
"""Requests of a user or session, after which it is judged."""
MOST_OPEN: Final = 1_000
"""Units of the canary of which fewer are known: of more, the oldest is judged by what it has."""

NEVER: Final = 0.85
"""The weight of "it has none at all" in the mixture: 309 clean units are enough where 299 would be without the other
alternative, and one event is not the end of it."""


def clean_requests_needed(ceiling: float, alpha: float) -> int:
    """After how many requests of a canary without one event its rate is below `ceiling`, at this level."""
    return math.ceil(math.log(alpha) / math.log(1.0 - ceiling))


class CeilingEvidence:
    """An e-process against "the canary has an event in at least this part of its units"."""

    __slots__ = ("_event", "_never", "_seldom", "events", "units")

    def __init__(self, ceiling: float) -> None:
        seldom = ceiling / 3.0
        self._never: Final = -math.log(1.0 - ceiling)
        self._seldom: Final = math.log((1.0 - seldom) / (1.0 - ceiling))
        self._event: Final = math.log(seldom / ceiling)
        self.units = 0
        self.events = 0

    def unit(self, event: bool) -> None:
        """A unit of the canary was seen, with an event or without. Each unit once."""
        self.units += 1
        self.events += event

    @property
    def log_value(self) -> float:
        """The natural logarithm of the e-value; 0 before any unit."""
        clean = self.units - self.events
        seldom = math.log(1.0 - NEVER) + self._seldom * clean + self._event * self.events
        if self.events:
            return seldom
        never = math.log(NEVER) + self._never * clean
        most = max(never, seldom)
        return most + math.log(math.exp(never - most) + math.exp(seldom - most))

    def rejects(self, alpha: float) -> bool:
        """Whether the null is rejected at this level."""
        return self.log_value >= -math.log(alpha)

    def state(self) -> list[int]:
        """To go on from later (`restore`)."""
        return [self.units, self.events]

    def restore(self, state: Sequence[int]) -> None:
        self.units, self.events = state


class Tried:
    """Which units of the canary, of those that have several requests, have been tried for long enough to be called
    clean: a first request without an event says little of the later ones."""

    __slots__ = ("_most_open", "_open", "_through")

    def __init__(self, most_open: int = MOST_OPEN) -> None:
        self._most_open: Final = most_open
        self._open: dict[int, int] = {}
        self._through: FirstEvents = FirstEvents()

    def request(self, unit: Unit) -> Unit | None:
        """A request of this unit is over; returns the unit that has been tried for long enough since then."""
        if self._through.has(unit):
            return None
        requests = self._open[unit] = self._open.get(unit, 0) + 1
        if requests < PER_UNIT:
            if len(self._open) <= self._most_open:
                return None
            unit = next(iter(self._open))
        del self._open[unit]
        return unit if self._through.is_first(unit) else None

    def state(self) -> list[Any]:
        """To go on from later (`restore`)."""
        return [self._through.state(), list(self._open.items())]

    def restore(self, state: Sequence[Any]) -> None:
        through, still_open = state
        self._through = FirstEvents.of(through)
        self._open = {int(unit): int(requests) for unit, requests in still_open}
