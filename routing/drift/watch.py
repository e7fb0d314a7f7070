"""Drift of one model, arm and route, hour by hour: the windows of a reference week, then every hour after it.

What it says follows from the hours alone, so whoever has them can say it again: nothing else is kept over a restart.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from routing.drift.control import AgainstControl, Apart
from routing.drift.detector import DOWNWARDS, LEAST_UNITS, UPWARDS, Detector, baseline_of
from routing.drift.distances import shift_sd
from routing.drift.histogram import Histogram
from routing.drift.identity import OWN, Change, Identities, Seen
from routing.drift.reference import LEAST_REQUESTS, LEAST_WINDOWS, ROLLING, Judged, Reference, Shift
from routing.drift.signals import AMOUNTS, BOTH_WAYS, RATES, SCRIPT, SCRIPTS, trials, usual_script
from routing.drift.window import together, whole

REFERENCE_HOURS: Final = 168
LIMIT_DAYS: Final = 100
"""A rate has a false alarm once in so many days on average, at most."""
LEAST_LIMIT: Final = 1e4
CAUSE_HOURS: Final = 24
"""A change of who answers is named as a cause for so long."""

_UNITS: Final = {"": "requests", "json_asked": "answers that were to be JSON"}


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour, summed up (`routing.drift.window`)."""

    requests: int
    histograms: Mapping[str, Histogram]
    blocks: Sequence[Sequence[int]]
    identities: Seen = field(default_factory=dict)
    users_known: bool = False
    """Whether users were told apart: where they are not, the new ones cannot be counted."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something drifted."""

    hour: int
    """The Unix hour in which it was seen."""
    signal: str
    sentence: str
    causes: tuple[Change, ...]
    """Who answers that did not before, within `CAUSE_HOURS`."""


@dataclass(slots=True)
class DriftStanding:
    """How one signal stands after the last hour."""

    signal: str
    why: str = ""
    """Why nothing is said of it: `not enough data`, and of what; empty where something is."""
    value: float | None = None
    """PSI of an amount; of a rate, itself."""
    reference: float | None = None
    """The median of an amount in the reference; of a rate, the baseline."""
    current: float | None = None
    """The median of an amount in the last hour."""
    shift_sd: float | None = None
    """How far an amount's distribution moved, in standard deviations (Wasserstein)."""
    evidence: float | None = None
    """Of a rate: the detector's statistic over its limit; 1 alarms."""
    alarmed_hour: int | None = None
    """The hour of the last alarm."""
    history: list[tuple[int, float]] = field(default_factory=list)
    """By the hour, of the last week: the median of an amount, or the rate."""

    def note(self, at: int, value: float | None) -> None:
        """Take the value of an hour into the history."""
        if value is not None:
            self.history = [*self.history[1 - REFERENCE_HOURS :], (at, value)]


class DriftWatch:
    """Judges. Hours are told in their order."""

    def __init__(self, reference: Mapping[int, Hour], control: Mapping[int, Hour] | None = None) -> None:
        """`reference` is up to a week of hours, by the Unix hour; `control` the same hours of the arm that this one is
        compared with, None where there is no such arm."""
        self._references: dict[str, Reference] = {}
        self.standing: dict[str, DriftStanding] = {}
        self._shifts: dict[str, dict[int, Shift]] = {name: {} for name in AMOUNTS}
        self._identities = Identities()
        self._changes: list[Change] = []
        enough = {at: hour for at, hour in reference.items() if hour.requests >= LEAST_REQUESTS}
        for name in AMOUNTS:
            windows = {at: hour.histograms[name] for at, hour in enough.items() if name in hour.histograms}
            standing = self.standing[name] = DriftStanding(name)
            try:
                known = Reference(windows)
            except ValueError:
                standing.why = (
                    f"not enough data: {len(windows)} of the reference's hours have {LEAST_REQUESTS} requests"
                )
                if len(windows) >= LEAST_WINDOWS:
                    standing.why = "not enough data: the reference does not vary, or too little of it has a value"
            else:
                self._references[name] = known
                standing.reference = known.quantile(0.5)
        self._against = _against(enough, control or {})
        self._apart: dict[str, dict[int, Apart]] = {name: {} for name in AMOUNTS}
        self._detectors: dict[str, list[Detector]] = {}
        self._baselines(reference)
        for at in sorted(reference):
            self._identities.note(reference[at].identities)

    def _baselines(self, reference: Mapping[int, Hour]) -> None:
        counted = together([block for hour in reference.values() for block in hour.blocks])
        self._usual_script = usual_script(counted)
        hours = max(1, len(reference))
        for name, of in RATES.items():
            units, events = trials(counted, name, self._usual_script)
            standing = self.standing[name] = DriftStanding(name)
            limit = max(LEAST_LIMIT, LIMIT_DAYS * 24 * units / hours)
            upwards = baseline_of(events, units)
            if upwards is None:
                standing.why = f"not enough data: the reference has {units:,} of {LEAST_UNITS:,} {_UNITS.get(of, of)}"
                continue
            standing.reference = events / units
            self._detectors[name] = [Detector(upwards, limit, UPWARDS)]
            downwards = baseline_of(events, units, downwards=True)
            if name in BOTH_WAYS and downwards is not None and events:
                self._detectors[name].append(Detector(downwards, limit, DOWNWARDS))

    @property
    def against_control(self) -> bool:
        """Whether any amount is compared with the control arm's."""
        return bool(self._against)

    def hour(self, at: int, hour: Hour, control: Hour | None = None) -> list[Alarm]:
        """What the hour says; `control` is the control arm's."""
        self._changes = [one for one in self._changes if one.hour > at - CAUSE_HOURS]
        changes = self._identities.changes(at, hour.identities, hour.requests)
        self._changes += changes
        causes = tuple(self._changes)
        alarms = [Alarm(at, f"identity:{one.field}", one.sentence, (one,)) for one in changes if one.field != OWN]
        for name in self._references:
            alarms += self._amount(at, hour, control, name, causes)
        for name in self._detectors:
            alarms += self._rate(at, hour, name, causes)
        return alarms

    def _amount(self, at: int, hour: Hour, control: Hour | None, name: str, causes: tuple[Change, ...]) -> list[Alarm]:
        reference, standing = self._references[name], self.standing[name]
        histogram = hour.histograms.get(name)
        shift = None
        if histogram is not None and hour.requests >= LEAST_REQUESTS:
            shift = reference.shift(at, histogram)
        if histogram is None or shift is None:
            standing.why = f"not enough data: {hour.requests} requests in the last hour, {LEAST_REQUESTS} are needed"
            standing.value = standing.current = standing.shift_sd = None
            return []
        shifts = self._shifts[name]
        before = [shifts[hour] for hour in range(at - ROLLING + 1, at) if hour in shifts]
        self._shifts[name] = {hour: one for hour, one in shifts.items() if hour > at - ROLLING} | {at: shift}
        judged = reference.judge(shift, before, new_users=0.0 if hour.users_known else 1.0)
        standing.why, standing.value = "", shift.psi
        standing.current = histogram.quantile(0.5)
        standing.note(at, standing.current)
        standing.shift_sd = shift_sd(reference.around(at), histogram)
        apart = self._from_control(at, histogram, control, name)
        if apart is not None:
            if not apart[1]:
                return []
            standing.alarmed_hour = at
            said = _medians(name, standing) + f"against the control arm the mean moved by {apart[0].mean:+.2f} sd"
            return [Alarm(at, name, said + _because(causes), causes)]
        if not judged.alarms:
            return []
        standing.alarmed_hour = at
        return [Alarm(at, name, _told(name, judged, standing, causes), causes)]

    def _from_control(
        self, at: int, histogram: Histogram, control: Hour | None, name: str
    ) -> tuple[Apart, tuple[str, ...]] | None:
        """How far an amount is from the control arm's, and which tests alarm; None where the past has to say it."""
        judge, other = self._against.get(name), None if control is None else control.histograms.get(name)
        apart = None if judge is None or other is None else judge.apart(histogram, other)
        if judge is None or apart is None:
            return None
        known = self._apart[name]
        before = [known[hour] for hour in range(at - ROLLING + 1, at) if hour in known]
        self._apart[name] = {hour: one for hour, one in known.items() if hour > at - ROLLING} | {at: apart}
        return apart, judge.alarms(apart, before)

    def _rate(self, at: int, hour: Hour, name: str, causes: tuple[Change, ...]) -> list[Alarm]:
        standing = self.standing[name]
        units = events = 0
        alarms: list[Alarm] = []
        for block in hour.blocks:
            tried, happened = trials(block, name, self._usual_script)
            units, events = units + tried, events + happened
            for detector in self._detectors[name]:
                detector.block(tried, happened)
        standing.value = events / units if units else None
        standing.note(at, standing.value)
        standing.evidence = max([detector.value / detector.limit for detector in self._detectors[name]])
        if standing.evidence >= 1.0:
            standing.alarmed_hour = at
            was = standing.reference if standing.reference is not None else 0.0
            now = "" if standing.value is None else f", {standing.value:.2%} in the last hour"
            what = name.replace("_", " ") if name != SCRIPT else self._other_scripts(hour)
            sentence = f"{what}: {was:.2%} in the reference{now}"
            alarms.append(Alarm(at, name, sentence + _because(causes), causes))
            for detector in self._detectors[name]:
                detector.restart()
        return alarms

    def _other_scripts(self, hour: Hour) -> str:
        """What the rate of other scripts is of, in words."""
        counted = whole(hour.blocks)
        most = max([each for each in SCRIPTS if each != self._usual_script], key=lambda each: counted[each])
        now = f" (now mostly {_script(most)})" if counted[most] else ""
        return f"answers in another script than {_script(self._usual_script)}{now}"


def _script(name: str) -> str:
    return name.replace("_", " ")


def _against(reference: Mapping[int, Hour], control: Mapping[int, Hour]) -> dict[str, AgainstControl]:
    """Of each amount of which both arms have enough."""
    found: dict[str, AgainstControl] = {}
    for name in AMOUNTS:
        pairs = {
            at: (hour.histograms[name], control[at].histograms[name])
            for at, hour in reference.items()
            if at in control and name in hour.histograms and name in control[at].histograms
        }
        with contextlib.suppress(ValueError):
            found[name] = AgainstControl(pairs)
    return found


def _told(name: str, judged: Judged, standing: DriftStanding, causes: tuple[Change, ...]) -> str:
    shift = judged.shift
    said = _medians(name, standing) + f"PSI {shift.psi:.2f}, the mean moved by {shift.mean:+.2f} sd"
    if "rolling" in judged.alarms:
        said += f", by {judged.rolling:+.2f} sd over six hours"
    return said + _because(causes)


def _medians(name: str, standing: DriftStanding) -> str:
    return f"{name}: median {standing.reference:.4g} in the reference, {standing.current:.4g} in the last hour; "


def _because(causes: tuple[Change, ...]) -> str:
    return "; " + "; ".join([one.sentence for one in causes]) if causes else "; nothing else is known to have changed"
