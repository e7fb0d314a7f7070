"""The writer confirms what it has for good, and counts what nobody has."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from gateway.store.__main__ import open_database
from gateway.store.database.port import Database, DatabaseAway, DatabaseRefused, Records
from gateway.store.messages import Batch
from gateway.store.sending.settled import Settled
from gateway.store.sending.spill import Spill, directory_of, spilled_bytes
from gateway.store.writing.writer import ENOUGH_RECORDS, MOST_WAITING, Item, Writer
from tests.gateway.store.records import Made, sqlite_url, stored, sums


@pytest.fixture(autouse=True)
def _unrendered() -> Iterator[None]:
    """A traceback with all its locals takes a second to be made readable, of a thread that is waited for."""
    with capture_logs():
        yield


class Flaky:
    """A database that is away when told, and fails on some records."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.away = False
        self.inserts = 0

    def insert(self, batches: Sequence[Records]) -> int:
        self._reach()
        self.inserts += 1
        if any(record.model == "poison" for batch in batches for record in batch.records):
            raise ValueError("cannot be stored")
        return self._database.insert(batches)

    def end_run(self, run: str, settled: int, now_ms: int) -> int:
        self._reach()
        return self._database.end_run(run, settled, now_ms)

    def expire(self, before_ms: int) -> bool:
        self._reach()
        return self._database.expire(before_ms)

    def close(self) -> None:
        self._database.close()

    def _reach(self) -> None:
        if self.away:
            raise DatabaseAway("gone fishing")


class NoRoom(Spill):
    """A disk that is full."""

    def append(self, parts: Any) -> None:
        raise OSError(28, "No space left on device")


class Counting:
    """A database that only notes how many batches came together."""

    def __init__(self) -> None:
        self.transactions: list[int] = []

    def insert(self, batches: Sequence[Records]) -> int:
        self.transactions.append(len(batches))
        return 0

    def end_run(self, run: str, settled: int, now_ms: int) -> int:
        return 0

    def expire(self, before_ms: int) -> bool:
        return False

    def close(self) -> None: ...


class Scene:
    def __init__(self, directory: Path, spill: Spill | None = None, *, away: bool = False) -> None:
        self.directory = directory
        self.url = sqlite_url(directory)
        self.away = away
        self.databases: list[Flaky] = []
        self.confirmed: list[int] = []
        self._came = threading.Condition()
        self.writer = Writer(self._open, directory, "w", retention_days=36500, retry_s=0.01, sweep_s=0.01, spill=spill)
        self.writer.start()

    def _open(self) -> Database:
        if self.away:
            raise DatabaseAway("gone fishing")
        self.databases.append(Flaky(open_database(self.url)))
        return self.databases[-1]

    def leave(self) -> None:
        self.away = True
        for database in self.databases:
            database.away = True

    def put(self, made: Made, records: Records) -> None:
        batch = made.batch(records)
        self.writer.put(Item(batch, lambda: self._stored(batch.number)))

    def _stored(self, number: int) -> None:
        with self._came:
            self.confirmed.append(number)
            self._came.notify_all()

    def wait_for(self, count: int) -> None:
        with self._came:
            assert self._came.wait_for(lambda: len(self.confirmed) >= count, 30), self.confirmed


def test_what_came_is_stored_and_confirmed_in_its_order(tmp_path: Path) -> None:
    scene, made = Scene(tmp_path), Made()
    for _ in range(10):
        scene.put(made, made.some(7))
    scene.writer.close()
    assert (scene.confirmed, len(stored(scene.url)), scene.writer.state().stored) == (list(range(1, 11)), 70, 70)


def test_batches_share_a_transaction_until_it_is_large_enough(tmp_path: Path) -> None:
    made, database = Made(), Counting()
    writer = Writer(lambda: database, tmp_path, "w", sweep_s=0.01)
    some = made.some(ENOUGH_RECORDS // 2 - 1)
    for _ in range(5):
        writer.put(Item(made.batch(some), lambda: None))
    writer.start()
    writer.close()
    assert database.transactions == [3, 2]


def test_whoever_else_writes_is_told_while_records_are_written(tmp_path: Path) -> None:
    class Looking(Counting):
        def insert(self, batches: Sequence[Records]) -> int:
            idle.append(writer.idle.is_set())
            return super().insert(batches)

    made, idle = Made(), list[bool]()
    writer = Writer(Looking, tmp_path, "w", sweep_s=0.01)
    writer.put(Item(made.batch(made.some(1)), lambda: None))
    writer.start()
    writer.close()
    assert (idle, writer.idle.is_set()) == ([False], True)


def test_while_the_database_is_away_records_are_confirmed_from_a_file_and_stored_on_its_return(tmp_path: Path) -> None:
    scene, made = Scene(tmp_path), Made()
    scene.put(made, made.some(2))
    scene.wait_for(1)
    scene.leave()
    scene.put(made, made.some(3))
    scene.put(made, made.some(4))
    scene.wait_for(3)
    assert (len(stored(scene.url)), spilled_bytes(tmp_path) > 0, scene.writer.state().away) == (2, True, "gone fishing")
    scene.away = False
    scene.put(made, made.some(1))
    scene.wait_for(4)
    scene.writer.close()
    assert (len(stored(scene.url)), spilled_bytes(tmp_path), sums(scene.url, "model")[0]["requests"]) == (10, 0, 10)


def test_a_writer_that_finds_the_database_away_at_its_start_takes_records_all_the_same(tmp_path: Path) -> None:
    scene, made = Scene(tmp_path, away=True), Made()
    scene.put(made, made.some(3))
    scene.wait_for(1)
    scene.writer.close()
    assert spilled_bytes(tmp_path) > 0
    next_one = Scene(tmp_path)
    next_one.writer.close()
    assert (len(stored(next_one.url)), spilled_bytes(tmp_path)) == (3, 0)


def test_with_no_room_anywhere_nothing_is_confirmed_and_nothing_lost(tmp_path: Path) -> None:
    scene, made = Scene(tmp_path, NoRoom(tmp_path, "w"), away=True), Made()
    scene.put(made, made.some(3))
    scene.put(made, made.some(2))
    assert scene.confirmed == []
    scene.away = False
    scene.wait_for(2)
    scene.writer.close()
    assert len(stored(scene.url)) == 5


def test_a_database_that_opens_and_takes_nothing_stays_away_until_it_takes_something(tmp_path: Path) -> None:
    made, opened = Made(), threading.Semaphore(0)
    scene = Scene(tmp_path, spill=NoRoom(tmp_path, "w"))
    scene.put(made, made.some(1))
    scene.wait_for(1)
    full = threading.Event()
    full.set()

    def open_full() -> Database:
        database = Flaky(open_database(scene.url))
        database.away = full.is_set()
        opened.release()
        return database

    scene.writer._open_database = open_full
    with capture_logs() as said:
        scene.databases[-1].away = True
        scene.put(made, made.some(1))
        for _ in range(5):
            assert opened.acquire(timeout=10)
            assert scene.writer.state().away
        full.clear()
        scene.wait_for(2)
        scene.writer.close()
    told = [one["event"] for one in said if one["event"] in ("store_away", "store_back")]
    assert told == ["store_away", "store_back"]
    assert scene.writer.state().away == ""
    assert len(stored(scene.url)) == 2


def test_a_database_that_opens_again_is_back_where_nothing_waits_for_it(tmp_path: Path) -> None:
    with capture_logs() as said:
        scene = Scene(tmp_path, away=True)
        assert scene.writer.opened.wait(30)  # it has been tried
        scene.away = False
        scene.writer.close()
    assert [one["event"] for one in said] == ["store_away", "store_back"]
    assert scene.writer.state().away == ""


def test_a_record_that_cannot_be_stored_costs_only_itself(tmp_path: Path) -> None:
    scene, made = Scene(tmp_path), Made()
    records = [made.one(), made.one(model="poison"), made.one()]
    scene.put(made, Records(made.run, records))
    scene.put(made, made.some(1))
    scene.wait_for(2)
    scene.writer.close()
    assert {found["record_id"] for found in stored(scene.url)} == {
        record.record_id for record in made.all if record.model != "poison"
    }


def test_a_batch_that_cannot_be_read_costs_only_itself(tmp_path: Path) -> None:
    made, spill = Made(), Spill(tmp_path, "gone")
    spill.append([b"\xc1", msgspec.msgpack.encode(made.batch(made.some(2)))])
    spill.close()
    scene = Scene(tmp_path)
    scene.writer.put(Item(Batch(made.run, 99, [b"\xc1"], 1), lambda: scene._stored(99)))
    scene.put(made, made.some(3))
    scene.wait_for(2)
    scene.writer.close()
    assert (len(stored(scene.url)), spilled_bytes(tmp_path)) == (5, 0)


@pytest.mark.parametrize("bad", ["frame", "slice", "record"])
def test_a_file_of_which_not_all_can_be_stored_is_set_aside_whole(tmp_path: Path, bad: str) -> None:
    made, spill = Made(), Spill(tmp_path, "gone")
    bads = {
        "frame": b"\xc1",
        "slice": msgspec.msgpack.encode(Batch(made.run, 99, [b"\xc1"], 1)),
        "record": msgspec.msgpack.encode(made.batch(Records(made.run, [made.one(model="poison")]))),
    }
    spill.append([bads[bad], msgspec.msgpack.encode(made.batch(made.some(2)))])
    spill.close()
    (file,) = directory_of(tmp_path).iterdir()
    data = file.read_bytes()
    scene = Scene(tmp_path)
    scene.put(made, made.some(3))
    scene.writer.close()
    assert (len(stored(scene.url)), spilled_bytes(tmp_path)) == (5, 0)
    (kept,) = directory_of(tmp_path).iterdir()
    assert (kept.name, kept.read_bytes()) == (f"{file.stem}.unreadable", data)


def test_what_is_whole_in_a_damaged_file_is_stored_and_the_file_set_aside(tmp_path: Path) -> None:
    made, spill = Made(), Spill(tmp_path, "gone")
    frames = [msgspec.msgpack.encode(made.batch(made.some(2))) for _ in range(3)]
    spill.append(frames)
    spill.close()
    (file,) = directory_of(tmp_path).iterdir()
    with file.open("r+b") as damaged:
        damaged.seek(8 + len(frames[0]) + 8 + 20)
        damaged.write(b"\xff" * 9)
    scene = Scene(tmp_path)
    scene.writer.close()
    assert (len(stored(scene.url)), spilled_bytes(tmp_path)) == (4, 0)
    assert [path.suffix for path in directory_of(tmp_path).iterdir()] == [".unreadable"]


def test_while_the_database_hangs_only_so_much_is_taken(tmp_path: Path) -> None:
    goes_on = threading.Event()

    def hang() -> Database:
        goes_on.wait(30)
        raise DatabaseAway("too late")

    writer = Writer(hang, tmp_path, "w", retry_s=0.01, sweep_s=0.01)
    confirmed: list[int] = []
    made = Made()
    batch = made.batch(made.some(1))
    for number in range(MOST_WAITING + 10):
        writer.put(Item(batch, lambda number=number: confirmed.append(number)))  # type: ignore[misc]
    writer.start()
    goes_on.set()
    writer.close()
    assert confirmed == list(range(MOST_WAITING))


@pytest.mark.parametrize("missing", [0, 5])
def test_what_a_killed_worker_settled_and_nobody_has_is_counted(tmp_path: Path, missing: int) -> None:
    made = Made()
    settled = Settled(tmp_path, made.run)
    scene = Scene(tmp_path)
    scene.put(made, made.some(20))
    settled.count[0] = 20 + missing
    settled.close()
    scene.writer.close()
    assert (scene.writer.state().lost, list((tmp_path / "runs").iterdir())) == (missing, [])


def test_what_is_still_in_a_socket_of_a_killed_worker_at_the_first_look_is_not_lost(tmp_path: Path) -> None:
    made = Made()
    settled = Settled(tmp_path, made.run)
    writer = Writer(lambda: open_database(sqlite_url(tmp_path)), tmp_path, "w")  # driven by hand, not by its thread
    writer._open()
    settled.count[0] = 20 + 5
    settled.close()
    writer._sweep(last=False)
    assert (writer.state().lost, len(list((tmp_path / "runs").iterdir()))) == (0, 1)
    writer._write([Item(made.batch(made.some(20)), lambda: None)])
    writer._sweep(last=False)
    assert (writer.state().lost, list((tmp_path / "runs").iterdir())) == (5, [])
    writer._end()


def test_what_a_killed_worker_has_in_a_file_is_not_lost(tmp_path: Path) -> None:
    made = Made()
    settled, spill = Settled(tmp_path, made.run), Spill(tmp_path, made.run)
    spill.append([msgspec.msgpack.encode(made.batch(made.some(4)))])
    settled.count[0] = 4
    settled.close()
    spill.close()
    scene = Scene(tmp_path)
    scene.writer.close()
    assert (scene.writer.state().lost, len(stored(scene.url))) == (0, 4)


def test_a_store_that_may_not_be_used_is_told_and_records_wait_in_files(tmp_path: Path) -> None:
    def refuse() -> Database:
        raise DatabaseRefused("too old")

    writer = Writer(refuse, tmp_path, "w", retry_s=0.01, sweep_s=0.01)
    confirmed = threading.Event()
    made = Made()
    writer.start()
    writer.put(Item(made.batch(made.some(2)), confirmed.set))
    assert confirmed.wait(30)
    writer.close()
    assert (writer.state().refused, spilled_bytes(tmp_path) > 0) == ("too old", True)
