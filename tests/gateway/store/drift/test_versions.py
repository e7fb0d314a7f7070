"""Which version of its engine answered is known of each request, and a change of it is named as what it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.store.database.opening import engine_of
from gateway.store.database.port import DatabaseAway, Records
from gateway.store.database.schema import engine_versions
from gateway.store.database.sqlite import Sqlite
from gateway.store.drift.keeper import GRACE_S, DriftKeeper
from gateway.store.drift.summary import hour_of
from gateway.store.drift.table import DriftTable
from gateway.store.drift.versions import Versions
from gateway.store.messages import SeenVersion
from routing.drift.identity import VERSION
from tests.gateway.store.records import Made, sqlite_url

HOUR_S = 3600
HOUR_MS = HOUR_S * 1000
FIRST = 494_444
"""A Unix hour."""
NEW_MS = FIRST * HOUR_MS + 1_800_000


def seen(version: str, since_ms: int, replica: str = "10.0.0.1:8000") -> SeenVersion:
    return SeenVersion("llama", replica, version, since_ms)


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A store with ten requests in each of two hours, and a copy."""
    url, made = sqlite_url(tmp_path), Made()
    database = Sqlite(url)
    records = [made.one((FIRST + hour) * HOUR_S + at * 360) for hour in range(2) for at in range(10)]
    records.append(made.one(FIRST * HOUR_S, replica="10.0.0.2:8000"))
    database.insert([Records(made.run, records)])
    database.close()
    return url


@pytest.fixture
def table(url: str) -> Iterator[DriftTable]:
    opened = DriftTable(url)
    yield opened
    opened.close()


def told(table: DriftTable, hour: int) -> dict[tuple[str, str, str], int]:
    """Who answered, by which version of its engine."""
    summary = table.summed(hour)[0]["summary"]
    assert isinstance(summary, bytes)
    return {who: count for who, count in hour_of(summary).identities.items() if who[1] == VERSION}


def kept(url: str) -> list[tuple[str, int, str]]:
    engine = engine_of(url, reading=True)
    try:
        with engine.connect() as connection:
            rows = connection.execute(engine_versions.select().order_by("replica", "since_ms"))
            return [(row.replica, row.since_ms, row.version) for row in rows]
    finally:
        engine.dispose()


def test_what_a_replica_was_is_what_it_said_last_before() -> None:
    versions = Versions([seen("2", 20), seen("1", 10)])
    at = [versions.at("llama", "10.0.0.1:8000", at_ms) for at_ms in (9, 10, 19, 20, 99)]
    assert at == ["", "1", "1", "2", "2"]
    assert (versions.at("llama", "10.0.0.2:8000", 99), versions.last("other", "")) == ("", "")


def test_each_request_counts_for_the_version_that_answered_it(table: DriftTable) -> None:
    assert told(table, FIRST) == {}
    table.note_versions([seen("0.10.2", 0), seen("0.11.0", NEW_MS)])
    assert told(table, FIRST) == {("llama", VERSION, "0.10.2"): 5, ("llama", VERSION, "0.11.0"): 5}
    assert told(table, FIRST + 1) == {("llama", VERSION, "0.11.0"): 10}


def test_what_is_told_again_is_kept_once(table: DriftTable, url: str) -> None:
    table.note_versions([seen("1", 10)])
    table.note_versions([seen("1", 20), seen("2", 30)])
    table.note_versions([seen("2", 40), seen("1", 50)])
    assert [(since_ms, version) for _, since_ms, version in kept(url)] == [(10, "1"), (30, "2"), (50, "1")]


def test_what_no_request_can_have_met_any_more_is_let_go_with_its_hours(table: DriftTable, url: str) -> None:
    old, young = FIRST * HOUR_MS, (FIRST + 1) * HOUR_MS
    table.note_versions([seen("1", old - 2), seen("2", old - 1), seen("3", young)])
    table.note_versions([seen("1", old - 2, "lasts"), seen("1", old - 2, "gone"), seen("1", young, "new")])
    table.store([], FIRST, {("llama", "lasts")})
    assert kept(url) == [
        ("10.0.0.1:8000", old - 1, "2"),
        ("10.0.0.1:8000", young, "3"),
        ("lasts", old - 2, "1"),
        ("new", young, "1"),
    ]


def test_the_keeper_keeps_them_and_those_that_it_could_not_keep_the_next_time(url: str) -> None:
    opened: list[DriftTable] = []

    def open_table() -> DriftTable:
        if not opened:
            opened.append(DriftTable(url))
            raise DatabaseAway("gone")
        return opened[0]

    keeper = DriftKeeper(open_table, wall=lambda: 0.0)
    keeper.note_versions([seen("1", 10)])
    keeper.step()
    assert kept(url) == []
    keeper.step()
    assert kept(url) == [("10.0.0.1:8000", 10, "1")]
    opened[0].close()


def test_the_keeper_lets_go_of_what_replicas_were_that_have_gone(url: str) -> None:
    keeper = DriftKeeper(lambda: DriftTable(url), wall=lambda: (FIRST + 2) * HOUR_S + GRACE_S)
    keeper.note_versions([seen("1", 10, "gone"), seen("1", 10, "back"), seen("1", 10, "lasts")])
    keeper.step()
    assert {replica for replica, _, _ in kept(url)} == {"gone", "back", "lasts"}
    keeper.note_versions([seen("", 20, "gone"), seen("", 20, "back"), seen("", 20, "never seen")])
    keeper.note_versions([seen("1", 30, "back")])
    keeper.step()
    assert kept(url) == [("back", 10, "1"), ("lasts", 10, "1")]
    assert keeper._table is not None
    keeper._table.close()
