"""What own engines have cost by the hour: while requests paid for it, and while nobody used them.

A worker tells what an hour has cost so far, so what it tells twice counts once. One row for each worker process, engine
and hour: some thousand in a month.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import Connection, func, inspect, select, text
from sqlalchemy.exc import SQLAlchemyError

from gateway.store.database.opening import engine_of
from gateway.store.database.port import DatabaseAway
from gateway.store.database.schema import gpu_hours
from gateway.store.messages import GpuHour

HOUR_MS = 3_600_000
_SET = text(
    "INSERT INTO gpu_hours (hour, engine, run, busy_nanousd, idle_nanousd) "
    "VALUES (:hour, :engine, :run, :busy_nanousd, :idle_nanousd) ON CONFLICT (hour, engine, run) DO UPDATE "
    "SET busy_nanousd = excluded.busy_nanousd, idle_nanousd = excluded.idle_nanousd "
    "WHERE excluded.busy_nanousd >= gpu_hours.busy_nanousd AND excluded.idle_nanousd >= gpu_hours.idle_nanousd"
)
"""Neither ever falls, so of two that come in the wrong order the later stays."""


def note(url: str, run: str, hours: Iterable[GpuHour]) -> None:
    """Store what these hours have cost so far. Blocks; raises DatabaseAway and DatabaseRefused."""
    engine = engine_of(url)
    rows = [{"run": run, **msgspec.structs.asdict(hour)} for hour in hours]
    try:
        with engine.begin() as connection:
            for row in rows:
                connection.execute(_SET, row)
    except (SQLAlchemyError, OSError) as error:
        raise DatabaseAway(str(getattr(error, "orig", None) or error)) from None
    finally:
        engine.dispose()


def gpu_report(connection: Connection, since_ms: int, until_ms: int) -> list[dict[str, Any]]:
    """By engine, in whole hours: what its replicas cost while they were busy and while they were idle."""
    if not inspect(connection).has_table(gpu_hours.name):
        return []  # no gateway of this version has used the store yet
    busy, idle = (func.sum(column) for column in (gpu_hours.c.busy_nanousd, gpu_hours.c.idle_nanousd))
    query = (
        select(gpu_hours.c.engine, busy.label("busy"), idle.label("idle"))
        .where(gpu_hours.c.hour >= since_ms // HOUR_MS, gpu_hours.c.hour < -(-until_ms // HOUR_MS))
        .group_by(gpu_hours.c.engine)
        .order_by(gpu_hours.c.engine)
    )
    found = []
    for row in connection.execute(query):
        busy_usd, idle_usd = int(row.busy) / 1e9, int(row.idle) / 1e9
        whole = busy_usd + idle_usd
        ratio = round(idle_usd / whole, 4) if whole else None
        found.append({"engine": row.engine, "busy_usd": busy_usd, "idle_usd": idle_usd, "idle_ratio": ratio})
    return found
