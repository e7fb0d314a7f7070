"""Expectations: `FACT (==|!=|<=|>=|<|>) NUMBER [from TIME [to TIME]]`, over the requests scheduled in that time.

A TIME counts from the start of the schedule (`8s`), or names an event and what comes after it (`moved`, `moved+500ms`):
`from` counts from when that was over, `to` from when it began. What depends on an event that did not come, or was not
over by the end of the run, is missed.

A fact that a run does not have is 0 when it is a count (no `errors.timeout` is none of them), and otherwise fails its
expectation: a p99 of nothing meets no limit.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping

import msgspec

from loadtests.statistics.slo import parse_duration_s

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_LINE = re.compile(
    r"(?P<fact>[a-z][\w.:/-]*) *(?P<operator>==|!=|<=|>=|<|>) *(?P<number>-?\d+(?:\.\d+)?)"
    r"(?: +from (?P<start>\S+)(?: to (?P<end>\S+))?)?"
)
_NAMED = re.compile(r"(?P<name>[a-z][a-z_]*)(?:\+(?P<later>\S+))?")
COUNTS = ("errors", "statuses", "engine", "replica", "arm", "metrics")
"""Families of facts that are counts by name: a name that does not occur is 0."""


class Mark(msgspec.Struct, frozen=True):
    """When an event was, from the start of the schedule."""

    began_s: float
    over_s: float
    """When what it waits for was seen."""


class When(msgspec.Struct, frozen=True):
    """An edge of a window."""

    seconds: float
    after: str = ""
    """The event that they count from; empty for the start of the schedule."""


class Expectation(msgspec.Struct, frozen=True):
    """One line, read."""

    text: str
    fact: str
    operator: str
    number: float
    start: When = When(0.0)
    end: When | None = None
    """None: the end of the run."""

    def events(self) -> list[str]:
        """Those that its window depends on."""
        return [edge.after for edge in (self.start, self.end) if edge is not None and edge.after]

    def window_s(self, marks: Mapping[str, Mark], duration_s: float) -> tuple[float, float] | None:
        """From when to when; None where an event that it depends on was not, or is not over."""
        if any(name not in marks for name in self.events()):
            return None
        start, end = self.start, self.end
        start_s = start.seconds + (marks[start.after].over_s if start.after else 0.0)
        if end is None:
            return start_s, duration_s
        return start_s, end.seconds + (marks[end.after].began_s if end.after else 0.0)


class Verdict(msgspec.Struct, frozen=True):
    """What became of an expectation; `found` is None when the run has no such fact."""

    expectation: Expectation
    found: float | None
    met: bool


def read_expectation(line: str) -> Expectation:
    """Raises ValueError with what would be right."""
    match = _LINE.fullmatch(line.strip())
    if match is None:
        raise ValueError(f"`{line}` is no expectation: write `attainment >= 0.95` or `failed == 0 from 8s to 12s`")
    start, end = match["start"], match["end"]
    return Expectation(
        text=line.strip(),
        fact=match["fact"],
        operator=match["operator"],
        number=float(match["number"]),
        start=_when(start) if start else When(0.0),
        end=_when(end) if end else None,
    )


def _when(text: str) -> When:
    match = _NAMED.fullmatch(text)
    if match is None:
        return When(parse_duration_s(text))
    return When(parse_duration_s(match["later"]) if match["later"] else 0.0, match["name"])


def judge(expectation: Expectation, facts: Mapping[str, float | None]) -> Verdict:
    """Hold one expectation against the facts of its window. Raises ValueError for a fact that no run can have."""
    family = expectation.fact.partition(".")[0]
    if expectation.fact not in facts and family not in COUNTS:
        raise ValueError(f"`{expectation.text}`: there is no fact {expectation.fact}; there are {', '.join(facts)}")
    found = facts.get(expectation.fact, 0.0)
    met = found is not None and _OPERATORS[expectation.operator](found, expectation.number)
    return Verdict(expectation, found, met)
