"""What was decided of releases, newest first, for people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, inspect, select

from gateway.store.database.schema import release_decisions


class WantedDecisions(msgspec.Struct, frozen=True):
    """Which. None is any."""

    model: str | None = None
    limit: int = 20


def decisions(connection: Connection, wanted: WantedDecisions) -> list[dict[str, Any]]:
    """The newest first."""
    if not inspect(connection).has_table(release_decisions.name):
        return []  # no gateway of this version has used the store yet
    query = select(release_decisions).order_by(release_decisions.c.id.desc()).limit(wanted.limit)
    if wanted.model is not None:
        query = query.where(release_decisions.c.model == wanted.model)
    found = []
    for row in connection.execute(query).mappings():
        told = {name: row[name] for name in ("model", "experiment", "arm", "action", "share_before", "share_after")}
        at = datetime.fromtimestamp(row["at_ms"] / 1000, UTC).isoformat(timespec="milliseconds")
        numbers = msgspec.json.decode(row["numbers"]) if row["numbers"] else None
        found.append(
            {"time": at.replace("+00:00", "Z"), "name": row["name"], **told, "sentence": row["sentence"]}
            | {"by": row["acted_by"], "numbers": numbers}
        )
    return found
