"""The tables of drift, once they are there."""

from __future__ import annotations

from gateway.store.database.port import DatabaseAway
from gateway.store.drift.table import DriftTable
from gateway.store.writing.writer import Writer


def drift_table(writer: Writer, url: str) -> DriftTable:
    """Raises DatabaseAway until the writer has opened the database, and brought its schema up to date."""
    writer.opened.wait()
    state = writer.state()
    if state.refused or state.away:
        raise DatabaseAway(state.refused or state.away)
    return DriftTable(url)
