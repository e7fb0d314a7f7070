"""The table of evaluations: one number of each metric for each record, the newest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from sqlalchemy import Engine, text
from sqlalchemy.exc import SQLAlchemyError

from gateway.store.database.opening import engine_of, upgrade
from gateway.store.database.port import DatabaseAway

_INSERT: Final = text(
    "INSERT INTO evaluations (id, metric, at_ms, value, label, explanation) "
    "VALUES (:id, :metric, :at_ms, :value, :label, :explanation) ON CONFLICT (id, metric) "
    "DO UPDATE SET at_ms = excluded.at_ms, value = excluded.value, label = excluded.label, "
    "explanation = excluded.explanation"
)


class Evaluation(NamedTuple):
    """What was found of one answer."""

    record_id: str
    metric: str
    at_ms: int
    value: float
    label: str = ""
    explanation: str = ""


class EvaluationTable:
    """An open table, for one thread."""

    def __init__(self, url: str) -> None:
        """Raises DatabaseRefused or DatabaseAway."""
        self._engine: Engine = engine_of(url)
        try:
            upgrade(self._engine)
        except (SQLAlchemyError, OSError) as error:
            self._engine.dispose()
            raise DatabaseAway(str(getattr(error, "orig", None) or error)) from None

    def insert(self, evaluations: Sequence[Evaluation]) -> None:
        """Store these, in the place of older ones of the same metric. Raises DatabaseAway, having changed nothing."""
        rows = [{**one._asdict(), "id": bytes.fromhex(one.record_id)} for one in evaluations]
        for row in rows:
            del row["record_id"]
        try:
            with self._engine.begin() as connection:
                connection.execute(_INSERT, rows)
        except (SQLAlchemyError, OSError) as error:
            raise DatabaseAway(str(getattr(error, "orig", None) or error)) from None

    def close(self) -> None:
        self._engine.dispose()
