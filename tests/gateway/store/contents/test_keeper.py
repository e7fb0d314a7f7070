"""Contents are kept as their hooks leave them, once, whatever becomes of the database; and never before their hook."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from gateway.store.contents.content import Content, ContentRecord, record_of
from gateway.store.contents.keeper import MOST_WAITING, ContentKeeper, Item, Table
from gateway.store.contents.table import ContentTable
from gateway.store.database.port import DatabaseAway
from gateway.store.messages import Contents
from gateway.store.sending.spill import Spill, spilled_bytes
from gateway.store.writing.courtesy import Courtesy
from tests.gateway.store.contents.contents import HOOKS, batch, content, kept, recorded
from tests.gateway.store.records import Made, sqlite_url


class Scene:
    """A keeper, whose table may be away."""

    def __init__(self, url: str, directory: Path, **changes: Any) -> None:
        self.url = url
        self.directory = directory
        self.away = False
        self.confirmed: list[int] = []
        self._more = threading.Condition()
        self.keeper = ContentKeeper(
            self._open, directory, "keeper", **{"retry_s": 0.0, "sweep_s": 0.001, "retention_days": 3650, **changes}
        )

    def _open(self) -> ContentTable:
        if self.away:
            raise DatabaseAway("gone fishing")
        return ContentTable(self.url)

    def put(self, sent: Contents) -> None:
        def stored() -> None:
            with self._more:
                self.confirmed.append(sent.number)
                self._more.notify()

        self.keeper.put(Item(sent, stored))

    def until(self, count: int) -> None:
        with self._more:
            assert self._more.wait_for(lambda: len(self.confirmed) >= count, 20)


@pytest.fixture
def scene(url: str, tmp_path: Path) -> Iterator[Scene]:
    made = Scene(url, tmp_path)
    made.keeper.start()
    yield made
    made.keeper.close()


def test_contents_are_kept_beside_their_records_once(scene: Scene) -> None:
    first, second = recorded(scene.url, 2)
    scene.put(batch(content(first), content(second, "", "", document=b'{"choices": [{"text": "so"}]}')))
    scene.put(batch(content(first, "another"), number=2))
    scene.until(2)
    assert kept(scene.url) == [("", "so", ""), ("who?", "me@x.org", "")]
    assert scene.keeper.counts() == {"stored": 2}


def test_a_record_without_content_has_none(scene: Scene) -> None:
    recorded(scene.url, 1)
    assert kept(scene.url) == [(None, None, "")]


def test_a_hook_sees_content_before_it_is_kept(scene: Scene) -> None:
    (one,) = recorded(scene.url, 1)
    scene.put(batch(content(one, "mail to a@b.c now", redact=f"{HOOKS}:hide_addresses")))
    scene.until(1)
    assert kept(scene.url) == [("mail to (address) now", "(address)", "")]


@pytest.mark.parametrize(
    ("hook", "counted"),
    [
        ("keep_nothing", "withheld"),
        ("raises", "redaction"),
        ("returns_nonsense", "redaction"),
        ("no_function", "redaction"),
        ("not_there", "redaction"),
        ("exits", "redaction"),
    ],
)
def test_what_a_hook_does_not_return_is_not_kept(scene: Scene, hook: str, counted: str) -> None:
    first, second = recorded(scene.url, 2)
    with capture_logs() as logs:
        scene.put(batch(content(first, "a secret", redact=f"{HOOKS}:{hook}"), content(second)))
        scene.until(1)
    assert kept(scene.url) == [("who?", "me@x.org", ""), (None, None, "")]
    assert scene.keeper.counts() == {counted: 1, "stored": 1}
    assert "secret" not in str(logs)
    assert (logs == []) == (hook == "keep_nothing")


def test_a_hook_whose_module_exits_costs_only_its_own_contents(scene: Scene) -> None:
    first, second = recorded(scene.url, 2)
    scene.put(batch(content(first, redact="tests.gateway.store.contents.exiting_hooks:hide"), content(second)))
    scene.until(1)
    assert scene.keeper.counts() == {"redaction": 1, "stored": 1}


def test_a_hook_cannot_give_content_to_another_record_nor_break_the_database(scene: Scene) -> None:
    (one,) = recorded(scene.url, 1)
    scene.put(batch(content(one, redact=f"{HOOKS}:renames")))
    scene.until(1)
    assert kept(scene.url) == [("? and ", "me@x.org", "")]


def test_texts_are_cut_to_their_size_at_a_whole_letter(scene: Scene) -> None:
    (one,) = recorded(scene.url, 1)
    scene.put(batch(content(one, "é" * 5 + "x\x00", "é" * 9, most_bytes=13)))
    scene.until(1)
    assert kept(scene.url) == [("é" * 5 + "x", "é" * 6, "answer")]


def test_what_comes_while_the_database_is_away_is_kept_when_it_is_back_as_its_hook_left_it(
    url: str, tmp_path: Path
) -> None:
    (one,) = recorded(url, 1)
    scene = Scene(url, tmp_path)
    scene.away = True
    scene.keeper.start()
    scene.put(batch(content(one, "mail a@b.c", redact=f"{HOOKS}:hide_addresses")))
    scene.until(1)
    scene.keeper.close()
    (file,) = (tmp_path / "contents" / "spill").iterdir()
    assert b"a@b.c" not in file.read_bytes()
    again = Scene(url, tmp_path)
    again.keeper.start()
    while spilled_bytes(tmp_path / "contents"):
        again.put(batch())
        again.until(len(again.confirmed) + 1)
    again.keeper.close()
    assert kept(url) == [("mail (address)", "(address)", "")]


def test_what_a_hook_made_that_is_no_text_goes_to_the_file_as_text(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path)
    (one,) = recorded(url, 1)
    scene = Scene(url, tmp_path)
    scene.away = True
    scene.keeper.start()
    scene.put(batch(content(one, redact=f"{HOOKS}:returns_what_is_no_text")))
    scene.until(1)
    scene.keeper.close()
    again = Scene(url, tmp_path)
    again.keeper.start()
    again.keeper.close()
    assert kept(url) == [("?", "me@x.org", "")]


class NoRoom(Spill):
    """A disk that is full."""

    def append(self, parts: Any) -> None:
        raise OSError(28, "No space left on device")


def test_with_no_database_and_no_room_contents_are_dropped_and_counted(tmp_path: Path) -> None:
    scene = Scene(sqlite_url(tmp_path), tmp_path, spill=NoRoom(tmp_path, "keeper"))
    scene.away = True
    scene.keeper.start()
    scene.put(batch(content(Made().one().record_id)))
    scene.until(1)
    scene.keeper.close()
    assert scene.keeper.counts() == {"disk": 1}


def test_a_batch_that_cannot_be_read_costs_only_itself(scene: Scene) -> None:
    (one,) = recorded(scene.url, 1)
    scene.put(Contents("0123456789ab", 1, [b"\xff nonsense"], 1))
    scene.put(batch(content(one), number=2))
    scene.until(2)
    assert len(kept(scene.url)) == 1
    assert scene.keeper.counts() == {"stored": 1, "unreadable": 1}


def test_a_content_that_cannot_be_read_costs_only_itself(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def some(one: Content) -> ContentRecord:
        if one.record_id == first:
            raise RecursionError(one.answer)
        return record_of(one)

    first, second = recorded(scene.url, 2)
    monkeypatch.setattr("gateway.store.contents.keeper.record_of", some)
    with capture_logs() as logs:
        scene.put(batch(content(first, answer="a secret"), content(second)))
        scene.until(1)
    assert kept(scene.url) == [("who?", "me@x.org", ""), (None, None, "")]
    assert scene.keeper.counts() == {"stored": 1, "unreadable": 1}
    assert "secret" not in str(logs)


def test_a_batch_that_the_table_cannot_take_is_confirmed_and_counted(scene: Scene) -> None:
    (one,) = recorded(scene.url, 1)
    scene.put(batch(content("no id")))
    scene.put(batch(content(one, answer="", document=b'{"content": ' + b'[{"content": ' * 100_000), number=2))
    scene.until(2)
    assert kept(scene.url) == [("who?", "", "")]
    assert scene.keeper.counts() == {"stored": 1, "unreadable": 1}


class Memory:
    """A table that only notes what is asked of it, and by a thread that stands how."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.courteous: list[bool] = []
        self.stands = False

    def __call__(self, thread_id: int, courteous: bool) -> None:
        self.stands = courteous

    def insert(self, records: list[ContentRecord]) -> int:
        self._ask(records[0].model)
        return len(records)

    def expire(self, before_ms: int) -> bool:
        self._ask("expire")
        return False

    def rest(self) -> None: ...

    def close(self) -> None: ...

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        self.courteous.append(self.stands)


def test_files_are_read_and_what_is_old_goes_while_contents_come_all_the_time(tmp_path: Path) -> None:
    spill = Spill(tmp_path / "contents", "gone")
    spill.append([msgspec.msgpack.encode([ContentRecord("f" * 32, "file", "", "", "", "p", "a")])])
    spill.close()
    table = Memory()
    keeper = ContentKeeper(lambda: table, tmp_path, "keeper", sweep_s=0.0)
    for number in range(MOST_WAITING):
        keeper.put(Item(batch(content("f" * 32), number=number), lambda: None))
    keeper.start()
    keeper.close()
    assert set(table.asked[: MOST_WAITING // 2]) == {"chat", "file", "expire"}
    assert table.asked[-1] == "chat"


def test_the_keeper_stands_back_but_not_while_it_holds_the_table(tmp_path: Path) -> None:
    def stored() -> None:
        between.append(table.stands)
        done.set()

    table, done = Memory(), threading.Event()
    between: list[bool] = []
    courtesy = Courtesy(schedule=table)
    keeper = ContentKeeper(lambda: table, tmp_path, "keeper", sweep_s=0.0, courtesy=courtesy)
    keeper.put(Item(batch(content("f" * 32)), stored))
    keeper.start()
    assert done.wait(20)
    keeper.close()
    assert between == [True]
    assert set(table.courteous) == {False}


def test_contents_wait_for_records_before_each_transaction(tmp_path: Path) -> None:
    def waited() -> None:
        table.asked.append("waited")

    table = Memory()
    keeper = ContentKeeper(lambda: table, tmp_path, "keeper", sweep_s=600.0, after_records=waited)
    for number in range(3):
        keeper.put(Item(batch(content("f" * 32), number=number), lambda: None))
    keeper.start()
    keeper.close()
    assert table.asked.count("chat") == 3
    assert [before for before, what in pairwise(table.asked) if what != "waited"] == ["waited"] * len(table.courteous)


def test_a_keeper_that_ends_by_itself_says_so(tmp_path: Path) -> None:
    def ends() -> Table:
        raise SystemExit

    failed = threading.Event()
    keeper = ContentKeeper(ends, tmp_path, "keeper", sweep_s=0.0, failed=failed.set)
    keeper.start()
    keeper.close()
    assert failed.is_set()


def test_while_a_hook_hangs_no_more_than_a_bound_waits(tmp_path: Path) -> None:
    scene = Scene(sqlite_url(tmp_path), tmp_path)
    for number in range(2 * MOST_WAITING):
        scene.put(batch(content("f" * 32), number=number))
    assert scene.confirmed == list(range(MOST_WAITING, 2 * MOST_WAITING))  # dropped: their workers need not wait
    scene.keeper.start()
    scene.until(2 * MOST_WAITING)
    scene.keeper.close()
    assert scene.confirmed[MOST_WAITING:] == list(range(MOST_WAITING))
    assert scene.keeper.counts() == {"memory": MOST_WAITING, "stored": 1}


def test_the_content_of_old_requests_goes_and_their_records_stay(url: str) -> None:
    (old,), new = recorded(url, 1), Made("ba9876543210").one(at_s=1_780_100_000.0).record_id
    table = ContentTable(url)
    texts = [ContentRecord(one, "", "", "", "", "p", "a") for one in (old, new)]
    assert table.insert(texts) == 2
    while table.expire(1_780_012_800_000):  # the midnight between them
        pass
    table.rest()
    assert kept(url) == [(None, None, "")]
    assert table.insert(texts[1:]) == 0  # the newer one is still there
    table.close()


@pytest.mark.store
def test_a_server_that_is_not_there_is_away() -> None:
    with pytest.raises(DatabaseAway):
        ContentTable("postgresql://penstock@127.0.0.1:1/nowhere")
