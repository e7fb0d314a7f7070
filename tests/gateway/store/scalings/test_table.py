"""Decisions about replicas are kept once, found by engine and time, and go with the records of their time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.store.__main__ import open_database
from gateway.store.database.opening import engine_of
from gateway.store.database.port import DatabaseAway
from gateway.store.database.rows import DAY_MS
from gateway.store.feedback.retention import Forgetting
from gateway.store.messages import State
from gateway.store.reports.asked import answer, wanted_scalings
from gateway.store.reports.requests import NotWanted
from gateway.store.scalings.keeping import kept
from gateway.store.scalings.messages import KeepScalings, ScalingsKept, StoredScaling
from gateway.store.scalings.table import keep
from tests.gateway.store.records import sqlite_url

NOW_S = 1_790_000_000.0
RUN, OTHER = "a" * 32, "b" * 32


@pytest.fixture
def url(url: str) -> str:
    open_database(url).close()
    return url


def one(number: int, ago_s: float, engine: str = "llama", had: int = 1) -> StoredScaling:
    return StoredScaling(number, int((NOW_S - ago_s) * 1000), engine, had, had + 1, "load", f"the sentence of {number}")


def told(url: str, **asked: str) -> list[dict[str, Any]]:
    document: list[dict[str, Any]] = json.loads(answer(url, wanted_scalings(asked, NOW_S)))["data"]
    return document


def test_what_is_told_twice_is_kept_once_and_the_newest_comes_first(url: str) -> None:
    keep(url, KeepScalings(RUN, [one(1, 60.0), one(2, 30.0)]))
    keep(url, KeepScalings(RUN, [one(1, 60.0), one(2, 30.0), one(3, 10.0)]))
    keep(url, KeepScalings(OTHER, [one(1, 20.0, had=4)]))
    assert [(row["had"], row["sentence"]) for row in told(url)] == [
        (1, "the sentence of 3"),
        (4, "the sentence of 1"),
        (1, "the sentence of 2"),
        (1, "the sentence of 1"),
    ]
    first = told(url)[0]
    assert first == {
        "at": "2026-09-21T14:13:10Z",
        "engine": "llama",
        "had": 1,
        "wanted": 2,
        "why": "load",
        "sentence": "the sentence of 3",
    }


def test_they_are_found_by_engine_and_by_time(url: str) -> None:
    keep(url, KeepScalings(RUN, [one(1, 7200.0), one(2, 1800.0, "qwen"), one(3, 10.0)]))
    assert [row["sentence"][-1] for row in told(url, since="1h")] == ["3", "2"]
    assert [row["sentence"][-1] for row in told(url, since="1h", engine="qwen")] == ["2"]
    assert [row["sentence"][-1] for row in told(url, since="3h", until="1h")] == ["1"]
    assert [row["sentence"][-1] for row in told(url, since="3h", limit="2")] == ["3", "2"]


@pytest.mark.parametrize("asked", [{"since": "yesterday"}, {"limit": "0"}, {"limit": "many"}, {"model": "chat"}])
def test_what_makes_no_sense_is_said(asked: dict[str, str]) -> None:
    with pytest.raises(NotWanted):
        wanted_scalings(asked, NOW_S)


def test_they_are_kept_for_as_long_as_records_are(url: str) -> None:
    keep(url, KeepScalings(RUN, [one(n, (n - 0.5) * 86_400) for n in range(1, 8)]))
    Forgetting(url, retention_days=3, content_retention_days=1, rows=2).forget(int(NOW_S * 1000))
    assert [row["sentence"][-1] for row in told(url, since="30d")] == ["1", "2", "3"]
    assert DAY_MS == 86_400_000


def test_a_store_that_no_gateway_of_this_version_has_used_has_none(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path)
    engine = engine_of(url)
    engine.connect().close()
    engine.dispose()
    assert told(url) == []


def test_a_database_that_cannot_be_written_keeps_none_of_them(tmp_path: Path) -> None:
    (tmp_path / "records.db").mkdir()
    with pytest.raises(DatabaseAway):
        keep(f"sqlite:///{tmp_path / 'records.db'}", KeepScalings(RUN, [one(1, 1.0)]))


@pytest.mark.anyio
async def test_why_they_are_not_kept_is_told(tmp_path: Path) -> None:
    async def away() -> State:
        return State(away="it is being moved")

    async def well() -> State:
        return State()

    (tmp_path / "records.db").mkdir()
    url = f"sqlite:///{tmp_path / 'records.db'}"
    assert await kept(away, url, KeepScalings(RUN, [])) == ScalingsKept("it is being moved")
    assert "unable to open" in (await kept(well, url, KeepScalings(RUN, [one(1, 1.0)]))).away
