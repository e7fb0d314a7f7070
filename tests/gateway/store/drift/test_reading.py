"""Of a sample of answers a mark stays, which counts in its hour, and no word stays anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.store.contents.content import ANSWER_CUT, record_of
from gateway.store.database.opening import engine_of
from gateway.store.database.port import DatabaseAway, Records
from gateway.store.database.schema import answer_marks
from gateway.store.database.sqlite import Sqlite
from gateway.store.drift.keeper import DriftKeeper
from gateway.store.drift.reading import AT_ONCE, Reading
from gateway.store.drift.summary import hour_of
from gateway.store.drift.table import DriftTable
from routing.drift.texts import names_of
from routing.drift.window import whole
from tests.gateway.store.contents.contents import content
from tests.gateway.store.records import Made, sqlite_url

HOUR_S = 3600
FIRST = 494_444
"""A Unix hour."""
REFUSED = "I'm sorry, but I can't help with that."
JSON = '{"answer": "yes and no"}'


def read(reading: Reading, record_id: str, answer: str, **changes: Any) -> None:
    one = content(record_id, "", answer, keeps=False, text_share=1.0, **changes)
    reading.take(one, record_of(one))


@pytest.fixture
def made() -> Made:
    return Made()


@pytest.fixture
def url(tmp_path: Path) -> str:
    return sqlite_url(tmp_path)


@pytest.fixture
def table(url: str, made: Made) -> Iterator[DriftTable]:
    database = Sqlite(url)
    for changes in (
        {},
        {"arm": "canary"},
        {"finish_reason": "tool_calls"},
        {"status": 499, "error": "client_gone"},
        {"shadow_of": "0" * 32},
    ):
        made.one(FIRST * HOUR_S, **changes)
    database.insert([Records(made.run, made.all)])
    database.close()
    opened = DriftTable(url)
    yield opened
    opened.close()


def marks(url: str) -> int:
    engine = engine_of(url, reading=True)
    try:
        with engine.connect() as connection:
            return len(connection.execute(answer_marks.select()).all())
    finally:
        engine.dispose()


def counted(table: DriftTable, hour: int) -> dict[object, dict[str, int]]:
    """By arm, what was read."""
    found = {}
    for row in table.summed(hour):
        summary = row["summary"]
        assert isinstance(summary, bytes)
        if summary:
            sums = whole(hour_of(summary).blocks)
            names = ("texts", "refusal_phrases", "json_asked", "json_invalid", "latin")
            found[row["arm"]] = {name: sums[name] for name in names if sums[name]}
    return found


def test_what_is_read_counts_in_its_hour_for_the_arm_of_its_request(table: DriftTable, made: Made, url: str) -> None:
    reading = Reading()
    plain, canary, called, left, copied = (record.record_id for record in made.all)
    read(reading, plain, REFUSED)
    read(reading, canary, "{", asks_json=True)
    read(reading, called, 'add {"a": 1}', asks_json=True)
    read(reading, left, REFUSED)
    read(reading, copied, REFUSED)
    table.mark(reading.given())
    assert counted(table, FIRST) == {
        "control": {"texts": 2, "refusal_phrases": 1, "latin": 1},
        "canary": {"texts": 1, "json_asked": 1, "json_invalid": 1},
    }
    assert counted(table, FIRST + 1) == {}
    assert marks(url) == 5
    table.store(table.summed(FIRST), 0)
    assert marks(url) == 0


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"asks_json": True}, ["texts", "json_asked", "latin"]),
        ({"asks_json": True, "cut": ANSWER_CUT}, ["texts", "latin"]),
        ({}, ["texts", "latin"]),
        ({"operation": "/v1/embeddings"}, None),
        ({"answer": " "}, None),
        ({"text_share": 0.0}, None),
    ],
)
def test_what_is_said_of_an_answer(changes: dict[str, Any], names: list[str] | None) -> None:
    reading = Reading()
    fields = {"answer": JSON, "keeps": False, "text_share": 1.0, **changes}
    one = content("a" * 32, "", **fields)
    reading.take(one, record_of(one))
    assert [names_of(mark.marks) for mark in reading.given()] == ([] if names is None else [names])


def test_of_contents_that_are_kept_anyway_the_same_part_is_read_everywhere() -> None:
    chosen = []
    for _ in range(2):
        reading = Reading()
        for number in range(2_000):
            one = content(f"{number:032x}", "who?", "It is I, of course.", text_share=0.1)
            reading.take(one, record_of(one))
        chosen.append([mark.record_id for mark in reading.given()])
    assert chosen[0] == chosen[1]
    assert 140 < len(chosen[0]) < 260


def test_the_keeper_keeps_marks_and_those_that_it_could_not_keep_the_next_time(table: DriftTable, url: str) -> None:
    aways = [True, False]

    def open_table() -> DriftTable:
        if aways.pop(0):
            raise DatabaseAway("gone")
        return table

    keeper = DriftKeeper(open_table, wall=lambda: 0.0)
    for number in range(AT_ONCE + 1):
        read(keeper.reading, f"{number:032x}", REFUSED)
    keeper.step()
    assert marks(url) == 0
    keeper.step()
    assert (marks(url), keeper.reading.given()) == (AT_ONCE + 1, [])
