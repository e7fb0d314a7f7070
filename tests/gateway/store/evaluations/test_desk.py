"""Both answers of a pair are brought together, scored and let go; what cannot be is counted."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.store.contents.content import ANSWER_CUT, Content, ContentRecord
from gateway.store.database.port import DatabaseAway
from gateway.store.evaluations.desk import Desk
from gateway.store.evaluations.evaluator import Evaluator
from gateway.store.evaluations.pairing import Pair, Pairing
from gateway.store.evaluations.question import Question
from gateway.store.evaluations.table import Evaluation

ORIGINAL, COPY = "a" * 32, "b" * 32


def record(record_id: str, answer: str = "", cut: int = 0) -> ContentRecord:
    return ContentRecord(record_id, "chat", "/v1/chat/completions", "", "", "{}", answer, cut)


def take(desk: Desk, pair: str, one: ContentRecord) -> None:
    """As the keeper of contents hands it on, of a model that keeps none."""
    desk.take(content_of(pair), one)


def content_of(pair: str = "", *, keeps: bool = False, redact: str = "") -> Content:
    return Content("", "chat", "/v1/chat/completions", "", "", b"", "", b"", 0, 1024, redact, keeps, pair)


class FakeTable:
    def __init__(self, *, away: int = 0) -> None:
        self.stored: list[Evaluation] = []
        self.away = away

    def insert(self, evaluations: Sequence[Evaluation]) -> None:
        if self.away:
            self.away -= 1
            raise DatabaseAway("gone")
        self.stored += evaluations

    def close(self) -> None: ...


def test_the_two_answers_of_a_pair_are_compared_whichever_comes_first() -> None:
    for turned in (False, True):
        table = FakeTable()
        desk = Desk(lambda: table)  # noqa: B023 - it is opened before the loop goes on
        desk.start()
        both = [record(ORIGINAL, "the quick red fox"), record(COPY, "the quick brown fox")]
        for one in reversed(both) if turned else both:
            take(desk, ORIGINAL, one)
        desk.close()
        assert [(one.record_id, one.metric, round(one.value, 4)) for one in table.stored] == [
            (COPY, "rouge_l", 0.75),
            (COPY, "chrf", 0.5354),
        ]
        assert desk.counts() == {"similarity/stored": 1}


def test_an_answer_whose_end_was_not_kept_is_not_compared() -> None:
    table = FakeTable()
    desk = Desk(lambda: table)
    desk.start()
    take(desk, ORIGINAL, record(ORIGINAL, "x", ANSWER_CUT))
    take(desk, ORIGINAL, record(COPY, "x"))
    desk.close()
    assert (table.stored, desk.counts()) == ([], {"similarity/cut": 1})


def test_while_the_database_is_away_pairs_are_dropped_and_then_stored_again() -> None:
    table = FakeTable(away=1)
    desk = Desk(lambda: table)
    for name in ("1", "2"):
        take(desk, name * 32, record(name * 32, "x"))
        take(desk, name * 32, record(COPY, "x"))
        if name == "1":
            desk.start()
            while "similarity/away" not in desk.counts():
                pass
    desk.close()
    assert desk.counts() == {"similarity/away": 1, "similarity/stored": 1}


def test_evaluators_are_given_their_part_of_what_may_be_seen() -> None:
    table = FakeTable()
    asked: list[Question] = []
    told: list[tuple[str, str]] = []
    desk = Desk(
        lambda: table,
        ask=asked.append,
        tell=lambda evaluation, model: told.append((evaluation.metric, model)),
    )
    desk.use(
        [
            Evaluator("r", "rouge", True, (), 1.0),
            Evaluator("elsewhere", "rouge", True, ("other",), 1.0),
            Evaluator("pairwise", "http", True, ("chat",), 1.0, "http://judge.test"),
            Evaluator("helpful", "http", False, (), 1.0, "http://judge.test"),
            Evaluator("nothing", "http", False, (), 0.0, "http://judge.test"),
        ]
    )
    desk.start()
    original, copy = record(ORIGINAL, "one two"), record(COPY, "one three")
    desk.take(content_of(ORIGINAL, keeps=True, redact="m:f"), original)
    desk.take(content_of(ORIGINAL, keeps=True, redact="m:f"), copy)
    desk.take(content_of(), record("c" * 32, "seen by nobody"))
    desk.keep("pairwise", Evaluation(COPY, "pairwise", 1, 0.5))
    desk.close()
    assert [(one.evaluator.name, one.asked, one.redact) for one in asked] == [
        ("helpful", original, "m:f"),
        ("pairwise", Pair(original, copy), "m:f"),
    ]
    scores = {one.metric: one.value for one in table.stored}
    assert scores.pop("chrf") > 0
    assert scores == {"rouge_l": 0.5, "r.1": 0.5, "r.2": 0.0, "r.l": 0.5, "pairwise": 0.5}
    assert told == [(metric, "chat") for metric in ("rouge_l", "chrf", "r.1", "r.2", "r.l")]
    assert desk.counts() == {"similarity/stored": 1, "r/stored": 1, "pairwise/stored": 1}


def test_an_evaluator_that_fails_is_counted_and_takes_nothing_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    table = FakeTable()
    desk = Desk(lambda: table)
    desk.use([Evaluator("b", "bleu", True, (), 1.0)])
    desk.start()
    take(desk, ORIGINAL, record(ORIGINAL, "x"))
    take(desk, ORIGINAL, record(COPY, "x"))
    desk.close()
    assert desk.counts() == {"b/error": 1, "similarity/stored": 1}
    assert len(table.stored) == 2


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans(), st.floats(0, 40)), max_size=40), st.integers(1, 4))
@settings(deadline=None, max_examples=60)
def test_what_waits_is_bounded_and_every_answer_is_paired_waits_or_is_counted(
    steps: list[tuple[int, bool, float]], most: int
) -> None:
    pairing = Pairing(most, patience_s=60.0)
    now, taken, paired = 0.0, set(), 0
    for number, is_copy, gap in steps:
        now += gap
        pair = f"{number:032x}"
        answer = record(f"{number + 100:032x}" if is_copy else pair)
        if answer.record_id in taken:
            continue
        taken.add(answer.record_id)
        both = pairing.take(pair, answer, now)
        if both is not None:
            paired += 1
            assert (both.original.record_id, both.copy.record_id) == (pair, f"{number + 100:032x}")
        assert len(pairing._waiting) <= most
    assert len(taken) == 2 * paired + len(pairing._waiting) + pairing.alone


def test_who_waits_too_long_is_let_go() -> None:
    pairing = Pairing(8, patience_s=60.0)
    assert pairing.take(ORIGINAL, record(ORIGINAL), 0.0) is None
    assert pairing.take(ORIGINAL, record(COPY), 60.0) is None
    assert pairing.alone == 1


@pytest.mark.parametrize("most", [1, 2])
def test_the_oldest_goes_where_there_is_no_room(most: int) -> None:
    pairing = Pairing(most)
    for number in range(most + 1):
        pairing.take(f"{number:032x}", record(f"{number:032x}"), float(number))
    assert (pairing.alone, len(pairing._waiting)) == (1, most)
