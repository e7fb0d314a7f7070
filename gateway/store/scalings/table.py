"""The table of decisions about numbers of replicas, in SQLite and in PostgreSQL. One row each: some thousand a day at
most, kept for as long as records are."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, delete, inspect, select, text
from sqlalchemy.exc import SQLAlchemyError

from gateway.store.database.opening import engine_of
from gateway.store.database.port import DatabaseAway
from gateway.store.database.schema import scaling_decisions
from gateway.store.reports.requests import FAR_MS
from gateway.store.scalings.messages import KeepScalings

_KEEP: Final = text(
    "INSERT INTO scaling_decisions (run, number, at_ms, engine, had, wanted, why, sentence) "
    "VALUES (:run, :number, :at_ms, :engine, :had, :wanted, :why, :sentence) ON CONFLICT (run, number) DO NOTHING"
)


class WantedScalings(msgspec.Struct, frozen=True):
    """Which. None is any."""

    engine: str | None = None
    since_ms: int = 0
    until_ms: int = FAR_MS
    """Not this one any more."""
    limit: int = 1_000


def keep(url: str, asked: KeepScalings) -> None:
    """Store them, each once. Blocks; raises DatabaseAway and DatabaseRefused."""
    engine = engine_of(url)
    try:
        with engine.begin() as connection:
            for one in asked.decided:
                connection.execute(_KEEP, {"run": asked.run, **msgspec.structs.asdict(one)})
    except (SQLAlchemyError, OSError) as error:
        raise DatabaseAway(str(getattr(error, "orig", None) or error)) from None
    finally:
        engine.dispose()


def scalings(connection: Connection, wanted: WantedScalings) -> list[dict[str, Any]]:
    """The newest first, in the words of `/admin/v1/autoscale`."""
    if not inspect(connection).has_table(scaling_decisions.name):
        return []  # no gateway of this version has used the store yet
    known = scaling_decisions.c
    query = select(scaling_decisions).where(known.at_ms >= wanted.since_ms, known.at_ms < wanted.until_ms)
    if wanted.engine is not None:
        query = query.where(known.engine == wanted.engine)
    query = query.order_by(known.at_ms.desc(), known.run, known.number.desc()).limit(wanted.limit)
    return [
        {"at": told_at(row["at_ms"])} | {name: row[name] for name in ("engine", "had", "wanted", "why", "sentence")}
        for row in connection.execute(query).mappings()
    ]


def forget(connection: Connection, before_ms: int, rows: int) -> bool:
    """Let go of so many that are older; returns whether there may be more."""
    known = scaling_decisions.c
    some = select(known.run, known.number).where(known.at_ms < before_ms).limit(rows)
    found = connection.execute(some).all()
    for run, number in found:
        connection.execute(delete(scaling_decisions).where((known.run == run) & (known.number == number)))
    return len(found) == rows


def told_at(at_ms: int) -> str:
    """A Unix time in milliseconds as it is shown."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
