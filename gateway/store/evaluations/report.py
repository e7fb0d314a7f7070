"""Pairs of answers side by side: a request's, and its copy's by the shadow.

What is compared is the difference within each pair, which leaves out what one request differs from another in: a long
prompt is long for both. The bounds hold at every look at once (`routing.gate.sequence`), so a report may be read each
day. Copies are grouped by what they were served by (`bundle`), the newest group first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, inspect, select

from gateway.store.database.schema import evaluations, requests
from gateway.store.feedback.messages import MOST_VALUE
from gateway.store.reports.requests import FAR_MS, id_bound, texts
from routing.gate.sequence import Sample, mean_bounds

MOST_PAIRS: Final = 50_000
"""The newest: some hundred milliseconds of reading."""
TUNED_FOR: Final = 500
"""Pairs at which the bounds are tightest."""
LEFT: Final = 499
"""Whoever was to have the answer left, or the copy was given up: neither says how it would have ended."""

_READ: Final = (
    *("status", "error", "finish_reason", "duration_us", "ttft_us", "tpot_us", "overhead_us", "queue_us"),
    *("output_tokens", "cost_nanousd", "engine", "upstream_model", "bundle", "id"),
)


class WantedPairs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which pairs, by when the copy began."""

    model: str
    since_ms: int = 0
    until_ms: int = FAR_MS


Side = Mapping[str, Any]
"""What the record of one of the two says."""
Value = Callable[[Side], float | None]


def _served_ms(side: Side) -> float | None:
    """From the dispatch on: what a request waited here before is no part of what its engine took."""
    waited_us = (side["overhead_us"] or 0) + (side["queue_us"] or 0)
    return float(side["duration_us"] - waited_us) / 1e3


def _of(name: str, per: float) -> Value:
    return lambda side: None if side[name] is None else side[name] / per


MEASURES: Final[Mapping[str, Value]] = {
    "ttft_ms": _of("ttft_us", 1e3),
    "tpot_ms": _of("tpot_us", 1e3),
    "duration_ms": _served_ms,
    "output_tokens": _of("output_tokens", 1.0),
    "cost_usd": _of("cost_nanousd", 1e9),
}
"""Of pairs of which both were answered."""


class _Sums:
    """Of one measure: of both sides, and of the differences."""

    def __init__(self) -> None:
        self.count = 0
        self.original = self.copy = 0.0
        self.squares = 0.0

    def take(self, original: float, copy: float) -> None:
        self.count += 1
        self.original += original
        self.copy += copy
        self.squares += (copy - original) * (copy - original)

    def row(self, name: str) -> dict[str, Any]:
        total = self.copy - self.original
        bounds = mean_bounds(Sample(self.count, total, self.squares), tuned_for=TUNED_FOR)
        original = self.original / self.count
        return {
            "measure": name,
            "pairs": self.count,
            "original": original,
            "copy": self.copy / self.count,
            "difference": total / self.count,
            "low": None if bounds is None else bounds.low,
            "high": None if bounds is None else bounds.high,
            "ratio": None if not original else total / self.count / original,
        }


class _Group:
    """The pairs of one bundle."""

    def __init__(self, first: Side, names: Mapping[int, str]) -> None:
        self._copy, self._names = first, names
        self.newest_ms = self.oldest_ms = _time_ms(first)
        self.pairs = 0
        self.left = 0
        self._sums: dict[str, _Sums] = {}
        self.scores: dict[str, _Sums] = {}

    def take(self, original: Side, copy: Side) -> None:
        self.oldest_ms = _time_ms(copy)
        both = original["status"], copy["status"]
        if LEFT in both or all(400 <= status < 500 for status in both):  # the second is the request's own fault
            self.left += 1
            return
        self.pairs += 1
        failed = [_failed(side) for side in (original, copy)]
        self._add("errors", *failed)
        if any(failed):
            return
        lengths = [float(self._names.get(side["finish_reason"]) == "length") for side in (original, copy)]
        self._add("length_stops", *lengths)
        for name, value in MEASURES.items():
            both = value(original), value(copy)
            if both[0] is not None and both[1] is not None:
                self._add(name, both[0], both[1])

    def score(self, metric: str, value: float) -> None:
        self.scores.setdefault(metric, _Sums()).take(0.0, value)

    def _add(self, name: str, original: float, copy: float) -> None:
        self._sums.setdefault(name, _Sums()).take(original, copy)

    def told(self, model: str) -> dict[str, Any]:
        names = self._names
        order = ("errors", "length_stops", *MEASURES)
        scores = []
        for metric in sorted(self.scores):
            row = self.scores[metric].row(metric)
            scores.append(
                {"metric": metric, **{key: row[key] for key in ("pairs", "low", "high")}, "mean": row["copy"]}
            )
        return {
            "model": model,
            "bundle": names.get(self._copy["bundle"], ""),
            "engine": names.get(self._copy["engine"], ""),
            "upstream_model": names.get(self._copy["upstream_model"], ""),
            "from": _shown(self.oldest_ms),
            "to": _shown(self.newest_ms),
            "pairs": self.pairs,
            "left": self.left,
            "measures": [self._sums[name].row(name) for name in order if name in self._sums],
            "scores": scores,
        }


def pairs_report(connection: Connection, wanted: WantedPairs) -> list[dict[str, Any]]:
    """A group for each bundle that copies of this model were served by."""
    if "shadow_of" not in {column["name"] for column in inspect(connection).get_columns("requests")}:
        return []  # a store that no gateway of this version has used yet
    names = texts(connection)
    model = next((number for number, text in names.items() if text == wanted.model), None)
    if model is None:
        return []
    copies, originals = requests.alias("copies"), requests.alias("originals")
    query = (
        select(
            *(copies.c[name].label(f"copy_{name}") for name in _READ),
            *(originals.c[name].label(f"original_{name}") for name in _READ),
        )
        .select_from(copies.join(originals, originals.c.id == copies.c.shadow_of))
        .where(
            copies.c.shadow_of.is_not(None),
            copies.c.id >= id_bound(wanted.since_ms),
            copies.c.id < id_bound(wanted.until_ms),
            copies.c.model == model,
        )
        .order_by(copies.c.id.desc())
        .limit(MOST_PAIRS)
    )
    groups: dict[int, _Group] = {}
    of: dict[bytes, _Group] = {}
    with connection.execution_options(yield_per=1_000).execute(query) as rows:
        for row in rows.mappings():
            copy = {name: row[f"copy_{name}"] for name in _READ}
            original = {name: row[f"original_{name}"] for name in _READ}
            group = groups.setdefault(copy["bundle"], _Group(copy, names))
            group.take(original, copy)
            of[bytes(copy["id"])] = group
    _score(connection, of)
    return [group.told(wanted.model) for group in groups.values()]


def _score(connection: Connection, of: Mapping[bytes, _Group]) -> None:
    if not of:
        return
    found = select(evaluations.c.id, evaluations.c.metric, evaluations.c.value)
    found = found.where(evaluations.c.id >= min(of), evaluations.c.id <= max(of))
    found = found.where(evaluations.c.value.between(-MOST_VALUE, MOST_VALUE))  # an older version took any
    with connection.execution_options(yield_per=1_000).execute(found) as rows:
        for record_id, metric, value in rows:
            group = of.get(bytes(record_id))
            if group is not None:
                group.score(metric, value)


def _failed(side: Side) -> float:
    return float(side["status"] >= 400 or side["error"] != 0)


def _time_ms(side: Side) -> int:
    return int.from_bytes(bytes(side["id"])[:6], "big")


def _shown(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def sentences(group: Mapping[str, Any]) -> Sequence[str]:
    """What the bounds leave no doubt of, in words."""
    said = []
    for row in group["measures"]:
        low, high = row["low"], row["high"]
        if low is not None and (low > 0 or high < 0):
            more = "more" if low > 0 else "less"
            part = "" if row["ratio"] is None else f" ({abs(row['ratio']):.0%})"
            said.append(f"{row['measure']}: the copy has {more}, by {abs(row['difference']):.4g}{part}")
    return said
