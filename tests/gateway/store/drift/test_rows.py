"""What an application tells counts in the hour in which it is told, as of the model, arm and route of its answer."""

from __future__ import annotations

from pathlib import Path

import msgspec

from gateway.store.contents.redaction import Redaction
from gateway.store.database.port import Records
from gateway.store.database.rows import DAY_MS
from gateway.store.database.sqlite import Sqlite
from gateway.store.drift.summary import hour_of, summed_up
from gateway.store.drift.table import DriftTable
from gateway.store.feedback.messages import GiveFeedback
from gateway.store.feedback.table import give
from routing.drift.watch import Hour
from routing.drift.window import whole
from tests.gateway.store.records import Made, sqlite_url

HOUR_S = 3600
FIRST = 494_444


def hours(table: DriftTable, hour: int) -> dict[object, Hour]:
    """By arm."""
    found = {}
    for row in table.summed(hour):
        summary = row["summary"]
        assert isinstance(summary, bytes)
        if summary:
            found[row["arm"]] = hour_of(summary)
    return found


def test_thumbs_count_in_the_hour_in_which_they_are_given(tmp_path: Path) -> None:
    url, made = sqlite_url(tmp_path), Made()
    database = Sqlite(url)
    records = [made.one(FIRST * HOUR_S, arm=arm) for arm in ("control", "canary")]
    database.insert([Records(made.run, records)])
    for record, worse in ((records[0], True), (records[0], False), (records[1], True), (records[1], None)):
        now_ms = (FIRST + 3) * HOUR_S * 1000 + 5
        ids = (record.record_id, "")
        given = GiveFeedback("shop", "app", *ids, "thumbs_up", 0.0, "", "", "", now_ms, {}, worse)
        assert not give(url, given, Redaction(), DAY_MS).problem
    table = DriftTable(url)
    found = hours(table, FIRST + 3)
    counted = {arm: whole(hour.blocks) for arm, hour in found.items()}
    assert {"control": (0, 2, 1), "canary": (0, 1, 1)} == {
        arm: (hour.requests, counted[arm]["told"], counted[arm]["thumbs_down"]) for arm, hour in found.items()
    }
    assert [0, 0] == [whole(hour.blocks)["told"] for hour in hours(table, FIRST).values()]
    table.close()
    database.close()


def test_names_of_a_wildcard_are_one_model(tmp_path: Path) -> None:
    url, made = sqlite_url(tmp_path), Made()
    database = Sqlite(url)
    names = ["vendor/a", "vendor/b", "vendor/own", "old/a"]
    records = [made.one(FIRST * HOUR_S, model=name, upstream_model=name, bundle="aaaa") for name in names]
    database.insert([Records(made.run, records)])
    now_ms = FIRST * HOUR_S * 1000 + 5
    for record in records[:2]:
        given = GiveFeedback("shop", "app", record.record_id, "", "up", 0.0, "", "", "", now_ms, {}, True)
        assert not give(url, given, Redaction(), DAY_MS).problem
    table = DriftTable(url)
    rows = table.summed(FIRST, ["vendor/*", "vendor/own", "*small"])
    table.close()
    database.close()
    found = {
        row["model"]: hour_of(row["summary"]) for row in rows if isinstance(row["summary"], bytes) and row["model"]
    }
    assert {"vendor/*": (2, 2), "vendor/own": (1, 0), "old/a": (1, 0)} == {
        model: (hour.requests, whole(hour.blocks)["told"]) for model, hour in found.items()
    }
    assert {("llama", "bundle", "aaaa"): 2} == found["vendor/*"].identities
    assert 1 == found["vendor/own"].identities["llama", "upstream_model", "vendor/own"]


def test_an_hour_that_an_earlier_version_summed_up_is_read(tmp_path: Path) -> None:
    from gateway.store.drift.rows import Gathered

    old = msgspec.msgpack.decode(summed_up(Gathered()))
    old["blocks"] = [[100, 98, 2, 0, 0, 0]]
    counted = whole(hour_of(msgspec.msgpack.encode(old)).blocks)
    assert (100, 98, 2, 0) == (counted[""], counted["answers"], counted["errors"], counted["thumbs_down"])
