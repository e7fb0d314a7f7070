"""Feedback is kept of one request of the tenant's own, once for an idempotency key, and knows how it was assigned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from gateway.store.contents.redaction import Redaction
from gateway.store.database.opening import engine_of
from gateway.store.database.port import DatabaseAway, Records
from gateway.store.database.rows import DAY_MS
from gateway.store.database.schema import feedback
from gateway.store.database.sqlite import Sqlite
from gateway.store.feedback.messages import FeedbackGiven, GiveFeedback
from gateway.store.feedback.retention import Forgetting
from gateway.store.feedback.table import TOO_LONG, WINDOW_MS, give, give_all
from gateway.store.reports.requests import Wanted
from tests.gateway.store.records import NOON_S, Made, sqlite_url, stored

NOW_MS = int(NOON_S * 1e3) + 60_000
UNIT = "00000000000000ff"


@dataclass
class Store:
    url: str
    made: Made
    redaction: Redaction = field(default_factory=Redaction)

    def insert(self) -> None:
        """What was made since then."""
        database = Sqlite(self.url)
        database.insert([Records(self.made.run, self.made.all[-3:])])
        database.close()

    def kept(self) -> list[dict[str, Any]]:
        engine = engine_of(self.url, reading=True)
        try:
            with engine.connect() as connection:
                return [dict(row) for row in connection.execute(select(feedback)).mappings()]
        finally:
            engine.dispose()

    def given(self, **changes: Any) -> GiveFeedback:
        fields: dict[str, Any] = {
            "tenant": "shop",
            "key_id": "app",
            "record_id": "",
            "request_id": "",
            "metric": "thumbs_up",
            "value": 1.0,
            "comment": "",
            "demonstration": "",
            "idempotency_key": "",
            "now_ms": NOW_MS,
            "with_contents": {},
        }
        return GiveFeedback(**{**fields, **changes})

    def give_all(self, *given: GiveFeedback) -> list[FeedbackGiven]:
        return give_all(self.url, given, self.redaction, 30 * DAY_MS)

    def give(self, **changes: Any) -> FeedbackGiven:
        return give(self.url, self.given(**changes), self.redaction, 30 * DAY_MS)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    directory = tmp_path_factory.mktemp("feedback")
    made = Made()
    database = Sqlite(sqlite_url(directory))
    made.one(request_id="own", experiment="e1", unit=UNIT, shares=(0.95, 0.05), arm="canary")
    made.one(request_id="twice")
    made.one(request_id="twice")
    made.one(request_id="theirs", tenant="bank")
    made.one(request_id="open", tenant="", arm="")
    made.one(NOON_S - WINDOW_MS / 1e3, request_id="old")
    made.one(NOON_S - WINDOW_MS / 1e3 + 3600, request_id="weeks ago")
    made.one(NOON_S - 5 * 86400, request_id="again")
    made.one(request_id="again")
    database.insert([Records(made.run, made.all)])
    yield Store(sqlite_url(directory), made)
    database.close()


def test_it_is_kept_with_the_assignment_of_its_request(filled: Store) -> None:
    record_id = filled.made.all[0].record_id
    told = filled.give(request_id="own")
    assert FeedbackGiven("", "", record_id, False, "chat", "e1", "canary", UNIT, "0.95,0.05") == told
    assert told == filled.give(record_id=record_id)
    assert [bytes.fromhex(record_id)] * 2 == [row["id"] for row in filled.kept()]
    (record,) = stored(filled.url, Wanted(record_id=record_id))
    assert ("e1", UNIT, "0.95,0.05") == (record["experiment"], record["unit"], record["shares"])


@pytest.mark.parametrize(
    ("named", "problem"),
    [
        ({"request_id": "nobody"}, "unknown"),
        ({"request_id": "theirs"}, "unknown"),
        ({"request_id": "own", "tenant": "bank"}, "unknown"),
        ({"request_id": "own", "tenant": "nobody"}, "unknown"),
        ({"request_id": "own", "tenant": ""}, "unknown"),
        ({"request_id": "open", "tenant": ""}, ""),
        ({"request_id": "old"}, "unknown"),
        ({"request_id": "weeks ago"}, ""),
        ({"request_id": "twice"}, "ambiguous"),
        ({"request_id": "again"}, "ambiguous"),
        ({"record_id": "no hex"}, "unknown"),
        ({"record_id": "ff"}, "unknown"),
    ],
)
def test_whose_it_may_be(filled: Store, named: dict[str, str], problem: str) -> None:
    before = len(filled.kept())
    assert problem == filled.give(**named).problem
    assert before + (not problem) == len(filled.kept())


def test_one_that_came_without_an_id_is_known_by_that_of_its_record(filled: Store) -> None:
    record_id = filled.made.all[1].record_id
    assert record_id == filled.give(request_id=record_id).record_id


def test_an_idempotency_key_is_of_one_feedback_of_its_tenant(filled: Store) -> None:
    once = filled.give(request_id="own", idempotency_key="k1")
    before = len(filled.kept())
    again = filled.give(request_id="own", idempotency_key="k1")
    assert msgspec.structs.replace(once, repeated=True) == again
    assert "another" == filled.give(request_id="own", idempotency_key="k1", value=0.0).problem
    assert before == len(filled.kept())
    assert not filled.give(request_id="theirs", tenant="bank", idempotency_key="k1").repeated


def test_several_are_kept_in_one_transaction_and_each_is_told_of_its_own(filled: Store) -> None:
    before = len(filled.kept())
    told = filled.give_all(
        filled.given(request_id="own", idempotency_key="together", value=0.5),
        filled.given(request_id="nobody"),
        filled.given(request_id="own", idempotency_key="together", value=0.5),
        filled.given(request_id="weeks ago"),
    )
    assert ["", "unknown", "", ""] == [one.problem for one in told]
    assert [False, False, True, False] == [one.repeated for one in told]
    assert before + 2 == len(filled.kept())


def test_of_several_of_which_one_cannot_be_stored_none_is(filled: Store) -> None:
    before = len(filled.kept())
    good, bad = filled.given(request_id="own"), filled.given(request_id="own", value=float("nan"))
    with pytest.raises(DatabaseAway):  # a NaN is NULL to SQLite, and a value must be one
        filled.give_all(good, bad)
    assert before == len(filled.kept())


def test_texts_are_kept_of_models_that_keep_contents(filled: Store) -> None:
    refused = filled.give(request_id="own", comment="no!")
    assert ("no_contents", "chat") == (refused.problem, refused.model)
    kept = filled.give(request_id="own", comment="no!", demonstration="yes", with_contents={"chat": ""})
    assert not kept.problem
    assert ("no!", "yes") == (filled.kept()[-1]["comment"], filled.kept()[-1]["demonstration"])


def test_names_of_a_wildcard_keep_texts_as_it_does(filled: Store) -> None:
    names = ("vendor/x", "vendor/own", "vendor/small-x")
    records = [filled.made.one(model=name) for name in names]
    filled.insert()
    keeps = {
        "with_contents": {"vendor/*": f"{HOOKS}:hide_addresses"},
        "models": ["vendor/*", "vendor/own", "vendor/small-*"],
    }
    told = [filled.give(record_id=record.record_id, comment="ask me@home", **keeps) for record in records]
    assert [("", "vendor/x"), *[("no_contents", name) for name in names[1:]]] == [
        (one.problem, one.model) for one in told
    ]
    assert "ask (address)" == filled.kept()[-1]["comment"]


def test_who_looks_again_looks_at_the_newest_records_alone(filled: Store) -> None:
    day_later = {"request_id": "own", "now_ms": NOW_MS + DAY_MS}
    assert ["", "unknown"] == [filled.give(**day_later, again=again).problem for again in (False, True)]
    assert not filled.give(request_id="own", again=True).problem


def test_a_request_is_looked_for_while_others_write(filled: Store) -> None:
    engine = engine_of(filled.url)
    try:
        with engine.begin():  # holds SQLite's one lock for writing
            assert [filled.give(request_id=name).problem for name in ("nobody", "twice")] == ["unknown", "ambiguous"]
    finally:
        engine.dispose()


def test_a_look_among_too_many_ends_with_what_to_do(filled: Store) -> None:
    fields = {"tenant": "shop", "key_id": "app", "metric": "thumbs_up", "value": 1.0, "now_ms": NOW_MS}
    texts = dict.fromkeys(("record_id", "comment", "demonstration", "idempotency_key"), "")
    given = GiveFeedback(**fields, **texts, request_id="own", with_contents={})  # type: ignore[arg-type]
    assert FeedbackGiven("away", TOO_LONG) == give(filled.url, given, Redaction(), DAY_MS, look_s=0.0)


HOOKS = "tests.gateway.store.contents.hooks"


def test_the_hook_of_the_models_contents_sees_the_words_before_any_is_kept(filled: Store) -> None:
    words = {"comment": "ask me@home", "demonstration": "write you@work", "idempotency_key": "redacted"}
    for repeated in (False, True):
        told = filled.give(request_id="own", with_contents={"chat": f"{HOOKS}:hide_addresses"}, **words)
        assert (False, repeated, "") == (told.withheld, told.repeated, told.problem)
    assert ("ask (address)", "write (address)") == (filled.kept()[-1]["comment"], filled.kept()[-1]["demonstration"])


@pytest.mark.parametrize("hook", ["keep_nothing", "raises", "exits", "returns_nonsense", "nobody_wrote_it"])
def test_of_words_that_a_hook_does_not_approve_only_the_value_is_kept(filled: Store, hook: str) -> None:
    before = len(filled.kept())
    told = filled.give(request_id="own", comment="secret", value=0.0, with_contents={"chat": f"{HOOKS}:{hook}"})
    assert (True, "") == (told.withheld, told.problem)
    (row,) = filled.kept()[before:]
    assert (0.0, None, None) == (row["value"], row["comment"], row["demonstration"])


def test_a_request_has_so_much_feedback_and_no_more(filled: Store) -> None:
    record_id = filled.made.one(request_id="much").record_id
    filled.insert()
    told = [filled.give(record_id=record_id, per_record=2, idempotency_key=key) for key in ("m1", "m2", "m3", "m1")]
    assert [("", False), ("", False), ("full", False), ("", True)] == [(one.problem, one.repeated) for one in told]


def test_feedback_goes_with_its_record_and_its_words_with_the_contents(filled: Store) -> None:
    made = {days: filled.made.one(NOON_S - days * 86400) for days in (1, 40, 100)}
    filled.insert()
    for record in made.values():
        at_ms = int(record.record_id[:12], 16)
        for _ in range(3):
            filled.give(record_id=record.record_id, comment="why", with_contents={"chat": ""}, now_ms=at_ms)
    forgetting = Forgetting(filled.url, retention_days=90, content_retention_days=30, rows=2)
    for _ in range(2):
        forgetting.forget(NOW_MS)
        rows = [(row["id"].hex(), row["comment"]) for row in filled.kept()]
        comments = {days: [why for one, why in rows if one == record.record_id] for days, record in made.items()}
        assert {1: ["why"] * 3, 40: [None] * 3, 100: []} == comments


@pytest.mark.parametrize("hook", ["", f"{HOOKS}:hide_addresses"])
def test_of_a_record_whose_contents_are_too_old_no_words_are_kept(filled: Store, hook: str) -> None:
    record_id = filled.made.one(NOON_S - 50 * 86400).record_id
    filled.insert()
    last_ms = int(record_id[:12], 16) + 30 * DAY_MS
    words = {"comment": "why", "demonstration": "so", "with_contents": {"chat": hook}}
    kept = len(filled.kept())
    told = [filled.give(record_id=record_id, now_ms=at_ms, **words) for at_ms in (last_ms, last_ms + 1)]
    assert [("", False), ("", True)] == [(one.problem, one.withheld) for one in told]
    rows = filled.kept()[kept:]
    assert [("why", "so", 1.0), (None, None, 1.0)] == [
        (row["comment"], row["demonstration"], row["value"]) for row in rows
    ]


def test_words_that_came_a_moment_late_are_let_go_the_next_time(filled: Store) -> None:
    record_id = filled.made.one(NOON_S - 60 * 86400).record_id
    filled.insert()
    old_ms = int(record_id[:12], 16) + 30 * DAY_MS
    forgetting = Forgetting(filled.url, retention_days=90, content_retention_days=30)
    forgetting.forget(old_ms + 1)
    filled.give(record_id=record_id, comment="late", with_contents={"chat": ""}, now_ms=old_ms - 1)
    assert "late" == filled.kept()[-1]["comment"]
    forgetting.forget(old_ms + 600_000)
    assert "late" not in [row["comment"] for row in filled.kept()]
