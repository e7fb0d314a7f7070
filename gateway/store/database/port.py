"""What the writer asks of a database; `sqlite.py` and `postgres.py` answer it. Every call may block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from gateway.accounts.record import RequestRecord


class DatabaseAway(Exception):
    """The database cannot be reached, or takes nothing, now; the message is for the operator."""


class DatabaseRefused(Exception):
    """This gateway may not use the database at all; the message is a sentence for the operator."""


def why_of(error: Exception) -> str:
    """What went wrong, in the database's own words: SQLAlchemy adds the statement, which is nobody's business."""
    return str(getattr(error, "orig", None) or error)


class Records(NamedTuple):
    """Some records of one run."""

    run: str
    records: list[RequestRecord]


class Database(Protocol):
    """An open database, for one writer. Its methods raise DatabaseAway, and then have changed nothing."""

    def insert(self, batches: Sequence[Records]) -> int:
        """Store records with their sums, in one transaction; returns how many were new."""

    def end_run(self, run: str, settled: int, now_ms: int) -> int:
        """Note that a worker is gone that had settled so many; returns how many of their records are missing."""

    def expire(self, before_ms: int) -> bool:
        """Delete some of the records from before; returns whether there are more. Sums stay."""

    def close(self) -> None: ...
