"""What every database owes the writer."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from sqlalchemy import event

from gateway.accounts.record import AttemptRecord
from gateway.store.__main__ import open_database
from gateway.store.database.opening import engine_of
from gateway.store.database.port import Database, Records
from gateway.store.database.rows import MOST, MOST_NANOUSD
from gateway.store.reports.requests import FAR_MS, NotWanted, Wanted
from gateway.store.reports.sums import MOST_PIECES, WantedSums, report, report_of_records
from tests.gateway.store.records import NOON_S, Made, stored, sums

DAY_S = 86_400


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


def test_a_batch_that_comes_twice_at_once_counts_once_for_its_run(database: Database) -> None:
    made, other = Made(), Made("ba9876543210")
    some, others = made.some(3), other.some(2)
    assert database.insert([some, others, some]) == 5
    assert database.insert([others, made.some(1), some]) == 1
    assert database.end_run(made.run, 4, 1) == 0
    assert database.end_run(other.run, 2, 1) == 0


def test_the_records_of_each_run_are_counted(database: Database) -> None:
    one, other = Made("000000000001"), Made("000000000002")
    database.insert([one.some(3), other.some(2), one.some(4)])
    assert (database.end_run(one.run, 9, 7), database.end_run(other.run, 2, 7), database.end_run("0" * 12, 5, 7)) == (
        *(2, 0),
        5,
    )


def test_what_nobody_prices_is_unknown_and_not_zero(database: Database, url: str) -> None:
    made = Made()
    unknown = {"cost_usd": None, "unpriced": True}
    failed = {"cost_usd": None, "attempts": 2, "error": "connect_failed", "status": 502}
    database.insert(
        [made.some(1, tenant="a", **unknown), made.some(1, tenant="a"), made.some(1, tenant="b", **unknown)]
    )
    database.insert([made.some(1, tenant="b", **failed), made.some(1, tenant="c", cost_usd=0.5, unpriced=True)])
    database.insert([made.some(1, tenant="d", **failed)])
    found = {row["tenant"]: (row["unpriced"], row["cost_usd"]) for row in sums(url, "tenant")}
    assert found == {"a": (1, 0.000125), "b": (1, None), "c": (1, 0.5), "d": (0, 0.0)}
    assert [one["unpriced"] for one in stored(url, Wanted(tenant="c"))] == [True]


def attempt(engine: str, upstream_model: str, cost_usd: float | None) -> AttemptRecord:
    return AttemptRecord(engine, "r", upstream_model, 0.0, 9.0, "abandoned", 200, cost_usd=cost_usd)


def test_what_another_engine_charged_for_an_attempt_is_in_its_sums(database: Database, url: str) -> None:
    made = Made()
    tries = [attempt("a", "small", 0.5), attempt("a", "small", 0.5), attempt("b", "large", None)]
    tries += [attempt("c", "deep", 0.25), attempt("llama", "llama-8b", 0.125)]
    batch = made.some(2, cost_usd=1.375, tries=tries)
    database.insert([batch, batch])
    database.insert([made.some(1, cost_usd=0.125), batch])
    found = {(row["engine"], row["upstream_model"]): row for row in sums(url, "engine", "upstream_model")}
    assert {key: row["cost_usd"] for key, row in found.items()} == {
        ("a", "small"): 2.0,
        ("c", "deep"): 0.5,
        ("llama", "llama-8b"): 0.375,
    }
    assert [found["a", "small"][name] for name in ("requests", "input_tokens", "duration_ms")] == [0, 0, None]
    assert found["llama", "llama-8b"]["requests"] == 3
    (whole,) = sums(url, "model")
    assert (whole["cost_usd"], whole["requests"]) == (2.875, 3)
    by_key = {row["engine"]: row["cost_usd"] for row in sums(url, "key", "engine")}
    assert by_key == {"a": 2.0, "c": 0.5, "llama": 0.375}


def test_sums_of_the_largest_counts_are_exact(database: Database, url: str) -> None:
    made = Made()
    absurd = {"input_tokens": 2**60, "output_tokens": 2**60, "cost_usd": 1e12, "cached_tokens": 2**60}
    for _ in range(3):
        database.insert([made.some(1_000, **absurd)])
    (row,) = sums(url, "model")
    assert (row["input_tokens"], row["output_tokens"], row["cached_tokens"]) == (3_000 * MOST,) * 3
    assert row["cost_usd"] == 3_000 * MOST_NANOUSD / 1e9


def from_records(url: str, wanted: WantedSums) -> list[dict[str, Any]]:
    engine = engine_of(url, reading=True)
    try:
        with engine.connect() as connection:
            return report_of_records(connection, wanted)
    finally:
        engine.dispose()


@pytest.mark.parametrize("by", ["model", "tenant,key", "day,engine", "hour,model", "day,hour,arm"])
def test_sums_of_records_are_those_that_are_kept(database: Database, url: str, by: str) -> None:
    made = Made()
    for number in range(60):
        changes: dict[str, Any] = {"cost_usd": None, "unpriced": True} if number % 7 == 0 else {}
        nothing = {"error": "engine_502", "input_tokens": None, "output_tokens": None}
        changes |= nothing if number % 11 == 0 else {"ttft_ms": 3.5}
        at_s = NOON_S + number * 1700
        made.one(at_s=at_s, model=f"m{number % 2}", tenant=f"t{number % 3}", key_id=f"k{number % 5}", **changes)
    made.one(arm="~shadow", usage_source="estimated")
    made.one(usage_source="estimated", cached_tokens=3)
    database.insert([Records(made.run, made.all)])
    names = tuple(by.split(","))
    kept = sums(url, *names)
    assert from_records(url, WantedSums(names)) == kept
    assert len(kept) > 1
    (copies,) = from_records(url, WantedSums((), copies=True))
    assert (copies["requests"], copies["estimated"]) == (1, 1)


def test_only_what_an_engine_answered_is_unpriced_in_sums_of_records(database: Database, url: str) -> None:
    made, unknown = Made(), {"cost_usd": None}
    database.insert([made.some(1, tenant="answered", **unknown), made.some(1, tenant="priced")])
    database.insert([made.some(1, tenant="left", status=499, ttft_ms=3.0, **unknown)])
    database.insert([made.some(1, tenant="refused", status=429, error="engine_429", **unknown)])
    database.insert([made.some(1, tenant="free", operation="/tokenize", **unknown)])
    database.insert([made.some(1, tenant="unsent", attempts=0, **unknown)])
    rows = from_records(url, WantedSums(("tenant",)))
    assert {row["tenant"] for row in rows if row["unpriced"]} == {"answered", "left"}
    assert {one["tenant"] for one in stored(url) if one["unpriced"]} == {"answered", "left"}


def test_sums_of_records_are_to_the_millisecond(database: Database, url: str) -> None:
    made = Made()
    database.insert([made.some(1, at_s=NOON_S + number / 1000) for number in range(5)])
    span = WantedSums(("day",), int(NOON_S * 1000) + 1, int(NOON_S * 1000) + 4)
    assert [row["requests"] for row in from_records(url, span)] == [3]
    assert from_records(url, WantedSums(("hour",), int(NOON_S * 1000) + 9)) == []


def test_records_a_century_apart_are_summed_up_in_no_more_than_so_many_pieces(database: Database, url: str) -> None:
    made = Made()
    database.insert([made.some(2, at_s=DAY_S), made.some(1), made.some(3, at_s=36_000 * DAY_S)])
    engine = engine_of(url, reading=True)
    asked: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda _, __, statement, *___: asked.append(statement))
    try:
        with engine.connect() as connection:
            (row,) = report_of_records(connection, WantedSums(("model",)))
    finally:
        engine.dispose()
    assert (row["requests"], row["input_tokens"]) == (6, 6 * 100)
    pieces = [statement for statement in asked if "GROUP BY" in statement]
    assert 1 <= len(pieces) <= (MOST_PIECES if "sqlite" in url else 1)


def test_sums_of_records_over_too_many_hours_are_refused(database: Database, url: str) -> None:
    made = Made()
    database.insert([made.some(1), made.some(1, at_s=NOON_S + 401 * 3600)])
    with pytest.raises(NotWanted, match="400 days or hours at most"):
        from_records(url, WantedSums(("hour",)))
    assert len(from_records(url, WantedSums(("day",)))) == 2


def test_what_was_used_beside_tokens_comes_back(database: Database, url: str) -> None:
    made = Made()
    units = {"audio_seconds": 7.5, "web_searches": 2}
    database.insert([made.some(1, units=units), made.some(1)])
    assert [one["units"] for one in stored(url)] == [None, units]


def test_sums_are_by_each_dimension(database: Database, url: str) -> None:
    made = Made()
    database.insert([made.some(2), made.some(1, model="other", tenant="lab", key_id="k2", at_s=NOON_S + DAY_S)])
    assert [(row["tenant"], row["key"], row["day"], row["requests"]) for row in sums(url, "tenant", "key", "day")] == [
        ("shop", "app", "2026-05-28", 2),
        ("lab", "k2", "2026-05-29", 1),
    ]
    assert [(row["hour"], row["model"]) for row in sums(url, "hour", "model")] == [
        ("2026-05-28T20:00Z", "chat"),
        ("2026-05-29T20:00Z", "other"),
    ]
    assert [(row["day"], row["requests"]) for row in sums(url, "day")] == [("2026-05-28", 2), ("2026-05-29", 1)]


def test_sums_by_the_day_and_by_the_hour_are_joined_without_a_gap(database: Database, url: str) -> None:
    """One request in each of 96 hours, and every span of some of them."""
    made, begin_h, hours = Made(), int(NOON_S) // DAY_S * 24, 96
    database.insert([Records(made.run, [made.one((begin_h + hour) * 3600.0 + 7) for hour in range(hours)])])
    engine = engine_of(url, reading=True)
    with engine.connect() as connection:
        for since in range(50):
            for length in (1, 5, 23, 24, 25, 47, 48, 72, None):
                end = hours if length is None else since + length
                until_ms = FAR_MS if length is None else (begin_h + end) * 3_600_000
                found = report(connection, WantedSums(("model",), (begin_h + since) * 3_600_000, until_ms))
                assert sum(row["requests"] for row in found) == min(hours, end) - since
                assert found[0]["input_tokens"] == 100 * found[0]["requests"]
    engine.dispose()


def test_old_records_go_and_their_sums_stay(database: Database, url: str) -> None:
    made = Made()
    database.insert([made.some(3), made.some(2, at_s=NOON_S + 2 * DAY_S)])
    assert database.expire(int((NOON_S + DAY_S) * 1000)) is False
    assert (len(stored(url)), sums(url, "model")[0]["requests"]) == (2, 5)


def test_records_may_go_on_coming_after_the_old_ones_went(database: Database, url: str) -> None:
    made = Made()
    database.insert([made.some(1)])
    database.expire(int((NOON_S + 2 * DAY_S) * 1000))
    database.insert([made.some(1, at_s=NOON_S + 2 * DAY_S), made.some(1)])  # and one that comes very late
    assert len(stored(url)) == 2


def test_two_writers_share_a_database(database: Database, url: str) -> None:
    other = open_database(url)
    mine, theirs = Made("000000000001"), Made("000000000002")
    first, second = mine.some(3), theirs.some(4, tenant="new to both", at_s=NOON_S + DAY_S)
    try:
        assert (database.insert([first]), other.insert([second])) == (3, 4)
        assert (database.insert([second]), other.insert([first])) == (0, 0)
    finally:
        other.close()
    assert {row["tenant"]: row["requests"] for row in sums(url, "tenant")} == {"shop": 3, "new to both": 4}


def test_attempts_and_what_the_engine_said_come_back(database: Database, url: str) -> None:
    made = Made()
    tries = [
        AttemptRecord("a", "r1", "m1", 0.1, 5.0, "connect_failed"),
        AttemptRecord("b", "r2", "m2", 5.2, 90.0, "answered", 200, cost_usd=0.5),
    ]
    said: dict[str, Any] = {
        "response_id": "chatcmpl-0af7651916cd43dd8448eb211c80319c",
        "response_model": "gpt-5-mini-2026-01-01",
        "system_fingerprint": "fp_1",
        "service_tier": "flex",
        "price_source": "genai-prices 0.2.3",
        "bundle": "v3",
        "input_audio_tokens": 7,
        "cache_write_1h_tokens": 2,
    }
    record = made.one(tries=tries, **said)
    database.insert([Records(made.run, [record])])
    (found,) = stored(url)
    assert {name: found[name] for name in said} == said
    assert found["tries"] == msgspec.to_builtins(tries)


def test_no_count_and_no_text_is_too_odd(database: Database, url: str) -> None:
    made = Made()
    odd = made.one(input_tokens=2**70, model="m" * 1000, request_id="x\x00y", finish_reason="\x00", tenant="é")
    assert database.insert([made.some(0)._replace(records=[odd])]) == 1
    (found,) = stored(url)
    assert (found["input_tokens"], found["model"], found["request_id"], found["finish_reason"], found["tenant"]) == (
        *(MOST, "m" * 256, "x\x00y", ""),
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


def test_copies_are_in_no_sum_but_their_own(database: Database, url: str) -> None:
    made = Made()
    first = made.one()
    copy = made.one(arm="~shadow", shadow_of=first.record_id, key_id="", tenant="", cost_usd=0.5, error="engine_500")
    database.insert([made.some(0)._replace(records=[first, copy])])
    found = {one["record_id"]: one["shadow_of"] for one in stored(url)}
    assert found == {first.record_id: "", copy.record_id: first.record_id}
    for which, wanted in ((True, copy), (False, first)):
        assert [one["record_id"] for one in stored(url, Wanted(copies=which))] == [wanted.record_id]
    engine = engine_of(url, reading=True)
    try:
        with engine.connect() as connection:
            for by in (("model",), ("tenant",), ("key",), ("day", "arm")):
                (clients,) = report(connection, WantedSums(by))
                (copies,) = report(connection, WantedSums(by, copies=True))
                assert (clients["requests"], clients["errors"], clients["cost_usd"]) == (1, 0, 0.000125)
                assert (copies["requests"], copies["errors"], copies["cost_usd"]) == (1, 1, 0.5)
    finally:
        engine.dispose()
