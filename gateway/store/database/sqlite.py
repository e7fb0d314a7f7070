"""Records in SQLite: one file, written by one process, read by any.

The rows of a transaction are inserted by one `executemany` on the driver's own terms: SQLAlchemy's insert of
dictionaries takes twice as long.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DatabaseError, DBAPIError, OperationalError

from gateway.accounts.record import RequestRecord
from gateway.store.database.codes import Codes
from gateway.store.database.opening import engine_of, upgrade
from gateway.store.database.port import DatabaseAway, Records
from gateway.store.database.rows import COLUMNS, Cells, Moved, Row, moved, row_of, sums
from gateway.store.database.schema import DAILY_KEYS, HOURLY, MEASURES

EXPIRE_ROWS: Final = 5_000
"""Deleted in one transaction, some 10 ms: new records wait no longer."""
_LOOK_UP: Final = 500
"""Ids asked for at once; SQLite takes 999 parameters in old builds."""

Result = TypeVar("Result")

_INSERT: Final = f"INSERT OR IGNORE INTO requests ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 - our own names


def _add_to(table: str, dimensions: tuple[str, ...]) -> str:
    names = (*dimensions, *MEASURES)
    added = ", ".join(f"{name} = {name} + excluded.{name}" for name in MEASURES)
    return (
        f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) "  # noqa: S608 - our own names
        f"ON CONFLICT ({', '.join(dimensions)}) DO UPDATE SET {added}"
    )


_ADD_HOURLY: Final = _add_to("hourly", HOURLY)
_ADD_DAILY_KEYS: Final = _add_to("daily_keys", DAILY_KEYS)
_ADD_RUN: Final = (
    "INSERT INTO runs (run, recorded) VALUES (?, ?) "
    "ON CONFLICT (run) DO UPDATE SET recorded = recorded + excluded.recorded"
)
_END_RUN: Final = (
    "INSERT INTO runs (run, recorded, settled, ended_ms) VALUES (?, 0, ?, ?) "
    "ON CONFLICT (run) DO UPDATE SET settled = excluded.settled, ended_ms = excluded.ended_ms RETURNING recorded"
)


class _SomeAreHere(Exception):
    """Records of a batch are in the table already."""


class Sqlite:
    """See `gateway.store.database.port.Database`."""

    def __init__(self, url: str) -> None:
        """Raises DatabaseRefused or DatabaseAway."""
        self._engine: Engine = engine_of(url)
        try:
            upgrade(self._engine)
            self._connection: Connection = self._engine.connect()
        except BaseException as error:
            self._engine.dispose()
            if _is_away(error):
                raise _away(error) from None
            raise
        self._codes = Codes(self._find)

    def insert(self, batches: Sequence[Records]) -> int:
        try:
            return self._in_one(lambda: self._insert(batches))
        except _SomeAreHere:
            return self._in_one(lambda: self._insert_unknown(batches))

    def end_run(self, run: str, settled: int, now_ms: int) -> int:
        def ended() -> int:
            found = self._connection.exec_driver_sql(_END_RUN, (run, settled, now_ms)).scalar_one()
            return settled - int(found)

        return self._in_one(ended)

    def expire(self, before_ms: int) -> bool:
        def some() -> bool:
            deleted = self._connection.exec_driver_sql(
                "DELETE FROM requests WHERE id IN (SELECT id FROM requests WHERE id < ? ORDER BY id LIMIT ?)",
                (before_ms.to_bytes(6, "big"), EXPIRE_ROWS),
            )
            return deleted.rowcount == EXPIRE_ROWS

        return self._in_one(some)

    def close(self) -> None:
        self._connection.close()
        self._engine.dispose()

    def _in_one(self, work: Callable[[], Result]) -> Result:
        """Do it in one transaction, or not at all."""
        try:
            with self._connection.begin():
                done = work()
        except BaseException as error:
            self._codes.undone()
            if _is_away(error):
                raise _away(error) from None
            raise
        self._codes.kept()
        return done

    def _insert(self, batches: Sequence[Records]) -> int:
        rows, elsewhere = self._rows(batches)
        # Without a savepoint, which would cost each record a microsecond for what is rare.
        if self._connection.exec_driver_sql(_INSERT, rows).rowcount != len(rows):  # exact, of `executemany` too
            raise _SomeAreHere
        self._add_up(rows, elsewhere, [(batch.run, len(batch.records)) for batch in batches])
        return len(rows)

    def _insert_unknown(self, batches: Sequence[Records]) -> int:
        """The same of records of which some are here: their sums must not count again."""
        all_rows, elsewhere = self._rows(batches)
        new = self._unknown(all_rows)
        if new:
            rows = list(new.values())
            self._connection.exec_driver_sql(_INSERT, rows)
            theirs = list(dict.fromkeys(one for one in elsewhere if one.identity in new))  # one may have come twice
            self._add_up(rows, theirs, _new_of_runs(batches, set(new)))
        return len(new)

    def _rows(self, batches: Sequence[Records]) -> tuple[list[Row], list[Moved]]:
        codes = self._codes
        rows, elsewhere = [], []
        for batch in batches:
            for record in batch.records:
                rows.append(row_of(record, codes))
                if record.tries is not None:
                    elsewhere += moved(record, codes)
        return rows, elsewhere

    def _add_up(self, rows: list[Row], elsewhere: list[Moved], per_run: list[tuple[str, int]]) -> None:
        execute = self._connection.exec_driver_sql
        by_hour, by_day = sums(rows, elsewhere, self._codes["estimated"])
        execute(_ADD_HOURLY, _flat(by_hour))
        execute(_ADD_DAILY_KEYS, _flat(by_day))
        execute(_ADD_RUN, per_run)

    def _unknown(self, rows: list[Row]) -> dict[bytes, Row]:
        """Those whose id is not in the table, each once, by id."""
        new: dict[bytes, Row] = {row[0]: row for row in rows}
        identities = list(new)
        for start in range(0, len(identities), _LOOK_UP):
            some = identities[start : start + _LOOK_UP]
            marks = ", ".join("?" * len(some))
            for (known,) in self._connection.exec_driver_sql(
                f"SELECT id FROM requests WHERE id IN ({marks})",  # noqa: S608 - only marks
                tuple(some),
            ):
                del new[known]
        return new

    def _find(self, text: str) -> int:
        execute = self._connection.exec_driver_sql
        execute("INSERT OR IGNORE INTO strings (text) VALUES (?)", (text,))
        return int(execute("SELECT id FROM strings WHERE text = ?", (text,)).scalar_one())


def _identity(record: RequestRecord) -> bytes:
    return bytes.fromhex(record.record_id)


def _new_of_runs(batches: Sequence[Records], new: set[bytes]) -> list[tuple[str, int]]:
    """How many of `new` each batch brings. One batch may be there twice: what the first brings, the second does not."""
    found = []
    for batch in batches:
        brought = {_identity(one) for one in batch.records} & new
        new -= brought
        found.append((batch.run, len(brought)))
    return found


def _flat(cells: Cells) -> list[tuple[Any, ...]]:
    return [(*key, *values) for key, values in cells.items()]


def _is_away(error: BaseException) -> bool:
    """Whether it is no record's fault. A file that is damaged, or no database, is a plain DatabaseError."""
    return isinstance(error, (OperationalError, OSError)) or type(error) is DatabaseError


def _away(error: BaseException) -> DatabaseAway:
    if isinstance(error, DBAPIError):
        return DatabaseAway(str(error.orig))
    return DatabaseAway(str(error.strerror or error) if isinstance(error, OSError) else str(error))
