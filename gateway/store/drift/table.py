"""The tables of drift, in SQLite and in PostgreSQL: what hours were like, and when a reference was frozen."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, Engine, delete, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from gateway.store.database.opening import engine_of
from gateway.store.database.port import DatabaseAway
from gateway.store.database.rows import HOUR_MS
from gateway.store.database.schema import answer_marks, drift_hours, drift_references, requests
from gateway.store.drift.reading import Mark
from gateway.store.drift.rows import Key, gather
from gateway.store.drift.summary import hour_of, summed_up
from gateway.store.drift.versions import Place, forget, note, read
from gateway.store.messages import SeenVersion
from gateway.store.reports.requests import id_bound, texts
from routing.drift.watch import Hour

_INSERT: Final = text(
    "INSERT INTO drift_hours (hour, model, arm, route, summary) VALUES (:hour, :model, :arm, :route, :summary) "
    "ON CONFLICT DO NOTHING"
)
_MARK: Final = text("INSERT INTO answer_marks (id, marks) VALUES (:id, :marks) ON CONFLICT DO NOTHING")
_FREEZE: Final = text(
    "INSERT INTO drift_references (hour, model, key_id) VALUES (:hour, :model, :key_id) ON CONFLICT DO NOTHING"
)


class DriftTable:
    """An open one, for one thread. Its methods raise DatabaseAway."""

    def __init__(self, url: str) -> None:
        """Raises DatabaseRefused. Connects when it is first asked."""
        self._engine: Engine = engine_of(url)
        self._reading: Engine = engine_of(url, reading=True)

    def next_hour(self, oldest: int) -> int | None:
        """The first hour, from `oldest` on, that is not summed up; None while there are no records."""
        try:
            with self._reading.connect() as connection:
                last = connection.execute(select(func.max(drift_hours.c.hour))).scalar_one()
                if last is not None:
                    return max(oldest, int(last) + 1)
                oldest_first = select(requests.c.id).order_by(requests.c.id).limit(1)
                first = connection.execute(oldest_first).scalar_one_or_none()  # PostgreSQL has no min() of bytes
        except (SQLAlchemyError, OSError) as error:
            raise _away(error) from None
        return None if first is None else max(oldest, int.from_bytes(first[:6], "big") // HOUR_MS)

    def summed(self, hour: int, models: Sequence[str] = ()) -> list[dict[str, object]]:
        """The rows of an hour, from its records; the last says that this is all of it. Names that no model of `models`
        is called are summed up as the wildcard among them that stands for them."""
        try:
            with self._reading.connect() as connection:
                found = gather(connection, hour, texts(connection), models, read(connection))
        except (SQLAlchemyError, OSError) as error:
            raise _away(error) from None
        rows: list[dict[str, object]] = [
            {"hour": hour, "model": model, "arm": arm, "route": route, "summary": summed_up(gathered)}
            for (model, arm, route), gathered in found.items()
        ]
        return [*rows, {"hour": hour, "model": "", "arm": "", "route": "", "summary": b""}]

    def store(self, rows: list[dict[str, object]], before: int, replicas: Collection[Place] = ()) -> None:
        """Keep these, and let go of the hours before one, and of the versions of replicas that were gone by then;
        `replicas` are those that there are, by engine."""
        try:
            with self._engine.begin() as connection:
                for row in rows:
                    connection.execute(_INSERT, row)
                connection.execute(delete(drift_hours).where(drift_hours.c.hour < before))
                if rows:
                    summed = int(str(rows[-1]["hour"]))
                    connection.execute(delete(answer_marks).where(answer_marks.c.id < id_bound((summed + 1) * HOUR_MS)))
                forget(connection, before * HOUR_MS, replicas)
        except (SQLAlchemyError, OSError) as error:
            raise _away(error) from None

    def note_versions(self, seen: Collection[SeenVersion]) -> None:
        """Keep what is new of which version of its engine each replica is."""
        try:
            with self._engine.begin() as connection:
                note(connection, seen)
        except (SQLAlchemyError, OSError) as error:
            raise _away(error) from None

    def mark(self, marks: Sequence[Mark]) -> None:
        """Keep what was read of answers, until their hour is summed up."""
        rows = [{"id": bytes.fromhex(one.record_id), "marks": one.marks} for one in marks]
        try:
            with self._engine.begin() as connection:
                connection.execute(_MARK, rows)
        except (SQLAlchemyError, OSError) as error:
            raise _away(error) from None

    def freeze(self, model: str, hour: int, key_id: str) -> None:
        """From this hour on a model is compared with the week before it."""
        try:
            with self._engine.begin() as connection:
                connection.execute(_FREEZE, {"hour": hour, "model": model, "key_id": key_id})
        except (SQLAlchemyError, OSError) as error:
            raise _away(error) from None

    def hours(self, after: int) -> tuple[list[tuple[int, Mapping[Key, Hour]]], dict[str, int]]:
        """What is kept of hours after this one, in their order, and from which hour each frozen model is compared."""
        try:
            with self._reading.connect() as connection:
                return _hours(connection, after), _frozen(connection)
        except (SQLAlchemyError, OSError) as error:
            raise _away(error) from None

    def close(self) -> None:
        self._engine.dispose()
        self._reading.dispose()


AT_ONCE: Final = 168
"""Hours that are read at once: some 10 MB of twenty models."""


def _hours(connection: Connection, after: int) -> list[tuple[int, Mapping[Key, Hour]]]:
    numbers = select(drift_hours.c.hour).where(drift_hours.c.hour > after, drift_hours.c.model == "")
    chosen = [row.hour for row in connection.execute(numbers.order_by(drift_hours.c.hour).limit(AT_ONCE))]
    found: dict[int, dict[Key, Hour]] = {hour: {} for hour in chosen}
    if chosen:
        of = select(drift_hours).where(drift_hours.c.hour >= chosen[0], drift_hours.c.hour <= chosen[-1])
        for row in connection.execute(of.where(drift_hours.c.model != "")):
            try:
                found.setdefault(row.hour, {})[row.model, row.arm, row.route] = hour_of(row.summary)
            except msgspec.MsgspecError:
                continue  # another version wrote it
    return [(hour, found[hour]) for hour in chosen]


def _frozen(connection: Connection) -> dict[str, int]:
    query = select(drift_references.c.model, func.max(drift_references.c.hour).label("hour"))
    return {row.model: row.hour for row in connection.execute(query.group_by(drift_references.c.model))}


def _away(error: Exception) -> DatabaseAway:
    return DatabaseAway(str(getattr(error, "orig", None) or error))
