"""Bounds that change with the hour and the day of the week."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from routing.autoscale.signals import Bounds


@dataclass(frozen=True, slots=True)
class ScheduleShift:
    """From one minute of the day to another, on some days of the week; over midnight where it ends before it begins."""

    days: frozenset[int]
    """Of the day it begins on: 0 is Monday."""
    from_minute: int
    to_minute: int
    bounds: Bounds

    def covers(self, day: int, minute: int) -> bool:
        if self.from_minute < self.to_minute:
            return day in self.days and self.from_minute <= minute < self.to_minute
        if minute >= self.from_minute:
            return day in self.days
        return minute < self.to_minute and (day - 1) % 7 in self.days


def bounds_at(shifts: Sequence[ScheduleShift], otherwise: Bounds, day: int, minute: int) -> Bounds:
    """Those of the first shift that covers this minute."""
    for shift in shifts:
        if shift.covers(day, minute):
            return shift.bounds
    return otherwise
