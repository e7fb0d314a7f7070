"""Requests on one side, access lines on the other. Pure.

A request that was answered to its end has exactly one line; one whose client left, or whose worker was killed under it,
has one or none; no request has two. A line that is missing is excused only by a kill around the time of its answer (a
killed worker takes what it had not written yet with it), or by a drop that the gateway itself has counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

EXCUSED_BEFORE_S, EXCUSED_AFTER_S = 1.0, 0.5
"""Around a kill: an answer so long before it may have its line unwritten."""


@dataclass(frozen=True, slots=True)
class Account:
    """What is left when both sides are put together."""

    asked: int
    answered: int
    lines: int
    """Of requests that we asked; those of others are not looked at."""
    lost: int
    excused: int
    """Missing, and answered around a kill."""
    doubled: int


class Ledger:
    """Fill it from both sides, in any order; then `account`."""

    def __init__(self) -> None:
        self._asked: set[str] = set()
        self._answered: dict[str, float] = {}
        self._lines: Counter[str] = Counter()

    def ask(self, request_id: str) -> None:
        self._asked.add(request_id)

    def answer(self, request_id: str, at_s: float) -> None:
        """It was answered to its end, whatever the status."""
        self._answered[request_id] = at_s

    def line(self, request_id: str) -> None:
        self._lines[request_id] += 1

    @property
    def lines(self) -> int:
        return self._lines.total()

    def account(self, kills_s: Sequence[float]) -> Account:
        """`kills_s`: when workers were killed, on the clock of `answer`."""
        missing = [at_s for request_id, at_s in self._answered.items() if not self._lines[request_id]]
        excused = sum(
            any(kill_s - EXCUSED_BEFORE_S <= at_s <= kill_s + EXCUSED_AFTER_S for kill_s in kills_s) for at_s in missing
        )
        ours = {request_id: count for request_id, count in self._lines.items() if request_id in self._asked}
        return Account(
            asked=len(self._asked),
            answered=len(self._answered),
            lines=sum(ours.values()),
            lost=len(missing) - excused,
            excused=excused,
            doubled=sum(count > 1 for count in ours.values()),
        )
