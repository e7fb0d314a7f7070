"""Records in PostgreSQL, shared by any number of gateways: a partition for each day, so that a day is dropped at once.

A batch is copied into a table of this session's own. One statement then inserts what is not known yet and adds up what
it has really inserted: faster than sums made here, and right whatever other gateways do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg
from sqlalchemy.exc import DBAPIError

from gateway import clock
from gateway.store.database.codes import Codes
from gateway.store.database.opening import LOCK, engine_of, upgrade
from gateway.store.database.port import DatabaseAway, Records
from gateway.store.database.rows import COLUMNS, DAY_MS, Moved, Row, moved, row_of
from gateway.store.database.schema import AMOUNTS, ASSIGNED, DAILY_KEYS, HOURLY, LABELS, MEASURES, SMALL

if TYPE_CHECKING:
    from sqlalchemy import Connection

STAGE: Final = "penstock_stage"
STAGE_MOVED: Final = "penstock_stage_moved"
_MOVED: Final = ("id", "engine", "upstream_model", "cost_nanousd")
PREFIX: Final = "requests_"
_AWAY: Final = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError, psycopg.ProgrammingError)
"""Whatever is no record's fault: also a server that is read-only, a missing privilege, a missing table."""
DROP_WAIT: Final = "2s"
DROP_AGAIN_S: Final = 60.0
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Result = TypeVar("Result")

_ALL: Final = ", ".join(COLUMNS)
_KINDS: Final = {
    **dict.fromkeys((*SMALL, "unpriced"), "int2"),
    **dict.fromkeys((*LABELS, *ASSIGNED), "int4"),
    **dict.fromkeys(AMOUNTS, "int8"),
}
_TYPES: Final = [_KINDS.get(name, "bytea") for name in COLUMNS]
_MS: Final = "(('x' || encode(substr(id, 1, 6), 'hex'))::bit(48)::bigint)"
"""When a record was, from its id."""
_RUN: Final = "substr(encode(id, 'hex'), 14, 3) || substr(encode(id, 'hex'), 18, 9)"
_SUM_OF: Final = {
    "requests": "count(*)",
    "errors": "count(*) FILTER (WHERE error <> 0)",
    "unpriced": "count(*) FILTER (WHERE unpriced <> 0)",
    "estimated": "count(*) FILTER (WHERE usage_source = {estimated})",
    "output_tokens": "coalesce(sum(output_tokens) FILTER (WHERE input_tokens IS NOT NULL), 0)",
    "cached_tokens": "coalesce(sum(cached_tokens) FILTER (WHERE input_tokens IS NOT NULL), 0)",
    "cache_write_tokens": "coalesce(sum(cache_write_tokens) FILTER (WHERE input_tokens IS NOT NULL), 0)",
    "reasoning_tokens": "coalesce(sum(reasoning_tokens) FILTER (WHERE input_tokens IS NOT NULL), 0)",
    "ttft_count": "count(ttft_us)",
}


def _add_to(table: str, dimensions: tuple[str, ...], length_ms: int, with_moved: bool) -> str:
    period, *others = dimensions
    keys = [f"({_MS} / {length_ms})::int AS {period}", *others]
    measured = ", ".join(f"{_SUM_OF.get(name, f'coalesce(sum({name}), 0)')} AS {name}" for name in MEASURES)
    places = ", ".join(str(at + 1) for at in range(len(dimensions)))
    added = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in MEASURES)
    found = f"SELECT {', '.join(keys)}, {measured} FROM fresh GROUP BY {places}"  # noqa: S608 - our own names
    if with_moved:
        cost = ", ".join("sum(cost_nanousd)" if name == "cost_nanousd" else "0" for name in MEASURES)
        sums = ", ".join(f"sum({name})" for name in MEASURES)
        found = (
            f"SELECT {', '.join(dimensions)}, {sums} FROM ({found} UNION ALL "  # noqa: S608 - our own names
            f"SELECT {', '.join(keys)}, {cost} FROM elsewhere GROUP BY {places}) every GROUP BY {places}"
        )
    # In the order of their keys, or two gateways could wait for each other's rows.
    return (
        f"INSERT INTO {table} ({', '.join((*dimensions, *MEASURES))}) {found} ORDER BY {places} "
        f"ON CONFLICT ({', '.join(dimensions)}) DO UPDATE SET {added}"
    )


def _store(with_moved: bool) -> str:
    """Insert what is staged and is not here yet, and add it up."""
    hourly = _add_to("hourly", HOURLY, 3_600_000, with_moved)
    daily = _add_to("daily_keys", DAILY_KEYS, DAY_MS, with_moved)
    elsewhere = (
        "elsewhere AS (SELECT id, model, arm, tenant, key_id, moved.engine, moved.upstream_model, moved.cost_nanousd "  # noqa: S608 - our own names
        f"FROM {STAGE_MOVED} moved JOIN fresh USING (id)), "
    )
    return (
        f"WITH fresh AS (INSERT INTO requests ({_ALL}) SELECT {_ALL} FROM {STAGE} ON CONFLICT DO NOTHING RETURNING *), "  # noqa: S608 - our own names
        f"{elsewhere if with_moved else ''}by_hour AS ({hourly}), by_day AS ({daily}), "
        f"of_runs AS (INSERT INTO runs (run, recorded) SELECT {_RUN}, count(*) FROM fresh GROUP BY 1 ORDER BY 1 "
        f"ON CONFLICT (run) DO UPDATE SET recorded = runs.recorded + excluded.recorded) "
        f"SELECT count(*) FROM fresh"
    )


_STORE: Final = _store(with_moved=False)
_STORE_MOVED: Final = _store(with_moved=True)
"""Where something of their cost is another engine's."""
_END_RUN: Final = (
    "INSERT INTO runs (run, recorded, settled, ended_ms) VALUES (%s, 0, %s, %s) "
    "ON CONFLICT (run) DO UPDATE SET settled = excluded.settled, ended_ms = excluded.ended_ms RETURNING recorded"
)


class Postgres:
    """See `gateway.store.database.port.Database`."""

    def __init__(self, url: str) -> None:
        """Raises DatabaseRefused or DatabaseAway."""
        self._engine = engine_of(url)
        try:
            upgrade(self._engine)
            self._connection: Connection = self._engine.connect()
            with self._connection.begin():
                self._execute(f"CREATE TEMPORARY TABLE {STAGE} (LIKE requests INCLUDING DEFAULTS)")
                columns = "id bytea, engine int, upstream_model int, cost_nanousd bigint"
                self._execute(f"CREATE TEMPORARY TABLE {STAGE_MOVED} ({columns})")
        except BaseException as error:
            self._engine.dispose()
            if isinstance(error, DBAPIError) and isinstance(error.orig, _AWAY):
                raise DatabaseAway(str(error.orig)) from None
            raise
        self._codes = Codes(self._find)
        self._days: set[int] = set()
        self._drop_at_s = 0.0

    def insert(self, batches: Sequence[Records]) -> int:
        return self._in_one(lambda: self._insert(batches))

    def end_run(self, run: str, settled: int, now_ms: int) -> int:
        return self._in_one(lambda: settled - int(self._execute(_END_RUN, (run, settled, now_ms)).scalar_one()))

    def expire(self, before_ms: int) -> bool:
        """Whole days, at once; those that a long query reads, later."""
        if clock.monotonic() < self._drop_at_s:
            return False
        last = f"{PREFIX}{_day(before_ms // DAY_MS):%Y%m%d}"

        def drop() -> bool:
            names = [
                row[0]
                for row in self._execute(
                    "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
                    "WHERE i.inhparent = 'requests'::regclass AND c.relname < %s",
                    (last,),
                )
            ]
            days = [name for name in names if name.removeprefix(PREFIX).isdigit()]
            if days:
                self._days.clear()
                try:
                    with self._connection.begin_nested():
                        self._execute(f"SET LOCAL lock_timeout = '{DROP_WAIT}'")
                        for name in days:
                            self._execute(f'DROP TABLE "{name}"')
                except DBAPIError as error:
                    if not isinstance(error.orig, psycopg.errors.LockNotAvailable):
                        raise
                    self._drop_at_s = clock.monotonic() + DROP_AGAIN_S
            return False

        return self._in_one(drop)

    def close(self) -> None:
        self._connection.close()
        self._engine.dispose()

    def _execute(self, statement: str, parameters: tuple[Any, ...] = ()) -> Any:
        return self._connection.exec_driver_sql(statement, parameters or None)

    def _in_one(self, work: Callable[[], Result]) -> Result:
        """Do it in one transaction, or not at all."""
        try:
            with self._connection.begin():
                done = work()
        except BaseException as error:
            self._codes.undone()
            self._days.clear()
            cause = error.orig if isinstance(error, DBAPIError) else error
            if isinstance(cause, _AWAY):
                raise DatabaseAway(str(cause)) from None
            raise
        self._codes.kept()
        return done

    def _insert(self, batches: Sequence[Records]) -> int:
        codes = self._codes
        estimated = codes["estimated"]
        rows: list[Row] = []
        elsewhere: dict[Moved, None] = {}  # one may come twice
        for batch in batches:
            for record in batch.records:
                rows.append(row_of(record, codes))
                if record.tries is not None:
                    elsewhere.update(dict.fromkeys(moved(record, codes)))
        self._partitions(rows)
        connection = self._connection.connection.driver_connection
        assert isinstance(connection, psycopg.Connection)
        with connection.cursor() as cursor:
            with cursor.copy(f"COPY {STAGE} ({_ALL}) FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types(_TYPES)
                for row in rows:
                    copy.write_row(row)
            if elsewhere:
                with cursor.copy(f"COPY {STAGE_MOVED} ({', '.join(_MOVED)}) FROM STDIN (FORMAT BINARY)") as copy:
                    copy.set_types(["bytea", "int4", "int4", "int8"])
                    for one in elsewhere:
                        copy.write_row(one)
            cursor.execute((_STORE_MOVED if elsewhere else _STORE).format(estimated=estimated))
            found = cursor.fetchone()
            cursor.execute(f"TRUNCATE {STAGE}, {STAGE_MOVED}" if elsewhere else f"TRUNCATE {STAGE}")
        assert found is not None
        return int(found[0])

    def _partitions(self, rows: Sequence[Row]) -> None:
        """Have one for each day there is a row of."""
        days = {int.from_bytes(row[0][:6], "big") // DAY_MS for row in rows} - self._days
        if days:
            self._execute("SELECT pg_advisory_xact_lock(%s)", (LOCK + 1,))  # another gateway may begin the same day
        for day in sorted(days):
            bounds = [(at * DAY_MS).to_bytes(6, "big").hex() + "0" * 20 for at in (day, day + 1)]
            self._execute(
                f"CREATE TABLE IF NOT EXISTS {PREFIX}{_day(day):%Y%m%d} PARTITION OF requests "
                f"FOR VALUES FROM ('\\x{bounds[0]}') TO ('\\x{bounds[1]}')"
            )
        self._days |= days

    def _find(self, text: str) -> int:
        self._execute("INSERT INTO strings (text) VALUES (%s) ON CONFLICT DO NOTHING", (text,))
        return int(self._execute("SELECT id FROM strings WHERE text = %s", (text,)).scalar_one())


def _day(number: int) -> datetime:
    return _EPOCH + timedelta(days=number)
