"""What models, tenants, keys, arms and days cost: sums of the sums that the writer keeps, never a scan of requests; or,
where that is asked for, of single requests, as far as they are kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import Column, ColumnElement, Connection, Label, Table, bindparam, case, func, select, union_all

from gateway.accounts.lost import FREE
from gateway.accounts.record import SHADOW
from gateway.store.database.rows import DAY_MS, HOUR_MS
from gateway.store.database.schema import MEASURES, daily_keys, hourly, requests
from gateway.store.reports.requests import FAR_MS, NotInSums, NotWanted, id_bound, texts
from gateway.store.reports.zones import days, hours, named_day, named_hour, pieces, zone_of

DIMENSIONS: Final = ("model", "engine", "upstream_model", "arm", "tenant", "key", "day", "hour")
_COLUMNS: Final = {"key": "key_id"}


class WantedSums(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to sum up, and by what."""

    by: tuple[str, ...] = ("model",)
    since_ms: int = 0
    until_ms: int = FAR_MS
    """Not this hour, or day where keys are asked for, any more."""
    copies: bool = False
    """Of the copies that shadows got, which are nobody's requests; else of everything but those."""
    time_zone: str = "UTC"
    """Whose days, and the clock of whose hours, are told."""


Sums = dict[str, Any]
MOST_PERIODS: Final = 400
"""Of days or hours that a report from single requests is made of: each is a query of its own."""
MOST_PIECES: Final = 1_000
"""Of one such, in SQLite."""


def report(connection: Connection, wanted: WantedSums) -> list[Sums]:
    """A row for each combination that there was, the most expensive first; by day and hour in their order.

    Times are taken in whole hours, with `key` in whole days of UTC. Raises NotWanted.
    """
    zone = _check(wanted)
    if "key" in wanted.by and "hour" in wanted.by:
        raise NotWanted("keys are summed up by the day, so not by hour and key at once")
    if "key" in wanted.by and zone is not UTC:
        raise NotInSums(f"keys are summed up by UTC's day, not {zone}'s")
    by_number = texts(connection)
    shadow = next((number for number, text in by_number.items() if text == SHADOW), -1)
    parts = [
        select(
            *(_dimension(span, name).label(name) for name in wanted.by),
            *(span.table.c[measure] for measure in MEASURES),
        ).where(
            span.period >= span.first,
            span.period < span.end,
            span.table.c.arm == shadow if wanted.copies else span.table.c.arm != shadow,
        )
        for span in _spans(connection, wanted, zone)
    ]
    if not parts:
        return []
    every = union_all(*parts).subquery()
    dimensions = [every.c[name] for name in wanted.by]
    query = select(*dimensions, *(func.sum(every.c[measure]).label(measure) for measure in MEASURES))
    query = query.group_by(*dimensions)
    found = [row._mapping for row in connection.execute(query) if row.requests is not None]  # of nothing a sum is NULL
    return _sorted([_row(row, wanted.by, by_number, zone) for row in found], wanted)


def report_of_records(connection: Connection, wanted: WantedSums) -> list[Sums]:
    """The same from single requests, to the millisecond; those that are older than they are kept are not in it.

    All that a request cost is its engine's that answered: what other engines were paid for it is in no row of theirs.
    Raises NotWanted.
    """
    zone = _check(wanted)
    by_number = texts(connection)
    numbers = {text: number for number, text in by_number.items()}
    ids = select(requests.c.id).limit(1)
    of_these = ids.where(requests.c.id >= id_bound(wanted.since_ms), requests.c.id < id_bound(wanted.until_ms))
    first = connection.execute(of_these.order_by(requests.c.id)).scalar()
    last = connection.execute(of_these.order_by(requests.c.id.desc())).scalar()
    if first is None or last is None:
        return []
    begin_ms, end_ms = _ms(first), _ms(last)
    periods = [(0, begin_ms, end_ms + 1)]
    names = [name for name in ("day", "hour") if name in wanted.by]
    if names:
        length_ms, each = (HOUR_MS, hours) if "hour" in names else (DAY_MS, days)
        if (end_ms - begin_ms) // length_ms >= MOST_PERIODS:
            raise NotWanted(
                f"of single records there are {MOST_PERIODS} days or hours at most: name --since and --until"
            )
        periods = list(each(zone, begin_ms, end_ms))
    columns = [requests.c[_COLUMNS.get(name, name)].label(name) for name in wanted.by if name not in names]
    shadow = numbers.get(SHADOW, -1)
    query = select(*columns, *_measures(numbers)).where(
        requests.c.id >= bindparam("since"),
        requests.c.id < bindparam("until"),
        requests.c.arm == shadow if wanted.copies else requests.c.arm != shadow,
    )
    query = query.group_by(*columns)
    whole = connection.dialect.name != "sqlite"
    found = []
    labels = [column.name for column in columns]
    for day, from_ms, before_ms in periods:
        when = {"day": day, "hour": from_ms / HOUR_MS}
        span_ms = max(wanted.since_ms, begin_ms, from_ms), min(wanted.until_ms, end_ms + 1, before_ms)
        grouped: dict[tuple[int, ...], list[int]] = {}
        for piece_ms, piece_end_ms in [span_ms] if whole else _pieces(*span_ms):
            for row in connection.execute(query, {"since": id_bound(piece_ms), "until": id_bound(piece_end_ms)}):
                values = [int(value) for value in row]
                key, measured = tuple(values[: len(columns)]), values[len(columns) :]
                known = grouped.get(key, [0] * len(measured))
                grouped[key] = [one + more for one, more in zip(known, measured, strict=True)]
        for key, measured in sorted(grouped.items()):
            row_of = {**dict(zip(labels, key, strict=True)), **dict(zip(MEASURES, measured, strict=True)), **when}
            if row_of["requests"]:
                found.append(_row(row_of, wanted.by, by_number, zone))
    return _sorted(found, wanted)


def _pieces(begin_ms: int, end_ms: int) -> Iterator[tuple[int, int]]:
    """By the hour. SQLite sorts what it groups: pieces that stay in its caches take a quarter less, and no file."""
    length_ms = max(HOUR_MS, -(-(end_ms - begin_ms) // MOST_PIECES))
    for at_ms in range(begin_ms, end_ms, length_ms):
        yield at_ms, min(at_ms + length_ms, end_ms)


def _measures(numbers: Mapping[str, int]) -> list[Label[Any]]:
    """In the order of `MEASURES`, as the writer adds them up; a condition for each token would take twice as long."""
    counted = {
        "requests": func.count(),
        "errors": func.count(func.nullif(requests.c.error, 0)),
        "unpriced": func.count(case((_unpriced(numbers), 1))),
        "estimated": func.count(case((requests.c.usage_source == numbers.get("estimated", -1), 1))),
        "ttft_count": func.count(requests.c.ttft_us),
    }
    return [func.coalesce(counted.get(name, func.sum(requests.c.get(name))), 0).label(name) for name in MEASURES]


def _unpriced(numbers: Mapping[str, int]) -> ColumnElement[bool]:
    """The same as `gateway.store.reports.requests.is_unpriced`."""
    free = [numbers[operation.value] for operation in FREE if operation.value in numbers]
    answered = requests.c.status.between(200, 299) | requests.c.ttft_us.is_not(None)
    unsaid = requests.c.cost_nanousd.is_(None) & (requests.c.attempts > 0) & answered
    return (requests.c.unpriced != 0) | (unsaid & requests.c.operation.not_in(free) if free else unsaid)


def _ms(identity: bytes) -> int:
    return int.from_bytes(bytes(identity)[:6], "big")


def _check(wanted: WantedSums) -> tzinfo:
    """Returns its time zone. Raises NotWanted."""
    for name in wanted.by:
        if name not in DIMENSIONS:
            raise NotWanted(f"there is no {name!r} to sum by; there is {', '.join(DIMENSIONS)}")
    if len(set(wanted.by)) < len(wanted.by):
        raise NotWanted("each is to be named once")
    return zone_of(wanted.time_zone)


def _sorted(rows: list[Sums], wanted: WantedSums) -> list[Sums]:
    times = [name for name in wanted.by if name in ("day", "hour")]
    rows.sort(
        key=lambda row: (
            *(datetime.fromisoformat(row[name]).timestamp() for name in times),
            -(row["cost_usd"] or 0.0),
            -row["requests"],
        )
    )
    return rows


class _Span(NamedTuple):
    """Some sums: those of `table` from `first` on and before `end`."""

    table: Table
    period: Column[Any]
    first: int
    end: int
    ahead: int = 0
    """Of UTC, in hours: what days are counted by."""


def _spans(connection: Connection, wanted: WantedSums, zone: tzinfo) -> list[_Span]:
    """The sums that together are what is wanted: by the day as far as they go, which are mostly a tenth as many; but
    days of another zone are made of hours. Raises NotWanted."""
    by_hour = _Span(hourly, hourly.c.hour, wanted.since_ms // HOUR_MS, -(-wanted.until_ms // HOUR_MS))
    by_day = _Span(daily_keys, daily_keys.c.day, wanted.since_ms // DAY_MS, -(-wanted.until_ms // DAY_MS))
    if "key" in wanted.by:
        return [by_day]
    if zone is not UTC:
        first, last = connection.execute(select(func.min(hourly.c.hour), func.max(hourly.c.hour))).one()
        if first is None:
            return []
        parts = pieces(zone, max(by_hour.first, first), min(by_hour.end, last + 1))
        if "day" in wanted.by:
            return [by_hour._replace(first=begin, end=end, ahead=ahead) for begin, end, ahead in parts]
    whole = by_day._replace(first=-(-by_hour.first // 24), end=by_hour.end // 24)
    if "hour" in wanted.by or whole.first >= whole.end:
        return [by_hour]
    before, after = by_hour._replace(end=whole.first * 24), by_hour._replace(first=whole.end * 24)
    return [whole, *(span for span in (before, after) if span.first < span.end)]


def _dimension(span: _Span, name: str) -> Any:
    if name == "day" and span.table is hourly:
        return (span.table.c.hour + span.ahead) // 24
    return span.table.c[_COLUMNS.get(name, name)]


def _row(row: Any, by: tuple[str, ...], by_number: dict[int, str], zone: tzinfo) -> Sums:
    sums: Sums = {}
    for name in by:
        match name:
            case "day":
                sums[name] = named_day(int(row[name]))
            case "hour":
                sums[name] = named_hour(zone, float(row[name]) * (HOUR_MS // 1000))
            case _:
                sums[name] = by_number.get(int(row[name]), "")
    measured = {measure: int(row[measure]) for measure in MEASURES}
    sums |= {name: measured[name] for name in MEASURES if not name.endswith(("_us", "_count", "_nanousd"))}
    unknown = measured["unpriced"] and not measured["cost_nanousd"]  # where no price is known, it is not zero
    sums["cost_usd"] = None if unknown else measured["cost_nanousd"] / 1e9
    count = measured["requests"]
    # There is none where an engine was paid for attempts alone that were not the answer.
    sums["duration_ms"] = round(measured["duration_us"] / count / 1000, 3) if count else None
    counted = measured["ttft_count"]
    sums["ttft_ms"] = round(measured["ttft_us"] / counted / 1000, 3) if counted else None
    return sums
