"""A provider's export of usage, as its console gives it: CSV, in the columns of any provider that we know.

OpenAI      start_time, end_time, model, num_model_requests, input_tokens, input_cached_tokens, output_tokens: a row
            for each minute, hour or day, key and model, and one without figures where there was nothing; each kind of
            operation has an export of its own, and that of embeddings no output_tokens
Anthropic   usage_date_utc, model_version, usage_input_tokens_no_cache and three more for caches, usage_output_tokens:
            a row for each hour or day, key, model and context window
others      one row for each answer, by its id (OpenRouter's activity), or sums by time and model
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, Any, Final

from engines.model import Operation

IDS: Final = ("response_id", "id", "request_id", "generation_id")
MODELS: Final = ("model", "model_version")
KEYS: Final = ("api_key_id", "api_key", "api_key_name")
STARTS: Final = (
    "start_time",
    "start_time_iso",
    "usage_date_utc",
    "date",
    "timestamp",
    "time",
    "created_at",
)
ENDS: Final = ("end_time", "end_time_iso")
REQUESTS: Final = ("num_model_requests", "num_requests", "requests")
INPUT: Final = ("input_tokens", "n_context_tokens_total", "prompt_tokens", "tokens_prompt")
UNCACHED: Final = ("usage_input_tokens_no_cache", "uncached_input_tokens")
"""Where the whole input is not a column: what neither a cache gave nor took of it."""
CACHED: Final = (
    "input_cached_tokens",
    "cached_tokens",
    "cache_read_input_tokens",
    "usage_input_tokens_cache_read",
)
WRITTEN: Final = (
    "usage_input_tokens_cache_write",
    "usage_input_tokens_cache_write_5m",
    "usage_input_tokens_cache_write_1h",
)
OUTPUT: Final = (
    "output_tokens",
    "usage_output_tokens",
    "n_generated_tokens_total",
    "completion_tokens",
    "tokens_completion",
)
COST: Final = ("cost_usd", "amount_usd", "amount_value", "amount", "cost")
MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS
MOST_TOKENS: Final = 2**53
"""More than this, a float does not count."""
LAST_S: Final = 253_402_300_799
"""The end of the year 9999."""
SAME_USD: Final = 0.005
"""To the cent."""
GENERATING: Final = frozenset(
    operation.value for operation in (Operation.CHAT, Operation.COMPLETIONS, Operation.RESPONSES, Operation.MESSAGES)
)
"""What OpenAI exports as completions and Anthropic as messages, whichever of them a client called."""
EMBEDDING: Final = frozenset({Operation.EMBEDDINGS.value})
OF_OPENAI: Final = "num_model_requests"
OF_ANTHROPIC: Final = "usage_date_utc"


class BadExport(Exception):
    """The file is no export that we can read; the message says what is missing."""


@dataclass(slots=True)
class Amount:
    """What one side has of one key. None is what an export does not tell."""

    requests: int | None = 0
    input_tokens: int = 0
    cached_tokens: int | None = 0
    cache_write_tokens: int | None = 0
    output_tokens: int = 0
    cost_usd: float | None = 0.0
    unpriced: int = 0
    """Of ours, how many calls are not, or not whole, in `cost_usd`, as nobody knows their price."""

    def add(self, other: Amount) -> None:
        self.requests = _sum(self.requests, other.requests)
        self.input_tokens += other.input_tokens
        self.cached_tokens = _sum(self.cached_tokens, other.cached_tokens)
        self.cache_write_tokens = _sum(self.cache_write_tokens, other.cache_write_tokens)
        self.output_tokens += other.output_tokens
        self.cost_usd = None if self.cost_usd is None or other.cost_usd is None else self.cost_usd + other.cost_usd
        self.unpriced += other.unpriced

    def differences(self, theirs: Amount) -> dict[str, tuple[Any, Any]]:
        """Ours and theirs, where they are not the same. A part of a cost differs where it is more than theirs alone."""
        found: dict[str, tuple[Any, Any]] = {}
        for name in ("requests", "input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens"):
            pair = getattr(self, name), getattr(theirs, name)
            if None not in pair and pair[0] != pair[1]:
                found[name] = pair
        if self.cost_usd is not None and theirs.cost_usd is not None:
            more_usd = self.cost_usd - theirs.cost_usd
            if (more_usd if self.unpriced else abs(more_usd)) >= SAME_USD:
                found["cost_usd"] = round(self.cost_usd, 6), round(theirs.cost_usd, 6)
        return found


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


Key = tuple[str, ...]


@dataclass(slots=True)
class Export:
    """What a provider says: amounts by answer id, or by begin of a period and model."""

    by_id: bool
    period_ms: int = DAY_MS
    since_ms: int = 0
    until_ms: int = 2**48 - 1
    amounts: dict[Key, Amount] = field(default_factory=dict)
    operations: frozenset[str] | None = None
    """The paths whose requests are in it; None where it may have any."""


class _Columns:
    """Which column of an export says what."""

    def __init__(self, names: set[str]) -> None:
        """Raises BadExport."""
        self.identity, self.start, self.end = _first(IDS, names), _first(STARTS, names), _first(ENDS, names)
        self.model, self.key = _first(MODELS, names), _first(KEYS, names)
        self._requests, self._cost = _first(REQUESTS, names), _first(COST, names)
        self._cached, self._output = _first(CACHED, names), _first(OUTPUT, names)
        self._written = [column for column in WRITTEN if column in names]
        whole, uncached = _first(INPUT, names), _first(UNCACHED, names)
        self.operations: frozenset[str] | None = None
        if OF_OPENAI in names or OF_ANTHROPIC in names:
            self.operations = GENERATING
            if self._output is None and whole is not None:
                self.operations = EMBEDDING
        if (self._output is None and self.operations is not EMBEDDING) or (whole is None and uncached is None):
            raise BadExport(
                f"no column of tokens: {INPUT[0]} and {OUTPUT[0]} are needed; there is {', '.join(sorted(names))}"
            )
        if self.identity is None and (self.start is None or self.model is None):
            raise BadExport(f"it needs a column {IDS[0]} for each answer, or {STARTS[0]} and {MODELS[0]} for sums")
        self._input = [whole] if whole is not None else [uncached, self._cached, *self._written]

    def amount(self, row: Mapping[str, str]) -> Amount | None:
        """What a row says; None of a period in which there was nothing. Raises ValueError."""
        told = (*self._input, *([self._output] if self._output else ()), self._requests)
        if self.identity is None and not any(row[column] for column in told if column is not None):
            return None
        return Amount(
            _whole(row, self._requests) if self.identity is None else 1,
            sum(_whole(row, column) or 0 for column in self._input),
            _whole(row, self._cached),
            sum(_whole(row, column) or 0 for column in self._written) if self._written else None,
            _whole(row, self._output) or 0,
            _usd(row, self._cost) if self._cost is not None else None,
        )


def read_export(file: IO[str], api_key: str = "") -> Export:
    """`api_key`: only the rows of this key, as the export names it. Raises BadExport."""
    rows = csv.DictReader(file)
    columns = _Columns(set(rows.fieldnames or ()))
    if api_key and columns.key is None:
        raise BadExport(f"it names no keys: there is no column {' or '.join(KEYS)}")
    export = Export(columns.identity is not None, operations=columns.operations)
    found: list[tuple[int | None, str, Amount]] = []
    begins_ms: set[int] = set()
    lengths_ms: set[int] = set()
    for number, row in enumerate(_rows(rows), 2):
        if api_key and columns.key is not None and row[columns.key] != api_key:
            continue
        try:
            if None in row.values():
                raise ValueError("it is cut short")
            amount = columns.amount(row)
            begun_ms = _time_ms(row[columns.start]) if columns.start is not None and row[columns.start] else None
            if begun_ms is not None and columns.end is not None and row[columns.end]:
                ended_ms = _time_ms(row[columns.end])
                if ended_ms <= begun_ms:
                    raise ValueError(f"{columns.end} is not after {columns.start}")
                lengths_ms.add(ended_ms - begun_ms)
        except ValueError as error:
            raise BadExport(f"line {number}: {error}") from None
        if begun_ms is not None:
            begins_ms.add(begun_ms)  # also of a period without figures: what we have of it is missing there
        elif not export.by_id:
            raise BadExport(f"line {number}: {columns.start} is empty")
        if amount is not None:
            found.append((begun_ms, row[columns.identity or columns.model or ""], amount))
    if begins_ms:
        export.period_ms = min(lengths_ms, default=0) or _period_ms(begins_ms)
        export.since_ms, export.until_ms = min(begins_ms), max(begins_ms) + export.period_ms
    for begun_ms, name, amount in found:
        key: Key = (name,) if export.by_id else (shown(begun_ms or 0), name)
        if key in export.amounts:
            export.amounts[key].add(amount)
        else:
            export.amounts[key] = amount
    return export


def _rows(rows: Iterable[dict[str, str]]) -> Iterator[dict[str, str]]:
    """Raises BadExport."""
    try:
        yield from rows
    except csv.Error as error:  # a quote that nobody closes, mostly
        raise BadExport(f"it is no CSV: {error}") from None


def shown(ms: int) -> str:
    """A time, as the comparison names periods."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%MZ")


def _period_ms(begins: set[int]) -> int:
    """How long a period is, of an export that does not say when it ends."""
    for period_ms in (DAY_MS, HOUR_MS):
        if all(begun_ms % period_ms == 0 for begun_ms in begins):
            return period_ms
    return MINUTE_MS


def _first(columns: Iterable[str], names: set[str]) -> str | None:
    return next((column for column in columns if column in names), None)


def _whole(row: Mapping[str, str], column: str | None) -> int | None:
    """A count; OpenAI writes some of them as 3.0."""
    if column is None:
        return None
    number = float(row[column] or 0)
    if not number.is_integer() or not 0 <= number <= MOST_TOKENS:
        raise ValueError(f"{column} is no count: {row[column]}")
    return int(number)


def _usd(row: Mapping[str, str], column: str) -> float:
    """An amount, which may be a credit."""
    amount = float(row[column] or 0)
    if not math.isfinite(amount):
        raise ValueError(f"{column} is no amount: {row[column]}")  # which would agree with any
    return amount


def _time_ms(text: str) -> int:
    """Raises ValueError."""
    if text.replace(".", "", 1).isdigit():
        seconds = float(text)
    else:
        moment = datetime.fromisoformat(text)
        seconds = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    if not 0 <= seconds <= LAST_S:
        raise ValueError(f"{text} is no time in seconds since 1970")
    return int(seconds * 1000)
