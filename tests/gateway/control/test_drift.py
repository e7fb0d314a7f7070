"""The gauges say what the store said last, and nothing of a signal that it has not enough data of."""

from __future__ import annotations

import json

import pytest

from gateway.control.drift import DriftGauges
from gateway.store.messages import AskRead, Read
from gateway.telemetry.metrics import Metrics

pytestmark = pytest.mark.anyio

SIGNALS = [
    {"signal": "ttft_ms", "state": "drift", "why": "", "value": 0.31, "evidence": None},
    {"signal": "errors", "state": "steady", "why": "", "value": 0.01, "evidence": 0.2},
    {"signal": "cost_usd", "state": "not enough data", "why": "not enough data: 3", "value": None, "evidence": None},
]
REPORT = {"data": [{"model": "chat", "arm": "", "route": "/v1/chat/completions", "signals": SIGNALS}]}


async def test_they_are_what_the_store_said_last() -> None:
    answers = [Read(json.dumps(REPORT).encode()), Read(away="gone fishing")]
    asked: list[AskRead] = []

    async def read(question: AskRead) -> Read:
        asked.append(question)
        return answers.pop(0)

    metrics = Metrics(("chat",))
    gauges = DriftGauges(read, metrics)
    for _ in range(2):  # while it is away, what it said stays
        await gauges.look()
        told = {
            (one.name, one.labels[-1]): one.value
            for one in metrics.others()[1]
            if one.name.startswith("penstock_drift")
        }
        assert {
            ("penstock_drift", "ttft_ms"): 1.0,
            ("penstock_drift", "errors"): 0.0,
            ("penstock_drift_distance", "ttft_ms"): 0.31,
            ("penstock_drift_distance", "errors"): 0.2,
        } == told
    assert ["drift", "drift"] == [question.what for question in asked]
