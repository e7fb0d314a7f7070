"""Feedback goes with what it speaks of: its words with the contents of its record, all of it with the record. So do
evaluations, and what explains them; and, by their time, decisions about replicas.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.exc import SQLAlchemyError

from gateway.store.database.opening import engine_of
from gateway.store.database.port import DatabaseAway
from gateway.store.database.rows import DAY_MS, HOUR_MS
from gateway.store.database.schema import evaluations, feedback
from gateway.store.reports.requests import id_bound
from gateway.store.scalings.table import forget as forget_scalings

EVERY_S: Final = 600.0
ROWS: Final = 500
"""Of one transaction, so that records wait for milliseconds."""


class Forgetting:
    """For one thread at a time."""

    def __init__(self, url: str, *, retention_days: int, content_retention_days: int, rows: int = ROWS) -> None:
        self._url = url
        self._retention_ms = retention_days * DAY_MS
        self._content_retention_ms = content_retention_days * DAY_MS
        self._rows = rows
        self._wordless = b""
        """Before this id no feedback has words any more, as far as is known."""

    def forget(self, now_ms: int) -> None:
        """Let go of what is too old. Blocks; raises DatabaseAway and DatabaseRefused."""
        gone = id_bound(now_ms - self._retention_ms)
        silent = id_bound(now_ms - self._content_retention_ms)
        engine = engine_of(self._url)
        try:
            works = (self._delete, gone), (self._unsay, gone), (self._silence, silent), (self._unexplain, silent)
            for work, bound in works:
                more = True
                while more:
                    with engine.begin() as connection:
                        more = work(connection, bound)
            more = True
            while more:
                with engine.begin() as connection:
                    more = forget_scalings(connection, now_ms - self._retention_ms, self._rows)
        except (SQLAlchemyError, OSError) as error:
            raise DatabaseAway(str(getattr(error, "orig", None) or error)) from None
        finally:
            engine.dispose()
        # An hour of records is looked through again: words may come from where the clock is behind ours.
        self._wordless = id_bound(now_ms - self._content_retention_ms - HOUR_MS)

    def _delete(self, connection: Connection, bound: bytes) -> bool:
        some = select(feedback.c.number).where(feedback.c.id < bound).limit(self._rows)
        return connection.execute(delete(feedback).where(feedback.c.number.in_(some))).rowcount == self._rows

    def _unsay(self, connection: Connection, bound: bytes) -> bool:
        some = select(evaluations.c.id).where(evaluations.c.id < bound).limit(self._rows)
        return connection.execute(delete(evaluations).where(evaluations.c.id.in_(some))).rowcount >= self._rows

    def _unexplain(self, connection: Connection, bound: bytes) -> bool:
        old = (evaluations.c.id < bound) & (evaluations.c.id >= self._wordless) & (evaluations.c.explanation != "")
        some = select(evaluations.c.id).where(old).limit(self._rows)
        unexplained = update(evaluations).where(evaluations.c.id.in_(some)).values(explanation="")
        return connection.execute(unexplained).rowcount >= self._rows

    def _silence(self, connection: Connection, bound: bytes) -> bool:
        old = (feedback.c.id < bound) & (feedback.c.id >= self._wordless)
        words = feedback.c.comment.is_not(None) | feedback.c.demonstration.is_not(None)
        some = select(feedback.c.number).where(old & words).limit(self._rows)
        silenced = update(feedback).where(feedback.c.number.in_(some)).values(comment=None, demonstration=None)
        return connection.execute(silenced).rowcount == self._rows
