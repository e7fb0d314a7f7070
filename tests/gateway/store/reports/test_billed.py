"""Who is billed for what of a request, when, and what a comparison with an export says of a cost that is unknown."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from gateway.accounts.record import AttemptRecord, RequestRecord
from gateway.cli.app import app
from gateway.store.__main__ import open_database
from gateway.store.database.port import Records
from gateway.store.reports.reconcile import compare
from gateway.store.reports.usage_exports import Amount, Export, Key, shown
from tests.gateway.store.books import HOUR_MS, Books, start_s
from tests.gateway.store.records import NOON_S, Made, sqlite_url, stored

LONG_S = 4.0


def compared(
    made: Made, theirs: dict[Key, Amount], *engines: str, by_id: bool = False, **about: Any
) -> tuple[int, int, int, dict[Key, dict[str, tuple[Any, Any]]], int]:
    """How many are matched, missing and extra, what differs, and how many are unpriced."""
    with tempfile.TemporaryDirectory() as found:
        url = sqlite_url(Path(found))
        database = open_database(url)
        database.insert([Records(made.run, made.all)])
        database.close()
        records = stored(url)
    export = Export(by_id, HOUR_MS, amounts=theirs, **about)
    outcome = compare(export, records, frozenset(engines))
    counts = outcome.matched, len(outcome.missing), len(outcome.extra)
    return *counts, outcome.differing, len(outcome.unpriced)


def hour_of(record: RequestRecord, model: str) -> Key:
    return shown(int(record.record_id[:12], 16) // HOUR_MS * HOUR_MS), model


def attempt(engine: str, outcome: str, cost_usd: float | None, **more: Any) -> AttemptRecord:
    tokens = {"input_tokens": 100, "output_tokens": 20, **more}
    return AttemptRecord(engine, "r", "m", 0.0, 9.0, outcome, 200, cost_usd=cost_usd, **tokens)


def test_a_hedge_that_lost_is_billed_once_beside_the_answer() -> None:
    made = Made()
    tries = [attempt("openai", "abandoned", 0.10, output_tokens=0), attempt("openai", "answered", 0.20)]
    one = made.one(engine="openai", upstream_model="m", cost_usd=0.30, tries=tries)
    theirs = {hour_of(one, "m"): Amount(2, 200, 0, 0, 20, 0.30)}
    assert compared(made, theirs, "openai") == (1, 0, 0, {}, 0)


def test_what_another_provider_charged_before_a_fallback_is_its_own() -> None:
    made = Made()
    tries = [attempt("claude", "timeout", 0.50), attempt("openai", "answered", 0.10)]
    one = made.one(engine="openai", upstream_model="m", cost_usd=0.60, tries=tries)
    assert compared(made, {hour_of(one, "m"): Amount(1, 100, 0, 0, 20, 0.10)}, "openai") == (1, 0, 0, {}, 0)
    assert compared(made, {hour_of(one, "m"): Amount(1, 100, 0, 0, 20, 0.50)}, "claude") == (1, 0, 0, {}, 0)


def continued() -> tuple[Made, RequestRecord]:
    """An answer whose first 20 tokens one replica made, and the last 30 another, which was sent the first ones."""
    made = Made()
    tries = [
        attempt("openai", "cut_short", 0.10, response_id="a"),
        attempt("openai", "answered", 0.20, input_tokens=120, output_tokens=30, response_id="b"),
    ]
    one = made.one(engine="openai", upstream_model="m", output_tokens=50, cost_usd=0.30, response_id="a", tries=tries)
    return made, one


def test_each_part_of_an_answer_that_was_continued_is_billed_once() -> None:
    made, one = continued()
    assert compared(made, {hour_of(one, "m"): Amount(2, 220, 0, 0, 50, 0.30)}, "openai") == (1, 0, 0, {}, 0)
    by_answer: dict[Key, Amount] = {("a",): Amount(1, 100, 0, 0, 20, 0.10), ("b",): Amount(1, 120, 0, 0, 30, 0.20)}
    assert compared(made, by_answer, "openai", by_id=True) == (2, 0, 0, {}, 0)


def test_a_cost_that_is_unknown_here_and_known_there_is_no_match() -> None:
    made = Made()
    one = made.one(engine="openai", upstream_model="m", cost_usd=None)
    made.one(engine="openai", upstream_model="m", cost_usd=0.10)
    key = hour_of(one, "m")
    assert compared(made, {key: Amount(2, 200, 0, 0, 40, 0.20)}, "openai") == (0, 0, 0, {}, 1)
    assert compared(made, {key: Amount(2, 200, 0, 0, 40, None)}, "openai") == (1, 0, 0, {}, 0)


def test_a_cost_that_is_known_in_part_is_unpriced_and_differs_where_the_part_is_more_than_the_whole() -> None:
    made = Made()
    one = made.one(engine="openai", upstream_model="m", cost_usd=0.10, unpriced=True)
    key = hour_of(one, "m")
    assert compared(made, {key: Amount(1, 100, 0, 0, 20, 0.12)}, "openai") == (0, 0, 0, {}, 1)
    differs = {key: {"cost_usd": (0.1, 0.05)}}
    assert compared(made, {key: Amount(1, 100, 0, 0, 20, 0.05)}, "openai") == (0, 0, 0, differs, 0)


def test_an_attempt_whose_cost_is_known_in_part_is_unpriced_at_its_own_provider_alone() -> None:
    made = Made()
    tries = [attempt("claude", "timeout", 0.50, unpriced=True), attempt("openai", "answered", 0.10)]
    one = made.one(engine="openai", upstream_model="m", cost_usd=0.60, unpriced=True, tries=tries)
    assert compared(made, {hour_of(one, "m"): Amount(1, 100, 0, 0, 20, 0.10)}, "openai") == (1, 0, 0, {}, 0)
    assert compared(made, {hour_of(one, "m"): Amount(1, 100, 0, 0, 20, 0.90)}, "claude") == (0, 0, 0, {}, 1)


def test_what_is_unpriced_is_told_and_fails(tmp_path: Path) -> None:
    made = Made()
    made.one(engine="openai", response_id="a", cost_usd=None)
    rows = [{"created_at": NOON_S, "id": "a", "prompt_tokens": 100, "completion_tokens": 20, "cost_usd": 0.1}]
    code, found = Books.of(tmp_path, made).reconcile(rows)
    assert (code, found["matched"], found["unpriced"]) == (1, 0, 1)
    assert found["rows"][0]["kind"] == "unpriced"


def test_an_export_of_completions_has_no_embeddings_and_that_of_embeddings_nothing_else(tmp_path: Path) -> None:
    made = Made()
    both: dict[str, Any] = {"engine": "openai", "upstream_model": "m"}
    made.one(operation="/v1/messages", **both)
    made.one(operation="/v1/embeddings", output_tokens=0, **both)
    made.one(operation="/v1/audio/transcriptions", **both)
    books = Books.of(tmp_path, made)
    start = start_s(made.all[0], 3600)
    row: dict[str, Any] = {"start_time": start, "model": "m", "num_model_requests": 1, "input_tokens": 100}
    assert books.reconcile([{**row, "output_tokens": 20}])[0] == 0
    assert books.reconcile([row])[0] == 0
    twice = {**row, "num_model_requests": 2, "input_tokens": 200, "output_tokens": 40}
    assert books.reconcile([twice])[0] == 1
    paths = ["/v1/messages", "/v1/audio/transcriptions"]
    assert books.reconcile([twice], *(word for path in paths for word in ("--operation", path)))[0] == 0


def test_an_operation_that_there_is_not_is_refused(tmp_path: Path) -> None:
    books = Books.of(tmp_path, continued()[0])
    words = ["cost", "reconcile", str(books.config), "--engine", "openai", "--operation", "chat"]
    result = CliRunner().invoke(app, words)
    assert (result.exit_code, "there is no operation 'chat'" in result.output) == (2, True)


def test_answers_whose_requests_came_before_an_export_begins_are_found(tmp_path: Path) -> None:
    made = Made()
    made.one(at_s=NOON_S - LONG_S, duration_ms=LONG_S * 1e3 + 500, engine="openai", response_id="a")
    made.one(at_s=NOON_S - LONG_S, duration_ms=LONG_S * 1e3 - 500, engine="openai", response_id="in-the-one-before")
    made.one(at_s=NOON_S + 30, engine="openai", response_id="b")
    made.one(at_s=NOON_S + 20, engine="openai", response_id="lost")
    rows = [
        {"created_at": NOON_S, "id": "a", "prompt_tokens": 100, "completion_tokens": 20},
        {"created_at": NOON_S + 30.5, "id": "b", "prompt_tokens": 100, "completion_tokens": 20},
    ]
    code, found = Books.of(tmp_path, made).reconcile(rows)
    assert (code, found["matched"], found["extra"], [row["what"] for row in found["rows"]]) == (1, 2, 0, ["lost"])


def test_a_request_counts_in_the_hour_in_which_it_was_sent(tmp_path: Path) -> None:
    made = Made()
    hour_s = (NOON_S // 3600 + 1) * 3600
    made.one(at_s=hour_s - 1, queue_ms=1500.0, engine="openai", upstream_model="m")
    rows = [{"start_time": hour_s, "model": "m", "num_model_requests": 1, "input_tokens": 100, "output_tokens": 20}]
    assert Books.of(tmp_path, made).reconcile(rows)[0] == 0
