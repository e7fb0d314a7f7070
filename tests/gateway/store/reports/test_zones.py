"""Reports by the day of a time zone: whose clock is changed, that is half an hour off, that there is not."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway.store.database.opening import engine_of
from gateway.store.database.port import Database, Records
from gateway.store.reports.asked import answer, wanted_sums
from gateway.store.reports.requests import NotInSums, NotWanted
from gateway.store.reports.sums import WantedSums, report, report_of_records
from gateway.store.reports.times import time_ms
from gateway.store.reports.zones import days, hours, named_hour, pieces, zone_of
from tests.gateway.store.records import NOON_S, Made

BERLIN = "Europe/Berlin"
HOUR_MS = 3_600_000
CHANGES = {"spring": datetime(2026, 3, 29, 1, tzinfo=UTC), "autumn": datetime(2026, 10, 25, 1, tzinfo=UTC)}


def reported(url: str, wanted: WantedSums, *, records: bool = False) -> list[dict[str, Any]]:
    engine = engine_of(url, reading=True)
    try:
        with engine.connect() as connection:
            return (report_of_records if records else report)(connection, wanted)
    finally:
        engine.dispose()


def by_hour(database: Database, around: datetime) -> list[datetime]:
    """One request in each of some days' hours, at half past."""
    times = [around + timedelta(hours=number, minutes=30) for number in range(-40, 40)]
    made = Made()
    database.insert([Records(made.run, [made.one(at.timestamp()) for at in times])])
    return times


@pytest.mark.parametrize("name", [BERLIN, "America/New_York", "Pacific/Auckland", "Asia/Tokyo", "Etc/UTC"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_day_is_its_zones_though_its_clock_is_changed(database: Database, url: str, name: str, change: str) -> None:
    times = by_hour(database, CHANGES[change])
    expected = Counter(at.astimezone(ZoneInfo(name)).date().isoformat() for at in times)
    wanted = WantedSums(("day",), time_zone=name)
    for records in (False, True):
        rows = reported(url, wanted, records=records)
        assert [(row["day"], row["requests"]) for row in rows] == sorted(expected.items())


@pytest.mark.parametrize("records", [False, True])
def test_the_hour_that_comes_twice_is_two_hours(database: Database, url: str, records: bool) -> None:
    by_hour(database, CHANGES["autumn"])
    rows = reported(url, WantedSums(("hour", "day"), time_zone=BERLIN), records=records)
    named = [row["hour"] for row in rows]
    at = named.index("2026-10-25T02:00+02:00")
    assert named[at + 1 : at + 3] == ["2026-10-25T02:00+01:00", "2026-10-25T03:00+01:00"]
    assert {row["requests"] for row in rows} == {1}
    assert (rows[0]["hour"][:10], len(rows)) == (rows[0]["day"], 80)


def test_what_is_not_by_the_day_is_the_same_in_any_zone(database: Database, url: str) -> None:
    by_hour(database, CHANGES["spring"])
    since_ms = int(CHANGES["spring"].timestamp() * 1000) - 30 * HOUR_MS
    wanted = WantedSums(("model",), since_ms, since_ms + 60 * HOUR_MS)
    there = WantedSums(wanted.by, wanted.since_ms, wanted.until_ms, time_zone=BERLIN)
    assert reported(url, wanted) == reported(url, there)
    assert reported(url, wanted)[0]["requests"] == 60


def test_a_zone_of_half_hours_is_reported_of_single_records_alone(database: Database, url: str) -> None:
    times = by_hour(database, CHANGES["spring"])
    wanted = WantedSums(("day",), time_zone="Asia/Kolkata")
    with pytest.raises(NotInSums, match="Asia/Kolkata is not a whole number of hours from UTC"):
        reported(url, wanted)
    assert_names_the_parameter(url, wanted)
    expected = Counter(at.astimezone(ZoneInfo("Asia/Kolkata")).date().isoformat() for at in times)
    assert [(row["day"], row["requests"]) for row in reported(url, wanted, records=True)] == sorted(expected.items())
    rows = reported(url, WantedSums(("hour",), time_zone="Asia/Kolkata"), records=True)
    assert {(row["hour"][13:], row["requests"]) for row in rows} == {(":00+05:30", 1)}


def test_keys_are_by_the_day_of_another_zone_of_single_records_alone(database: Database, url: str) -> None:
    by_hour(database, CHANGES["spring"])
    wanted = WantedSums(("key", "day"), time_zone=BERLIN)
    with pytest.raises(NotInSums, match="keys are summed up by UTC's day, not Europe/Berlin's"):
        reported(url, wanted)
    assert_names_the_parameter(url, wanted)
    assert reported(url, WantedSums(("key", "day"), time_zone="Etc/UTC")) == reported(url, WantedSums(("key", "day")))
    assert sum(row["requests"] for row in reported(url, wanted, records=True)) == 80


def assert_names_the_parameter(url: str, wanted: WantedSums) -> None:
    """Over HTTP there is no `--time-zone` and no `--records` of single requests."""
    with pytest.raises(NotWanted, match=r": leave `time_zone` out, or .* the command `penstock cost report") as told:
        answer(url, wanted)
    assert not isinstance(told.value, NotInSums)


def test_an_empty_store_has_no_days_anywhere(database: Database, url: str) -> None:
    wanted = WantedSums(("day",), time_zone=BERLIN)
    assert reported(url, wanted) == reported(url, wanted, records=True) == []


@pytest.mark.parametrize(
    "name", ["Europe/Nowhere", "../etc/passwd", "", "Europe", "x" * 300, "UTC\0", "localtime", "posixrules"]
)
def test_a_zone_that_there_is_not_is_told_so(name: str) -> None:
    with pytest.raises(NotWanted, match=r"there is no time zone .* here; write one like Europe/Berlin"):
        zone_of(name)


def test_times_are_the_zones_unless_they_say_otherwise() -> None:
    berlin = zone_of(BERLIN)
    assert time_ms("2026-07-01", NOON_S, berlin) == time_ms("2026-06-30T22:00", NOON_S)
    assert time_ms("2026-01-01T12:00", NOON_S, berlin) == time_ms("2026-01-01T11:00Z", NOON_S, berlin)
    asked = wanted_sums({"by": "day", "since": "2026-07-01", "until": "2026-07-02", "time_zone": BERLIN}, NOON_S)
    assert (asked.time_zone, asked.until_ms - asked.since_ms) == (BERLIN, 24 * HOUR_MS)
    assert asked.since_ms == time_ms("2026-06-30T22:00Z", NOON_S)


def test_pieces_are_joined_without_a_gap_and_change_when_the_clock_does() -> None:
    begin = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) // 3600
    found = pieces(zone_of(BERLIN), begin, begin + 365 * 24)
    assert [ahead for _, _, ahead in found] == [1, 2, 1]
    assert [end for _, end, _ in found[:-1]] == [first for first, _, _ in found[1:]]
    assert [first * 3600 for first, _, _ in found[1:]] == [int(at.timestamp()) for at in CHANGES.values()]
    assert (found[0][0], found[-1][1]) == (begin, begin + 365 * 24)
    assert pieces(zone_of(BERLIN), begin, begin) == []


def test_an_hour_that_begins_again_after_half_of_it_is_in_no_two() -> None:
    """Lord Howe's clocks go back by half an hour at 15:00 UTC."""
    back_ms = int(datetime(2026, 4, 4, 15, tzinfo=UTC).timestamp()) * 1000
    found = list(hours(zone_of("Australia/Lord_Howe"), back_ms - 3 * HOUR_MS, back_ms + 3 * HOUR_MS))
    assert [end for _, _, end in found[:-1]] == [start for _, start, _ in found[1:]]
    assert HOUR_MS // 2 in {end - start for _, start, end in found}


def test_days_and_hours_of_a_zone_follow_each_other() -> None:
    first_ms = int(CHANGES["autumn"].timestamp() * 1000) - 30 * HOUR_MS
    for zone in (zone_of(BERLIN), zone_of("Australia/Lord_Howe"), UTC):
        for each in (days, hours):
            found = list(each(zone, first_ms, first_ms + 60 * HOUR_MS))
            assert found[0][1] <= first_ms
            assert found[-1][2] > first_ms + 60 * HOUR_MS
            assert [end for _, _, end in found[:-1]] == [start for _, start, _ in found[1:]]
    lengths = {end - start for _, start, end in days(zone_of(BERLIN), first_ms, first_ms + 60 * HOUR_MS)}
    assert lengths == {24 * HOUR_MS, 25 * HOUR_MS}
    assert named_hour(UTC, 0.0) == "1970-01-01T00:00Z"
