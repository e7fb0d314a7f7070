"""All that is known of drift, from the summaries of hours: which week each is compared with, and what came of it.

It follows from the stored hours alone, so every gateway of a store says the same, and so does one that starts again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from gateway.store.drift.rows import Key
from routing.drift.reference import LEAST_REQUESTS, LEAST_WINDOWS
from routing.drift.watch import REFERENCE_HOURS, Alarm, DriftWatch, Hour

DAY_HOURS: Final = 24
KEPT_HOURS: Final = 2 * REFERENCE_HOURS
"""Enough for a week to be frozen before the last change, and for a week after it."""
FORGOTTEN_HOURS: Final = 90 * 24
"""Whatever had no request for so long is not known any more; its stored hours go then, too."""
ALARMS_KEPT: Final = 100
FIRST_WEEK: Final = "the first week of records"
RELEASE: Final = "the week before the configuration changed"
FROZEN: Final = "the week before it was frozen"


@dataclass(slots=True)
class Watched:
    """One model, arm and route."""

    hours: dict[int, Hour] = field(default_factory=dict)
    watch: DriftWatch | None = None
    """None until a reference was chosen."""
    chosen: str = FIRST_WEEK
    """Why that week."""
    begin: int = 0
    """The hour from which on hours are compared."""
    mark: int = 0
    """The hour of the release, or when it was frozen; 0 of the first week."""
    alarms: list[Alarm] = field(default_factory=list)
    """The last; of one that goes on the first of each day."""
    alarmed: dict[str, int] = field(default_factory=dict)
    """By signal, the hour of the last alarm."""

    def news(self, alarms: Iterable[Alarm]) -> list[Alarm]:
        """Those that do not go on from an alarm of the day before."""
        found = []
        for alarm in alarms:
            if self.alarmed.get(alarm.signal, -DAY_HOURS) <= alarm.hour - DAY_HOURS:
                found.append(alarm)
            self.alarmed[alarm.signal] = alarm.hour
        self.alarms = [*self.alarms, *found][-ALARMS_KEPT:]
        return found


class Judged:
    """Takes hours in their order. Belongs to one thread."""

    def __init__(self, controls: Mapping[str, str] | None = None) -> None:
        """`controls` are the control arms of experiments, by model."""
        self._controls = controls or {}
        self.watched: dict[Key, Watched] = {}
        self._frozen: dict[str, int] = {}
        self.last_hour = 0

    def freeze(self, model: str, hour: int) -> None:
        """From this hour on, once it is there, a model is compared with the week before it."""
        self._frozen[model] = max(hour, self._frozen.get(model, 0))

    def hour(self, hour: int, summaries: Mapping[Key, Hour]) -> list[tuple[Key, Alarm]]:
        """What an hour says; returns new alarms."""
        self.last_hour = hour
        found: list[tuple[Key, Alarm]] = []
        for key, summary in summaries.items():
            one = self.watched.setdefault(key, Watched(begin=hour + REFERENCE_HOURS))
            released = _releases(one.hours, hour, summary)
            one.hours[hour] = summary
            control = self._control_of(key)
            of_control = self.watched[control].hours if control in self.watched else {}
            self._choose(one, hour, self._frozen.get(key[0], 0), released, of_control)
            if one.watch is not None and hour >= one.begin:
                alarms = one.watch.hour(hour, summary, summaries.get(control))
                found += [(key, alarm) for alarm in one.news(alarms)]
            one.hours = {at: kept for at, kept in one.hours.items() if at > hour - KEPT_HOURS}
        for key in [key for key, one in self.watched.items() if max(one.hours) <= hour - FORGOTTEN_HOURS]:
            del self.watched[key]
        return found

    def _control_of(self, key: Key) -> Key:
        """What an arm is compared with: the control of its experiment; a key of nothing where it has none, or is it."""
        model, arm, route = key
        control = self._controls.get(model, "")
        return (model, control, route) if control and arm != control else ("", "", "")

    def _choose(self, one: Watched, hour: int, frozen: int, released: bool, control: Mapping[int, Hour]) -> None:
        """Take another week to compare with, where there is reason to and it has enough in it."""
        marks = [(frozen, FROZEN)] if one.mark < frozen <= hour else []
        marks += [(hour, RELEASE)] if released else []
        for mark, why in sorted(marks, reverse=True):
            week = _week(one.hours, mark)
            if _enough(week.values()):
                one.mark = one.begin = mark
                one.chosen, one.watch = why, DriftWatch(week, control)
                return
        learned = hour - one.begin + REFERENCE_HOURS
        if not one.mark and (one.watch is None or hour == one.begin or (hour < one.begin and learned % DAY_HOURS == 0)):
            one.watch = DriftWatch({at: kept for at, kept in one.hours.items() if at < one.begin}, control)


def _week(hours: Mapping[int, Hour], before: int) -> dict[int, Hour]:
    return {at: hour for at, hour in hours.items() if before - REFERENCE_HOURS <= at < before}


def _enough(hours: Iterable[Hour]) -> bool:
    return sum(hour.requests >= LEAST_REQUESTS for hour in hours) >= LEAST_WINDOWS


def _releases(before: Mapping[int, Hour], hour: int, summary: Hour) -> bool:
    """Whether most answers of an hour were of a configuration that no answer of the week before it was of."""
    now = _bundles(summary)
    known = {bundle for one in _week(before, hour).values() for bundle in _bundles(one)}
    new = sum(count for bundle, count in now.items() if bundle not in known)
    return bool(known) and 2 * new > sum(now.values())


def _bundles(hour: Hour) -> dict[str, int]:
    return {value: count for (_, name, value), count in hour.identities.items() if name == "bundle"}
