"""Expectations: `FACT (==|!=|<=|>=|<|>) NUMBER [from TIME [to TIME]]`, over the requests scheduled in that time.

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
COUNTS = ("errors", "statuses", "engine", "replica", "arm", "metrics")
"""Families of facts that are counts by name: a name that does not occur is 0."""


class Expectation(msgspec.Struct, frozen=True):
    """One line, read."""

    text: str
    fact: str
    operator: str
    number: float
    start_s: float = 0.0
    end_s: float | None = None
    """None: the end of the run."""


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
        start_s=parse_duration_s(start) if start else 0.0,
        end_s=parse_duration_s(end) if end else None,
    )


def judge(expectation: Expectation, facts: Mapping[str, float | None]) -> Verdict:
    """Hold one expectation against the facts of its window. Raises ValueError for a fact that no run can have."""
    family = expectation.fact.partition(".")[0]
    if expectation.fact not in facts and family not in COUNTS:
        raise ValueError(f"`{expectation.text}`: there is no fact {expectation.fact}; there are {', '.join(facts)}")
    found = facts.get(expectation.fact, 0.0)
    met = found is not None and _OPERATORS[expectation.operator](found, expectation.number)
    return Verdict(expectation, found, met)
