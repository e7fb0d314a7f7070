"""Pairs of answers side by side: what is compared, what is left out, and in which bounds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.accounts.record import RequestRecord
from gateway.store.database.opening import engine_of
from gateway.store.database.port import Database
from gateway.store.evaluations.report import WantedPairs, pairs_report, sentences
from gateway.store.evaluations.table import Evaluation, EvaluationTable
from gateway.store.reports.asked import QUESTIONS, answer
from gateway.store.reports.requests import NotWanted
from tests.gateway.store.records import NOON_S, Made


def pair(made: Made, original: dict[str, Any], copy: dict[str, Any], at_s: float = NOON_S) -> list[RequestRecord]:
    first = made.one(at_s=at_s, stream=True, ttft_ms=20.0, tpot_ms=5.0, **original)
    told = {"arm": "~shadow", "key_id": "", "tenant": "", "bundle": "b1", "engine": "new", **copy}
    return [first, made.one(at_s=at_s, stream=True, shadow_of=first.record_id, **told)]


def report(url: str, model: str = "chat", **wanted: int) -> list[dict[str, Any]]:
    engine = engine_of(url, reading=True)
    try:
        with engine.connect() as connection:
            return pairs_report(connection, WantedPairs(model, **wanted))
    finally:
        engine.dispose()


def test_differences_are_within_pairs_and_have_bounds(database: Database, url: str) -> None:
    made = Made()
    records = []
    for number in range(200):
        size = 100.0 * (1 + number % 7)  # requests differ much more from each other than the two answers to one
        records += pair(
            made,
            {"duration_ms": size + 5, "overhead_ms": 1.0, "queue_ms": 4.0, "output_tokens": 10},
            {"duration_ms": size + 30 + number % 3, "ttft_ms": 20.0, "output_tokens": 10, "cost_usd": 0.000125},
        )
    database.insert([made.some(0)._replace(records=records)])
    (group,) = report(url)
    rows = {row["measure"]: row for row in group["measures"]}
    assert (group["pairs"], group["left"], group["bundle"], group["engine"]) == (200, 0, "b1", "new")
    assert list(rows) == ["errors", "length_stops", "ttft_ms", "duration_ms", "output_tokens", "cost_usd"]
    duration = rows["duration_ms"]
    assert duration["pairs"] == 200
    assert duration["difference"] == pytest.approx(30.995)
    assert duration["copy"] - duration["original"] == pytest.approx(30.995)
    assert 30.6 < duration["low"] < 30.995 < duration["high"] < 31.4
    assert (rows["ttft_ms"]["difference"], rows["ttft_ms"]["low"]) == (0.0, None)
    (said,) = sentences(group)
    assert said.startswith("duration_ms: the copy has more, by 31")


def test_failures_are_compared_and_what_was_broken_off_is_not(database: Database, url: str) -> None:
    made = Made()
    fine: dict[str, Any] = {}
    records = [
        *pair(made, fine, fine),
        *pair(made, fine, {"status": 500, "error": "engine_500"}),
        *pair(made, fine, {"status": 404, "error": "engine_404"}),
        *pair(made, fine, {"status": 200, "error": "answer_truncated"}),
        *pair(made, {"status": 400, "error": "engine_400"}, {"status": 400, "error": "engine_400"}),
        *pair(made, {"status": 499, "error": "client_gone"}, fine),
        *pair(made, fine, {"status": 499, "error": "draining"}),
    ]
    database.insert([made.some(0)._replace(records=records)])
    (group,) = report(url)
    rows = {row["measure"]: row for row in group["measures"]}
    assert (group["pairs"], group["left"]) == (4, 3)
    assert (rows["errors"]["original"], rows["errors"]["copy"]) == (0.0, 0.75)
    assert rows["output_tokens"]["pairs"] == 1


def test_each_bundle_has_a_group_with_its_scores_the_newest_first(database: Database, url: str) -> None:
    made = Made()
    old, new = pair(made, {}, {}), pair(made, {}, {"bundle": "b2"}, NOON_S + 60)
    other = made.one(model="other", shadow_of=old[0].record_id, arm="~shadow")
    database.insert([made.some(0)._replace(records=[*old, *new, other])])
    table = EvaluationTable(url)
    table.insert([Evaluation(old[1].record_id, "rouge_l", 1, 0.25), Evaluation(new[1].record_id, "rouge_l", 1, 0.5)])
    table.insert([Evaluation(new[1].record_id, "rouge_l", 2, 0.75)])
    table.close()
    groups = report(url)
    assert [(group["bundle"], group["pairs"], group["scores"][0]["mean"]) for group in groups] == [
        ("b2", 1, 0.75),
        ("b1", 1, 0.25),
    ]
    assert [group["bundle"] for group in report(url, until_ms=int((NOON_S + 30) * 1000))] == ["b1"]
    assert report(url, "nobody") == []
    asked = QUESTIONS["shadow"]({"model": "chat", "since": "2026-01-01"}, NOON_S)
    assert json.loads(answer(url, asked))["data"] == groups
    with pytest.raises(NotWanted, match="name the model"):
        QUESTIONS["shadow"]({}, NOON_S)


def test_a_score_that_an_older_version_took_and_no_mean_can_hold_is_left_out(database: Database, url: str) -> None:
    made = Made()
    pairs = [pair(made, {}, {}) for _ in range(3)]
    database.insert([made.some(0)._replace(records=[one for both in pairs for one in both])])
    table = EvaluationTable(url)
    values = (1.7e308, -1e30, 0.5)
    copies = [copy for _, copy in pairs]
    table.insert([Evaluation(one.record_id, "better", 1, value) for one, value in zip(copies, values, strict=True)])
    table.close()
    (group,) = report(url)
    (score,) = group["scores"]
    assert (score["pairs"], score["mean"]) == (2, -5e29)
    assert score["low"] < score["mean"] < score["high"]
