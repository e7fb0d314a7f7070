"""Demonstrations and pairs of answers are written as training examples that say what they were made of."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.cli.app import app
from gateway.store.contents.content import ContentRecord
from gateway.store.contents.redaction import Redaction
from gateway.store.contents.table import ContentTable
from gateway.store.database.opening import engine_of
from gateway.store.database.port import Records
from gateway.store.database.rows import DAY_MS
from gateway.store.database.sqlite import Sqlite
from gateway.store.feedback.conversation import NoConversation, conversation_of, sha256_of
from gateway.store.feedback.export import FeedbackExport, WantedFeedback
from gateway.store.feedback.messages import GiveFeedback
from gateway.store.feedback.table import give
from tests.gateway.store.records import NOON_S, Made, sqlite_url

CHAT = "/v1/chat/completions"
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
NOW_MS = int(NOON_S * 1e3) + 60_000


class Told:
    """A store in which records with contents are made, and feedback of them; each test is a tenant of its own."""

    def __init__(self, directory: Path) -> None:
        self.url = sqlite_url(directory)
        self._made = Made()
        self._database = Sqlite(self.url)
        self._contents = ContentTable(self.url)
        self.tenant = ""

    def close(self) -> None:
        self._contents.close()
        self._database.close()

    def answer(self, prompt: Any, answer: str, *, cut: int = 0, kept: bool = True, **changes: Any) -> str:
        """Returns the record's id."""
        record = self._made.one(**{"bundle": "b1", "tenant": self.tenant, **changes})
        self._database.insert([Records(self._made.run, [record])])
        text = prompt if isinstance(prompt, str) else json.dumps(prompt)
        if kept:
            named = (record.record_id, record.model, record.operation, "", "")
            self._contents.insert([ContentRecord(*named, text, answer, cut)])
        return record.record_id

    def feedback(self, record_id: str, value: float = 1.0, demonstration: str = "", **changes: Any) -> None:
        fields: dict[str, Any] = {"tenant": self.tenant, "key_id": "app", "metric": "thumbs_up", "comment": ""}
        fields |= {"request_id": "", "idempotency_key": "", "now_ms": NOW_MS, "with_contents": {"chat": ""}, **changes}
        given = GiveFeedback(record_id=record_id, value=value, demonstration=demonstration, **fields)
        told = give(self.url, given, Redaction(), 365 * DAY_MS)
        assert not told.problem

    def export(self, form: Any, **wanted: Any) -> tuple[list[dict[str, Any]], dict[str, int]]:
        engine = engine_of(self.url, reading=True)
        try:
            with engine.connect() as connection:
                made = FeedbackExport(connection, WantedFeedback(**{"tenant": self.tenant, **wanted}))
                return list(made.rows(form)), dict(made.left_out)
        finally:
            engine.dispose()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    store = Told(tmp_path_factory.mktemp("feedback"))
    yield store
    store.close()


@pytest.fixture
def told(store: Told, request: pytest.FixtureRequest) -> Told:
    store.tenant = request.node.name
    return store


def asked(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "chat", "messages": [{"role": "user", "content": text}], **more}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_demonstration_is_a_row_of_its_conversation_with_where_it_is_from(told: Told) -> None:
    prompt = asked("2 + 2?", tools=[TOOL], parallel_tool_calls=False, temperature=0.5)
    record_id = told.answer(prompt, "5", arm="canary")
    told.feedback(record_id, 0.0, "4")
    told.feedback(record_id, 1.0)  # without one it is no example
    (row,), left = told.export("sft")
    lineage = row.pop("lineage")
    messages = [*prompt["messages"], {"role": "assistant", "content": "4"}]
    assert {"messages": messages, "tools": [TOOL], "parallel_tool_calls": False} == row
    asked_for = {"messages": prompt["messages"], "tools": [TOOL], "parallel_tool_calls": False}
    assert {
        "row_sha256": sha256_of(row),
        "conversation_sha256": sha256_of(asked_for),
        "request_sha256": sha(json.dumps(prompt)),
        "tenant": told.tenant,
        "source": "demonstration",
        "text_sha256": sha("4"),
        "record_id": record_id,
        "feedback": lineage["feedback"],
        "metric": "thumbs_up",
        "value": 0.0,
        "model": "chat",
        "arm": "canary",
        "upstream_model": "llama-8b",
        "response_model": "",
        "bundle": "b1",
    } == lineage
    assert {} == left


def test_a_demonstration_is_preferred_to_the_answer_unless_it_is_the_answer(told: Told) -> None:
    first = told.answer(asked("capital of France?"), "Lyon")
    second = told.answer(asked("and of Spain?"), "Madrid")
    told.feedback(first, 0.0, "Paris")
    told.feedback(second, 1.0, "Madrid\n")
    (row,), left = told.export("dpo")
    assert {"messages": asked("capital of France?")["messages"]} == row["input"]
    assert [{"role": "assistant", "content": "Paris"}] == row["preferred_output"]
    assert [{"role": "assistant", "content": "Lyon"}] == row["non_preferred_output"]
    sides = row["lineage"]["preferred"], row["lineage"]["non_preferred"]
    assert ["demonstration", "answer"] == [side["source"] for side in sides]
    assert [first, first] == [side["record_id"] for side in sides]
    assert {"the demonstration is the answer": 1} == left


@pytest.mark.parametrize(("higher", "better", "worse"), [(True, "yes", "maybe"), (False, "maybe", "yes")])
def test_of_answers_to_one_conversation_the_best_is_paired_with_the_worst(
    told: Told, higher: bool, better: str, worse: str
) -> None:
    for text, value in (("no", 3.0), ("yes", 5.0), ("maybe", 1.0)):
        # The same conversation, however it was written down, and whatever else was asked for.
        told.feedback(told.answer(asked("sure?", seed=int(value)), text), value)
    changed = told.answer(asked("sure?"), "changed")
    told.feedback(changed, 9.0)
    told.feedback(changed, 4.0)  # what is told later counts
    told.feedback(told.answer(asked("sure?", tools=[TOOL]), "with tools"), 7.0)  # another conversation
    theirs = f"{told.tenant} theirs"
    told.feedback(told.answer(asked("sure?"), "theirs", tenant=theirs), 8.0, tenant=theirs)
    rows, _ = told.export("dpo", metric="thumbs_up", higher_is_better=higher, tenant=None)
    (row,) = [row for row in rows if row["lineage"]["tenant"] == told.tenant]
    _, left = told.export("dpo", metric="thumbs_up", higher_is_better=higher)
    assert [better, worse] == [row[name][0]["content"] for name in ("preferred_output", "non_preferred_output")]
    assert {"no other answer to compare with": 1} == left


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"kept": False}, "no content is kept"),
        ({"cut": 1}, "the prompt is cut"),
        ({"cut": 2}, "the answer is not whole"),
        ({"finish_reason": "length"}, "the answer is not whole"),
        ({"error": "answer_truncated"}, "the answer is not whole"),
        ({"finish_reason": "tool_calls"}, "the answer calls tools"),
        ({"operation": "/v1/embeddings"}, "no conversation"),
        ({"prompt": "{"}, "unreadable prompt"),
        ({"prompt": {"model": "chat", "messages": []}}, "unreadable prompt"),
        ({"prompt": asked("x", n=2)}, "several answers to one prompt"),
        ({"answer": " "}, "the answer has no text"),
    ],
)
def test_what_would_teach_something_else_is_left_out_and_counted(told: Told, changes: dict[str, Any], why: str) -> None:
    record_id = told.answer(**{"prompt": asked("x"), "answer": "a", **changes})
    told.feedback(record_id, 0.0, "b")
    assert ([], {why: 1}) == told.export("dpo")


@pytest.mark.parametrize(
    "wanted", [{"model": "other"}, {"tenant": "bank"}, {"until_ms": NOW_MS}, {"since_ms": NOW_MS + 1}]
)
def test_only_what_is_wanted(told: Told, wanted: dict[str, Any]) -> None:
    told.feedback(told.answer(asked("x"), "a"), 0.0, "b")
    assert 1 == len(told.export("sft", model="chat", since_ms=NOW_MS)[0])
    assert [] == told.export("sft", **wanted)[0]


def test_every_format_is_the_same_conversation() -> None:
    said = [{"role": "system", "content": "be short"}, {"role": "user", "content": "hello"}]
    chat = conversation_of(CHAT, json.dumps({"model": "m", "messages": said}))
    message = {"model": "m", "max_tokens": 9, "system": "be short", "messages": [{"role": "user", "content": "hello"}]}
    response = {"model": "m", "instructions": "be short", "input": "hello"}
    assert chat == conversation_of("/v1/messages", json.dumps(message))
    assert chat == conversation_of("/v1/responses", json.dumps(response))
    prompt = conversation_of("/v1/completions", json.dumps({"model": "m", "prompt": "hello"}))
    assert [said[1]] == prompt.messages


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("/v1/responses", {"model": "m", "input": "and?", "previous_response_id": "resp_1"}),
        ("/v1/messages", {"model": "m", "max_tokens": 9}),
        ("/v1/completions", {"model": "m", "prompt": [1, 2]}),
        (CHAT, [1]),
    ],
)
def test_a_conversation_that_is_not_whole_is_none(operation: str, body: Any) -> None:
    with pytest.raises(NoConversation):
        conversation_of(operation, json.dumps(body))


def test_the_command_writes_lines_and_says_what_it_left_out(told: Told, tmp_path: Path) -> None:
    told.feedback(told.answer(asked("x"), "a"), 0.0, "b")
    told.feedback(told.answer(asked("x"), "", kept=False), 0.0, "b")
    out = tmp_path / "sft.jsonl"
    words = ["feedback", "export", "--format", "sft", str(out), "--store", told.url, "--since", "2026-01-01"]
    words += ["--tenant", told.tenant]
    result = CliRunner().invoke(app, [*words, "--no-lineage"])
    assert (0, "1 example\n1 left out: no content is kept\n") == (result.exit_code, result.stderr)
    assert [{"messages": [*asked("x")["messages"], {"role": "assistant", "content": "b"}]}] == [
        json.loads(line) for line in out.read_text().splitlines()
    ]
    wrong = CliRunner().invoke(app, ["feedback", "export", "--format", "sft", "--metric", "edits"])
    assert (2, "--metric pairs answers, which is of --format dpo\n") == (wrong.exit_code, wrong.stderr)


def test_an_export_that_nobody_reads_on_ends_without_a_word(told: Told) -> None:
    for _ in range(2):
        told.feedback(told.answer(asked("x"), "a"), 0.0, "b" * 20_000)  # more than a buffer holds
    words = ["feedback", "export", "--format", "sft", "--store", told.url, "--since", "2026-01-01"]
    unread, output = os.pipe()
    os.close(unread)  # what `| head` does when it has enough
    try:
        argv = [sys.executable, "-m", "gateway", *words]
        ended = subprocess.run(argv, stdout=output, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(output)
    assert (ended.returncode, ended.stderr) == (1, "")


def test_the_direction_of_a_metric_is_the_configurations(told: Told, tmp_path: Path) -> None:
    for text, value in (("much", 9.0), ("little", 1.0)):
        told.feedback(told.answer(asked("x"), text), value, metric="edits")
    config = tmp_path / "penstock.yaml"
    config.write_text(
        "engines: {e: {kind: simulator}}\nmodels: {chat: {targets: [{engine: e}]}}\n"
        "feedback: {metrics: {edits: {type: number, better: lower}}}\n"
    )
    words = ["feedback", "export", "--format", "dpo", "--store", told.url, "--since", "2026-01-01", "-c", str(config)]
    words += ["--tenant", told.tenant]
    found = CliRunner().invoke(app, [*words, "--metric", "edits"])
    assert "little" == json.loads(found.stdout)["preferred_output"][0]["content"]
    missing = CliRunner().invoke(app, [*words, "--metric", "stars"])
    assert 2 == missing.exit_code
    assert "declares no metric 'stars'" in missing.stderr
