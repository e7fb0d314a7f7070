"""The table of contents, in SQLite and in PostgreSQL: one insert, and what is too old goes.

A content whose id is there already is left out, so one that comes twice is stored once. In PostgreSQL it has a
partition for each day, as requests have.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, bindparam, delete, select, text
from sqlalchemy.exc import SQLAlchemyError

from gateway.store.contents.content import ContentRecord, storable
from gateway.store.database.opening import LOCK, engine_of, upgrade
from gateway.store.database.port import DatabaseAway
from gateway.store.database.schema import contents
from gateway.store.reports.requests import id_bound

PREFIX: Final = "contents_"
EXPIRE_ROWS: Final = 32
"""Deleted in one transaction of SQLite: 4 MiB of texts of the usual size, so that records wait for milliseconds."""
DROP_WAIT: Final = "2s"
_DAY_MS: Final = 86_400_000
_INSERT: Final = text(
    "INSERT INTO contents (id, prompt, answer, cut) VALUES (:id, :prompt, :answer, :cut) ON CONFLICT DO NOTHING"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class ContentTable:
    """An open table, for one thread. Its methods raise DatabaseAway, and then have changed nothing."""

    def __init__(self, url: str) -> None:
        """Raises DatabaseRefused or DatabaseAway."""
        self._engine: Engine = engine_of(url)
        self._postgres = self._engine.dialect.name == "postgresql"
        self._days: set[int] = set()
        try:
            upgrade(self._engine)
        except (SQLAlchemyError, OSError) as error:
            self._engine.dispose()
            raise _away(error) from None

    def insert(self, records: Sequence[ContentRecord]) -> int:
        """Store these; returns how many were new."""
        rows = [_row(record) for record in records]
        try:
            with self._engine.begin() as connection:
                if self._postgres:
                    self._partitions(connection, rows)
                return sum(connection.execute(_INSERT, row).rowcount for row in rows)
        except (SQLAlchemyError, OSError) as error:
            self._days.clear()
            raise _away(error) from None

    def expire(self, before_ms: int) -> bool:
        """Delete some of what is from before; returns whether there is more."""
        try:
            with self._engine.begin() as connection:
                if self._postgres:
                    self._drop(connection, before_ms)
                    return False
                old = select(contents.c.id).where(contents.c.id < bindparam("bound")).limit(EXPIRE_ROWS)
                gone = connection.execute(
                    delete(contents).where(contents.c.id.in_(old)), {"bound": id_bound(before_ms)}
                )
                return gone.rowcount == EXPIRE_ROWS
        except (SQLAlchemyError, OSError) as error:
            self._days.clear()
            raise _away(error) from None

    def rest(self) -> None:
        """Nothing is to be done for a while: hold no connection."""
        self._engine.dispose()

    close = rest

    def _partitions(self, connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
        """Have one for each day there is a row of."""
        days = {int.from_bytes(row["id"][:6], "big") // _DAY_MS for row in rows} - self._days
        if days:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s)", (LOCK + 1,))
        for day in sorted(days):
            bounds = [(at * _DAY_MS).to_bytes(6, "big").hex() + "0" * 20 for at in (day, day + 1)]
            connection.exec_driver_sql(
                f"CREATE TABLE IF NOT EXISTS {_partition(day)} PARTITION OF contents "
                f"FOR VALUES FROM ('\\x{bounds[0]}') TO ('\\x{bounds[1]}')"
            )
        self._days |= days

    def _drop(self, connection: Connection, before_ms: int) -> None:
        last = _partition(before_ms // _DAY_MS)
        names = [
            row[0]
            for row in connection.exec_driver_sql(
                "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
                "WHERE i.inhparent = 'contents'::regclass AND c.relname < %s",
                (last,),
            )
        ]
        days = [name for name in names if name.removeprefix(PREFIX).isdigit()]
        if days:
            self._days.clear()
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{DROP_WAIT}'")
        for name in days:
            connection.exec_driver_sql(f'DROP TABLE "{name}"')


def _row(record: ContentRecord) -> dict[str, Any]:
    return {
        "id": bytes.fromhex(record.record_id),
        "prompt": storable(record.prompt),
        "answer": storable(record.answer),
        "cut": record.cut & 3,
    }


def _partition(day: int) -> str:
    return f"{PREFIX}{_EPOCH + timedelta(days=day):%Y%m%d}"


def _away(error: Exception) -> DatabaseAway:
    return DatabaseAway(str(getattr(error, "orig", None) or error))
