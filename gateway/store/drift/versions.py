"""Which version of its engine each replica was at a time: told by the control plane, kept where it changes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from gateway.store.database.schema import engine_versions
from gateway.store.messages import SeenVersion

Place = tuple[str, str]
"""Engine and replica."""


class Versions:
    """Of all replicas, as they changed."""

    def __init__(self, rows: Iterable[SeenVersion]) -> None:
        self._since: dict[Place, tuple[list[int], list[str]]] = {}
        for row in sorted(rows, key=lambda row: row.since_ms):
            times, names = self._since.setdefault((row.engine, row.replica), ([], []))
            times.append(row.since_ms)
            names.append(row.version)

    def at(self, engine: str, replica: str, at_ms: int) -> str:
        """What the replica was at this Unix time; empty where it had not said yet."""
        known = self._since.get((engine, replica))
        place = bisect_right(known[0], at_ms) if known is not None else 0
        return known[1][place - 1] if known is not None and place else ""

    def last(self, engine: str, replica: str) -> str:
        """What it was last; empty where it never said."""
        known = self._since.get((engine, replica))
        return known[1][-1] if known is not None else ""


def read(connection: Connection) -> Versions:
    """All that is kept."""
    rows = connection.execute(select(engine_versions)).mappings()
    return Versions(SeenVersion(**row) for row in rows)


def note(connection: Connection, seen: Collection[SeenVersion]) -> None:
    """Keep what is new of these."""
    known = read(connection)
    new = [_row(one) for one in seen if known.last(one.engine, one.replica) != one.version]
    if new:
        dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
        connection.execute(dialect.insert(engine_versions).on_conflict_do_nothing(), new)


def forget(connection: Connection, before_ms: int, current: Collection[Place]) -> None:
    """Let go of what no request since this Unix time can have met: what another version followed before it, and what
    replicas were that are none any more; `current` are those that there are."""
    rows = [SeenVersion(**row) for row in connection.execute(select(engine_versions).order_by("since_ms")).mappings()]
    last_before: dict[Place, SeenVersion] = {}
    late: set[Place] = set()
    old: list[SeenVersion] = []
    for row in rows:
        place = row.engine, row.replica
        if row.since_ms >= before_ms:
            late.add(place)
            continue
        if place in last_before:
            old.append(last_before[place])
        last_before[place] = row
    old += [row for place, row in last_before.items() if place not in late and place not in current]
    if old:
        of = {name: engine_versions.c[name] == bindparam(f"the_{name}") for name in ("engine", "replica", "since_ms")}
        gone = [{"the_engine": one.engine, "the_replica": one.replica, "the_since_ms": one.since_ms} for one in old]
        connection.execute(delete(engine_versions).where(*of.values()), gone)


def _row(one: SeenVersion) -> dict[str, Any]:
    return {"engine": one.engine, "replica": one.replica, "since_ms": one.since_ms, "version": one.version}
