"""What is asked in words: a text that no store can hold is told, whatever the database, and found by nobody."""

from __future__ import annotations

import json

import pytest

from gateway.store.database.port import Database
from gateway.store.reports.asked import COSTS, QUESTIONS, RECORDS, SCALINGS, answer
from gateway.store.reports.requests import NotWanted

PARAMETERS = {
    "records": RECORDS,
    "costs": COSTS,
    "decisions": ("model", "limit"),
    "shadow": ("model", "since", "until"),
    "scalings": SCALINGS,
}
NOW_S = 1_780_000_000.0
ODD = ["\ufffd", "\uffff", "'; --", '"', "%", "\\", "\n", "\x1b[31m", "\U0010ffff", "x" * 100_000]


def test_every_question_is_tried_here() -> None:
    assert PARAMETERS.keys() == QUESTIONS.keys()


@pytest.mark.parametrize(("what", "name"), [(what, name) for what in PARAMETERS for name in PARAMETERS[what]])
@pytest.mark.parametrize("text", ["\x00", "a\x00b"])
def test_a_nul_is_told_with_what_to_do(what: str, name: str, text: str) -> None:
    asked = {"model": "m", name: text} if what == "shadow" else {name: text}
    with pytest.raises(NotWanted, match=rf"^{name} has a NUL in it.*leave `%00` out"):
        QUESTIONS[what](asked, NOW_S)


NAMED = [
    *(("decisions", "model"), ("scalings", "engine"), ("shadow", "model")),
    *[("records", name) for name in ("request_id", "model", "engine", "replica", "arm", "tenant", "error", "key")],
]


def test_any_other_text_finds_nothing(database: Database, url: str) -> None:
    for what, name in NAMED:
        for text in ODD:
            told = json.loads(answer(url, QUESTIONS[what]({name: text}, NOW_S)))
            assert told == {"object": "list", "data": []}, (what, name, text[:9])
