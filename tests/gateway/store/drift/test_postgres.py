"""Drift, and the assignment that feedback needs, in PostgreSQL as in SQLite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.store.__main__ import open_database
from gateway.store.contents.redaction import Redaction
from gateway.store.database.port import Records
from gateway.store.database.rows import DAY_MS
from gateway.store.drift.table import DriftTable
from gateway.store.feedback.messages import FeedbackGiven, GiveFeedback
from gateway.store.feedback.table import give
from gateway.store.messages import SeenVersion
from routing.drift.identity import VERSION
from tests.gateway.store.records import NOON_S, Made, sqlite_url, stored

KEY = ("chat", "control", "/v1/chat/completions")
GIVEN = GiveFeedback("shop", "app", "", "own", "good", 1.0, "c", "d", "k", int(NOON_S * 1e3) + 1_000, {"chat": ""})


def walk(url: str) -> None:
    """One record: its assignment comes back, feedback finds it, and its hour is summed up once by two gateways."""
    database, made = open_database(url), Made()
    record = made.one(request_id="own", experiment="e1", unit="00000000000000ff", shares=(0.95, 0.05))
    table = DriftTable(url)
    assert table.next_hour(0) is None
    database.insert([Records(made.run, made.all)])
    told = FeedbackGiven("", "", record.record_id, False, "chat", "e1", "control", "00000000000000ff", "0.95,0.05")
    assert told == give(url, GIVEN, Redaction(), DAY_MS)
    assert give(url, GIVEN, Redaction(), DAY_MS).repeated
    assert ["e1"] == [one["experiment"] for one in stored(url)]
    hour = table.next_hour(0)
    assert hour == int(NOON_S // 3600)
    versions = [SeenVersion("llama", "10.0.0.1:8000", version, at_ms) for version, at_ms in (("1", 1), ("2", 2))]
    table.note_versions(versions)
    table.note_versions(versions[1:])
    rows = table.summed(hour)
    table.store(rows, 0)
    table.store(rows, 0)  # another gateway was as quick
    table.freeze("chat", hour, "ops")
    hours, frozen = table.hours(0)
    assert ({"chat": hour}, [(hour, {KEY})]) == (frozen, [(at, set(kept)) for at, kept in hours])
    assert 1 == hours[0][1][KEY].identities["llama", VERSION, "2"]
    assert hour + 1 == table.next_hour(0)
    table.store([], hour + 1)
    assert ([], {"chat": hour}) == table.hours(0)
    table.close()
    database.close()


def test_in_sqlite(tmp_path: Path) -> None:
    walk(sqlite_url(tmp_path))


@pytest.mark.store
def test_in_postgresql(new_database: Callable[[], str]) -> None:
    walk(new_database())
