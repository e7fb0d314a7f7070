"""Our records against a provider's export of usage: what both have, what only one has, and where they differ.

An export with an id per row is compared answer by answer; one that adds up by time and model (as OpenAI's does) is
compared by each of its sums. Tokens must agree exactly. Costs are compared where the export has them.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, Any, Final

from gateway.store.reading import Record

IDS: Final = ("response_id", "id", "request_id", "generation_id")
STARTS: Final = ("start_time", "start_time_iso", "date", "timestamp", "time", "created_at")
ENDS: Final = ("end_time", "end_time_iso")
REQUESTS: Final = ("num_model_requests", "num_requests", "requests")
INPUT: Final = ("input_tokens", "n_context_tokens_total", "prompt_tokens", "tokens_prompt")
CACHED: Final = ("input_cached_tokens", "cached_tokens", "cache_read_input_tokens")
OUTPUT: Final = ("output_tokens", "n_generated_tokens_total", "completion_tokens", "tokens_completion")
COST: Final = ("cost_usd", "amount_usd", "amount_value", "amount", "cost")
DAY_MS: Final = 86_400_000
SAME_USD: Final = 0.005
"""To the cent."""


class BadExport(Exception):
    """The file is no export that we can read; the message says what is missing."""


@dataclass(slots=True)
class Amount:
    """What one side has of one key. None is what an export does not tell."""

    requests: int | None = 0
    input_tokens: int = 0
    cached_tokens: int | None = 0
    output_tokens: int = 0
    cost_usd: float | None = 0.0

    def add(self, other: Amount) -> None:
        self.requests = None if self.requests is None or other.requests is None else self.requests + other.requests
        self.input_tokens += other.input_tokens
        both = self.cached_tokens, other.cached_tokens
        self.cached_tokens = None if None in both else (both[0] or 0) + (both[1] or 0)
        self.output_tokens += other.output_tokens
        self.cost_usd = None if self.cost_usd is None or other.cost_usd is None else self.cost_usd + other.cost_usd

    def differences(self, theirs: Amount) -> dict[str, tuple[Any, Any]]:
        """Ours and theirs, where they are not the same."""
        found: dict[str, tuple[Any, Any]] = {}
        for name in ("requests", "input_tokens", "cached_tokens", "output_tokens"):
            pair = getattr(self, name), getattr(theirs, name)
            if None not in pair and pair[0] != pair[1]:
                found[name] = pair
        if (
            self.cost_usd is not None
            and theirs.cost_usd is not None
            and abs(self.cost_usd - theirs.cost_usd) >= SAME_USD
        ):
            found["cost_usd"] = round(self.cost_usd, 6), round(theirs.cost_usd, 6)
        return found


Key = tuple[str, ...]


@dataclass(slots=True)
class Export:
    """What a provider says: amounts by answer id, or by begin of a period and model."""

    by_id: bool
    period_ms: int
    since_ms: int
    until_ms: int
    amounts: dict[Key, Amount] = field(default_factory=dict)


@dataclass(slots=True)
class Outcome:
    """The comparison."""

    matched: int = 0
    missing: dict[Key, Amount] = field(default_factory=dict)
    """We have them, the provider does not."""
    extra: dict[Key, Amount] = field(default_factory=dict)
    """The provider has them, we do not."""
    differing: dict[Key, dict[str, tuple[Any, Any]]] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        return not (self.missing or self.extra or self.differing)


def read_export(file: IO[str]) -> Export:
    """Raises BadExport."""
    rows = csv.DictReader(file)
    names = set(rows.fieldnames or ())
    identity, start = _first(IDS, names), _first(STARTS, names)
    tokens_in, tokens_out = _first(INPUT, names), _first(OUTPUT, names)
    if tokens_in is None or tokens_out is None:
        raise BadExport(
            f"no column of tokens: {INPUT[0]} and {OUTPUT[0]} are needed; there is {', '.join(sorted(names))}"
        )
    if identity is None and (start is None or "model" not in names):
        raise BadExport(f"it needs a column {IDS[0]} for each answer, or {STARTS[0]} and model for sums")
    optional = {name: _first(columns, names) for name, columns in (("n", REQUESTS), ("c", CACHED), ("usd", COST))}
    export = Export(identity is not None, 0, 2**48, 0)
    end = _first(ENDS, names)
    for number, row in enumerate(rows, 2):
        try:
            begun_ms = None if start is None or not row[start] else _time_ms(row[start])
            if begun_ms is not None:
                ended_ms = _time_ms(row[end]) if end is not None and row[end] else begun_ms + DAY_MS
                export.period_ms = export.period_ms or ended_ms - begun_ms
                export.since_ms = min(export.since_ms, begun_ms)
                export.until_ms = max(export.until_ms, ended_ms)
            amount = Amount(
                _whole(row, optional["n"]) if identity is None else 1,
                _whole(row, tokens_in) or 0,
                _whole(row, optional["c"]),
                _whole(row, tokens_out) or 0,
                float(row[optional["usd"]] or 0) if optional["usd"] is not None else None,
            )
        except ValueError as error:
            raise BadExport(f"line {number}: {error}") from None
        if identity is not None:
            key: Key = (row[identity],)
        else:
            if begun_ms is None:
                raise BadExport(f"line {number}: {start} is empty")
            key = (_shown(begun_ms), row["model"])
        if key in export.amounts:
            export.amounts[key].add(amount)
        else:
            export.amounts[key] = amount
    if not export.until_ms:  # no times: all that there is
        export.since_ms, export.until_ms = 0, 2**48 - 1
    return export


def compare(export: Export, records: Iterable[Record], engines: frozenset[str]) -> Outcome:
    """`records` are those of the export's time; what `engines` served of them is billed by this provider."""
    ours: dict[Key, Amount] = {}
    for record in records:
        for key, amount in _billed(record, export, engines):
            if key in ours:
                ours[key].add(amount)
            else:
                ours[key] = amount
    outcome = Outcome()
    for key, amount in ours.items():
        theirs = export.amounts.get(key)
        if theirs is None:
            outcome.missing[key] = amount
        elif differences := amount.differences(theirs):
            outcome.differing[key] = differences
        else:
            outcome.matched += 1
    outcome.extra = {key: amount for key, amount in export.amounts.items() if key not in ours}
    return outcome


def _billed(record: Record, export: Export, engines: frozenset[str]) -> Iterable[tuple[Key, Amount]]:
    """What the provider should have of one request: its answer, and attempts that were used up on the way."""
    period_ms = export.period_ms or DAY_MS
    begun = _shown(record["time_ms"] // period_ms * period_ms)
    if record["engine"] in engines and record["input_tokens"] is not None:
        amount = Amount(
            1,
            record["input_tokens"],
            record["cached_tokens"] or 0,
            record["output_tokens"] or 0,
            record["cost_usd"],
        )
        model = record["response_model"] or record["upstream_model"]
        yield ((record["response_id"] or record["record_id"],) if export.by_id else (begun, model)), amount
    for one in record["tries"] or ():
        if one.get("outcome") == "answered" or one["engine"] not in engines or one.get("input_tokens") is None:
            continue
        if not export.by_id:  # an attempt whose answer was not used has no id that we know
            tokens = one["input_tokens"], one.get("cached_tokens", 0), one.get("output_tokens") or 0
            yield (begun, one["upstream_model"]), Amount(1, *tokens, one.get("cost_usd"))


def _first(columns: Iterable[str], names: set[str]) -> str | None:
    return next((column for column in columns if column in names), None)


def _whole(row: Mapping[str, str], column: str | None) -> int | None:
    if column is None:
        return None
    return int(float(row[column] or 0))


def _time_ms(text: str) -> int:
    if text.replace(".", "", 1).isdigit():
        return int(float(text) * 1000)
    moment = datetime.fromisoformat(text)
    return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)


def _shown(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%MZ")
