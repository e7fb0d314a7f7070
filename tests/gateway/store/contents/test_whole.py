"""From a client's request to an export, through a gateway with its writer, which is killed in between."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.app import app
from gateway.store.database.opening import engine_of
from gateway.store.database.schema import answer_marks
from routing.drift.texts import names_of
from tests.gateway.store.chaos import Gateway, running
from tests.gateway.store.contents.contents import HOOKS

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

COUNT = 60


def exported(gateway: Gateway, *words: str) -> list[dict[str, object]]:
    found = CliRunner().invoke(app, ["records", "export", "--store", gateway.url, *words])
    assert found.exit_code == 0, found.output
    return [json.loads(line) for line in found.stdout.splitlines()]


async def test_content_is_kept_where_a_model_says_so_and_shown_only_when_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[4]))  # where the writer finds the hook
    gateway = Gateway(tmp_path)
    target = {"targets": [{"engine": "e", "model": "up"}]}
    gateway.changes = {"models": {"m": {**target, "records": {"content": True, "redact": f"{HOOKS}:hide_addresses"}}}}
    async with running(gateway):

        def kill(answered: int) -> None:
            if answered == COUNT // 2:
                os.kill(gateway.writer_pid, signal.SIGKILL)

        await gateway.ask(COUNT, meanwhile=kill)
        async with asyncio.timeout(60):  # until another writer has come
            while sum(one["prompt"] is not None for one in exported(gateway, "--content")) < COUNT:
                await asyncio.sleep(0.05)
        gateway.changes = {"models": {"m": target}}
        gateway.configure()
        gateway.reload()
    assert len(gateway.answered) == COUNT
    plain = exported(gateway)
    assert (len(plain), "prompt" in plain[0]) == (COUNT, False)
    kept = exported(gateway, "--content")
    assert {(one["record_id"], one["answer"], one["cut"]) for one in kept} == {
        (record, "yes", "") for record in gateway.answered
    }
    assert {json.loads(str(one["prompt"]))["messages"][0]["content"] for one in kept} == {"hello"}
    assert {len(str(one["bundle"])) for one in kept} == {12}


async def test_content_is_not_kept_unless_a_model_says_so(tmp_path: Path) -> None:
    async with running(Gateway(tmp_path)) as gateway:
        await gateway.ask(10)
    assert [one["prompt"] for one in exported(gateway, "--content")] == [None] * 10


async def test_a_sample_of_answers_leaves_marks_and_no_word(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    target = {"targets": [{"engine": "e", "model": "up"}]}
    gateway.changes = {"models": {"m": {**target, "records": {"text_share": 1.0}}}}
    async with running(gateway):
        await gateway.ask(10)
    assert [one["prompt"] for one in exported(gateway, "--content")] == [None] * 10
    engine = engine_of(gateway.url, reading=True)
    with engine.connect() as connection:
        marks = connection.execute(answer_marks.select()).all()
    engine.dispose()
    assert marks  # one a second, of each worker
    assert {row.id.hex() for row in marks} <= set(gateway.answered)
    assert {tuple(names_of(row.marks)) for row in marks} == {("texts",)}
