"""Releases in the store: of two changes one wins, a rollback always does, and one gateway decides."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from sqlalchemy import text

from gateway.store.database.opening import engine_of, upgrade
from gateway.store.database.port import DatabaseAway
from gateway.store.releases.listening import Listening
from gateway.store.releases.messages import (
    FORM,
    ReleaseChange,
    ReleasesSynced,
    StoredDecision,
    StoredEvidence,
    StoredRelease,
    SyncReleases,
)
from gateway.store.releases.table import ReleaseTable
from gateway.store.reports.asked import answer, wanted_decisions
from gateway.store.reports.requests import NotWanted
from tests.gateway.store.records import sqlite_url

BY = StoredDecision(1_780_000_000_000, "start", 0.0, 0.05, "started", "alice", b'{"errors": 0.5}')


@pytest.fixture
def url(url: str) -> str:
    engine = engine_of(url)
    upgrade(engine)
    engine.dispose()
    return url


@pytest.fixture
def table(url: str) -> Iterator[ReleaseTable]:
    opened = ReleaseTable(url)
    yield opened
    opened.close()


def release(version: int, ramp: bytes = b"r") -> StoredRelease:
    return StoredRelease("e1", "canary", "chat", "chat", version, ramp)


def sync(*changes: ReleaseChange, evidence: list[StoredEvidence] | None = None) -> SyncReleases:
    return SyncReleases(["e1"], list(changes), evidence or [], [], want_evidence=True)


def test_what_is_stored_comes_back(table: ReleaseTable) -> None:
    assert table.sync(sync()).releases == []
    told = table.sync(sync(ReleaseChange(release(1), BY)))
    assert (told.releases, told.refused) == ([release(1)], [])
    kept = StoredEvidence("e1", "canary", 1, b"\x00evidence")
    assert table.sync(sync(evidence=[kept])).evidence == [kept]
    again = StoredEvidence("e1", "canary", 2, b"more")
    assert table.sync(sync(evidence=[again])).evidence == [again]
    assert table.sync(SyncReleases(["other"], [], [], [], want_evidence=True)).releases == []


def test_of_two_who_change_it_at_once_one_is_told_to_look_again(table: ReleaseTable) -> None:
    table.sync(sync(ReleaseChange(release(1), BY)))
    told = table.sync(sync(ReleaseChange(release(2, b"first"), BY), ReleaseChange(release(2, b"second"), BY)))
    assert told.refused == [("e1", "canary")]
    assert told.releases == [release(2, b"first")]


def test_going_on_needs_no_new_version_and_comes_after_nobody(table: ReleaseTable) -> None:
    table.sync(sync(ReleaseChange(release(1), BY)))
    assert table.sync(sync(ReleaseChange(release(1, b"later"), None))).releases == [release(1, b"later")]
    table.sync(sync(ReleaseChange(release(2), BY)))
    assert table.sync(sync(ReleaseChange(release(1, b"late"), None))).refused == [("e1", "canary")]


def test_a_rollback_takes_effect_whatever_happened_meanwhile(table: ReleaseTable) -> None:
    for version in (1, 2, 3):
        table.sync(sync(ReleaseChange(release(version), BY)))
    rollback = msgspec.structs.replace(BY, action="rollback")
    told = table.sync(sync(ReleaseChange(release(2, b"gone"), rollback, stops=True)))
    assert (told.releases, told.refused) == ([release(4, b"gone")], [])


def seen_in(told: ReleasesSynced) -> list[bytes]:
    return [data for _, data in told.observed]


def test_what_an_earlier_version_told_is_read_and_of_a_later_one_is_counted_and_kept(
    table: ReleaseTable, url: str
) -> None:
    engine = engine_of(url)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO release_observations (observations) VALUES (:told)"), {"told": b"early"})
        insert = text("INSERT INTO release_observations (observations, form) VALUES (:told, :form)")
        connection.execute(insert, {"told": b"later", "form": FORM + 1})
    told = table.sync(SyncReleases(["e1"], [], [], [b"ours"]))
    assert (seen_in(told), told.later) == ([b"early", b"ours"], 1)
    weighed = [number for number, _ in told.observed]
    assert table.sync(SyncReleases(["e1"], [], [], [], weighed=weighed, covered=True)).later == 1
    with engine.begin() as connection:
        assert connection.execute(text("SELECT observations FROM release_observations")).scalars().all() == [b"later"]
    engine.dispose()


def test_what_was_seen_stays_until_evidence_covers_it_and_is_told_once(table: ReleaseTable, url: str) -> None:
    told = table.sync(SyncReleases(["e1"], [], [], [b"one", b"two"]))
    assert told.decides
    assert seen_in(told) == [b"one", b"two"]
    weighed = [number for number, _ in told.observed]
    assert seen_in(table.sync(SyncReleases(["e1"], [], [], [b"three"], weighed=weighed))) == [b"three"]
    # What the one that decides told itself is covered too, even where it did not hear of its number.
    assert seen_in(table.sync(SyncReleases(["e1"], [], [], [], weighed=weighed, covered=True))) == []
    assert seen_in(table.sync(SyncReleases(["e1"], [], [], [b"four"]))) == [b"four"]
    table.close()
    successor = ReleaseTable(url)
    assert seen_in(successor.sync(sync())) == [b"four"]  # as one that decides next hears it
    successor.close()


@pytest.mark.store
def test_gateways_that_race_decide_one_at_a_time_and_each_version_is_made_once(
    new_database: Callable[[], str],
) -> None:
    url = new_database()
    engine = engine_of(url)
    upgrade(engine)
    engine.dispose()
    start, mutex = threading.Barrier(3), threading.Lock()
    deciding: set[int] = set()
    most_at_once, made, heard, told = 0, 0, set[bytes](), set[bytes]()

    def gateway(name: int) -> None:
        nonlocal most_at_once, made
        table, known, weighed = ReleaseTable(url), 0, list[int]()
        start.wait()
        for turn in range(60):
            one = f"{name} {turn}".encode()
            changes = [ReleaseChange(release(known + 1), msgspec.structs.replace(BY, by=str(name)))]
            answer = table.sync(SyncReleases(["e1"], changes, [], [one], number=turn + 1, weighed=weighed))
            known = answer.releases[0].version
            with mutex:
                told.add(one)
                made += not answer.refused
                if answer.decides:
                    deciding.add(name)
                    most_at_once = max(most_at_once, len(deciding))
                    numbers = [number for number, _ in answer.observed]
                    assert not {*numbers} & {*weighed}
                    heard.update(seen_in(answer))
                    weighed += numbers
                    if turn % 7 == name:
                        deciding.discard(name)  # before it lets go: another may decide at that moment
                        weighed = []
            if turn % 7 == name:
                table._drop()  # as a connection that is lost
        with mutex:
            deciding.discard(name)
        table.close()

    with ThreadPoolExecutor(3) as threads:
        for done in [threads.submit(gateway, name) for name in range(3)]:
            done.result()
    last = ReleaseTable(url)
    answer = last.sync(sync())
    last.close()
    assert (1, made) == (most_at_once, answer.releases[0].version)
    assert told == heard | set(seen_in(answer))


@pytest.mark.store
def test_one_of_two_gateways_decides_and_the_other_when_it_is_gone(new_database: object) -> None:
    assert callable(new_database)
    url = new_database()
    engine = engine_of(url)
    upgrade(engine)
    engine.dispose()
    first, second = ReleaseTable(url), ReleaseTable(url)
    assert [first.sync(sync()).decides for _ in range(2)] == [True, True]
    told = second.sync(SyncReleases(["e1"], [ReleaseChange(release(1), BY)], [], [b"seen"]))
    assert not told.decides
    assert told.observed == []
    told = first.sync(sync())
    assert (told.releases, seen_in(told)) == ([release(1)], [b"seen"])
    first.close()
    # The server lets go of the lock when it hears that the connection is gone.
    assert any(second.sync(sync()).decides for _ in range(1_000))
    second._drop()  # as a connection that is lost
    third = ReleaseTable(url)
    assert any(third.sync(sync()).decides for _ in range(1_000))
    third.close()
    second.close()


def test_a_store_that_cannot_be_used_is_away(tmp_path: Path) -> None:
    (tmp_path / "records.db").write_bytes(b"not a database, and long enough to be looked at" * 100)
    table = ReleaseTable(sqlite_url(tmp_path))
    with pytest.raises(DatabaseAway):
        table.sync(sync())
    table.close()


def test_what_was_decided_is_told_newest_first(table: ReleaseTable, url: str) -> None:
    table.sync(sync(ReleaseChange(release(1), BY)))
    table.sync(sync(ReleaseChange(release(2), msgspec.structs.replace(BY, action="abort", sentence="no", by="bob"))))
    told = json.loads(answer(url, wanted_decisions({"model": "chat"}, 0.0)))["data"]
    assert [(one["action"], one["by"]) for one in told] == [("abort", "bob"), ("start", "alice")]
    assert told[1] == {
        "time": "2026-05-28T20:26:40.000Z",
        "name": "chat",
        "model": "chat",
        "experiment": "e1",
        "arm": "canary",
        "action": "start",
        "share_before": 0.0,
        "share_after": 0.05,
        "sentence": "started",
        "by": "alice",
        "numbers": {"errors": 0.5},
    }
    assert len(json.loads(answer(url, wanted_decisions({"limit": "1"}, 0.0)))["data"]) == 1
    assert json.loads(answer(url, wanted_decisions({"model": "other"}, 0.0)))["data"] == []
    for wrong in ({"limit": "0"}, {"since": "1h"}):
        with pytest.raises(NotWanted):
            wanted_decisions(wrong, 0.0)


def test_a_store_of_an_older_version_has_decided_nothing(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path)
    engine = engine_of(url)
    upgrade(engine, version=4)
    engine.dispose()
    assert json.loads(answer(url, wanted_decisions({}, 0.0)))["data"] == []


def test_what_was_observed_and_what_stops_is_taken_once_however_often_it_is_told(table: ReleaseTable) -> None:
    stop = ReleaseChange(release(1), msgspec.structs.replace(BY, action="rollback"), stops=True)
    once = table.sync(SyncReleases(["e1"], [stop], [], [b"seen"], number=1))
    again = table.sync(SyncReleases(["e1"], [stop], [], [b"seen"], number=1))
    more = table.sync(SyncReleases(["e1"], [], [], [b"more"], number=2))
    weighed = [number for number, _ in once.observed]
    assert [seen_in(once), seen_in(again), seen_in(more)] == [[b"seen"], [b"seen"], [b"seen", b"more"]]
    assert weighed == [number for number, _ in again.observed]
    assert (again.releases, again.refused) == ([release(1)], [])


@pytest.mark.store
def test_a_change_is_heard_of_by_whoever_listens_also_after_its_connection_was_lost(
    new_database: Callable[[], str],
) -> None:
    url = new_database()
    engine = engine_of(url)
    upgrade(engine)
    table, heard = ReleaseTable(url), threading.Semaphore(0)
    listening = Listening(url, heard.release, again_s=0.01)
    assert heard.acquire(timeout=30)  # it listens
    table.sync(sync())  # nothing was decided
    table.sync(sync(ReleaseChange(release(1), BY)))
    assert heard.acquire(timeout=30)
    with engine.begin() as connection:
        killed = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'LISTEN%%'"
        assert 1 == connection.exec_driver_sql(killed).scalar_one()
    assert heard.acquire(timeout=30)  # it listens again
    table.sync(sync(ReleaseChange(release(2), BY)))
    assert heard.acquire(timeout=30)
    assert not heard.acquire(blocking=False)
    listening.end()
    listening.join()
    table.close()
    engine.dispose()
