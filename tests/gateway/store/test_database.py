"""What every database owes the writer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.store.database import Database
from gateway.store.reading import Wanted
from gateway.store.sqlite import Sqlite
from tests.gateway.store.records import NOON_S, Made, sqlite_url, stored, sums


@pytest.fixture
def url(tmp_path: Path) -> str:
    return sqlite_url(tmp_path)


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = Sqlite(url)
    yield opened
    opened.close()


def test_a_record_comes_back_as_it_was(database: Database, url: str) -> None:
    made = Made()
    record = made.one(ttft_ms=12.5, queue_ms=3.25, trace_id="0af7651916cd43dd8448eb211c80319c")
    assert database.insert([made.some(0)._replace(records=[record])]) == 1
    (found,) = stored(url)
    assert found["record_id"] == record.record_id
    assert found["time_ms"] == int(NOON_S * 1000)
    assert found["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    for name in ("request_id", "model", "status", "engine", "replica", "arm", "upstream_model", "attempts", "key_id"):
        assert found[name] == getattr(record, name)
    for name in (
        "duration_ms",
        "ttft_ms",
        "tpot_ms",
        "queue_ms",
        "input_tokens",
        "output_tokens",
        "cost_usd",
        "tenant",
    ):
        assert found[name] == getattr(record, name)


def test_what_comes_again_is_stored_and_summed_up_once(database: Database, url: str) -> None:
    made = Made()
    first, second = made.some(3), made.some(2)
    assert database.insert([first]) == 3
    assert database.insert([first, second, first]) == 2
    assert database.insert([first, second]) == 0
    assert len(stored(url)) == 5
    (row,) = sums(url, "model")
    assert (row["requests"], row["input_tokens"], row["output_tokens"]) == (5, 500, 100)
    assert row["cost_usd"] == pytest.approx(5 * 0.000125, abs=1e-12)
    assert database.end_run(made.run, 5, 0) == 0


def test_the_records_of_each_run_are_counted(database: Database) -> None:
    one, other = Made("000000000001"), Made("000000000002")
    database.insert([one.some(3), other.some(2), one.some(4)])
    assert (database.end_run(one.run, 9, 7), database.end_run(other.run, 2, 7), database.end_run("0" * 12, 5, 7)) == (
        *(2, 0),
        5,
    )


def test_what_nobody_prices_is_unknown_and_not_zero(database: Database, url: str) -> None:
    made = Made()
    database.insert(
        [made.some(2), made.some(1, cost_usd=None), made.some(1, cost_usd=None, attempts=0, error="no_replica")]
    )
    (row,) = sums(url, "tenant")
    assert (row["requests"], row["unpriced"], row["errors"]) == (4, 1, 1)
    assert row["cost_usd"] == pytest.approx(2 * 0.000125, abs=1e-12)


def test_sums_are_by_each_dimension(database: Database, url: str) -> None:
    made = Made()
    day_s = 86400
    database.insert([made.some(2), made.some(1, model="other", tenant="lab", key_id="k2", at_s=NOON_S + day_s)])
    assert [(row["tenant"], row["key"], row["day"], row["requests"]) for row in sums(url, "tenant", "key", "day")] == [
        ("shop", "app", "2026-05-28", 2),
        ("lab", "k2", "2026-05-29", 1),
    ]
    assert [(row["hour"], row["model"]) for row in sums(url, "hour", "model")] == [
        ("2026-05-28T20:00Z", "chat"),
        ("2026-05-29T20:00Z", "other"),
    ]
    assert [(row["day"], row["requests"]) for row in sums(url, "day")] == [("2026-05-28", 2), ("2026-05-29", 1)]


def test_old_records_go_and_their_sums_stay(database: Database, url: str) -> None:
    made = Made()
    database.insert([made.some(3), made.some(2, at_s=NOON_S + 1)])
    assert database.expire(int(NOON_S * 1000) + 1000) is False
    assert (len(stored(url)), sums(url, "model")[0]["requests"]) == (2, 5)


def test_no_count_and_no_text_is_too_odd(database: Database, url: str) -> None:
    made = Made()
    odd = made.one(input_tokens=2**70, model="m" * 1000, request_id="x\x00y", finish_reason="\x00", tenant="é")
    assert database.insert([made.some(0)._replace(records=[odd])]) == 1
    (found,) = stored(url)
    assert (found["input_tokens"], found["model"], found["request_id"], found["finish_reason"], found["tenant"]) == (
        *(2**53, "m" * 256, "x\x00y", ""),
        "é",
    )


@pytest.mark.parametrize("by_record", [True, False])
def test_one_request_is_found_by_either_id(database: Database, url: str, by_record: bool) -> None:
    made = Made()
    database.insert([made.some(5)])
    wanted = made.all[3]
    asked = Wanted(record_id=wanted.record_id) if by_record else Wanted(request_id=wanted.request_id)
    assert [found["record_id"] for found in stored(url, asked)] == [wanted.record_id]


def test_requests_are_found_by_what_they_were_newest_first(database: Database, url: str) -> None:
    made = Made()
    database.insert([made.some(2), made.some(2, status=502, error="engine_502", engine="b", at_s=NOON_S + 5)])
    failed = [record.record_id for record in made.all[2:]]
    for wanted in (
        Wanted(status=502),
        Wanted(error="engine_502"),
        Wanted(engine="b"),
        Wanted(since_ms=int(NOON_S * 1000) + 1),
    ):
        assert [found["record_id"] for found in stored(url, wanted)] == failed[::-1]
    assert stored(url, Wanted(model="never seen")) == []
    assert [found["record_id"] for found in stored(url, Wanted(limit=1))] == failed[1:]
