"""Feedback of a request of an experiment is told to its gate, as of the arm it was assigned, and once."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from gateway.control.feedback import Feedback
from gateway.fleet.bundles import plans_of
from gateway.settings import load_settings
from gateway.store.evaluations.messages import EvaluatorFinding
from gateway.store.feedback.messages import FeedbackGiven, GiveFeedback
from gateway.telemetry.evaluations import Evaluation
from gateway.telemetry.exposition import render
from gateway.telemetry.metrics import Metrics
from routing.gate.observation import Measured
from tests.routing.gate.traffic import changed

pytestmark = pytest.mark.anyio

SETTINGS = {
    "engines": {"e": {"kind": "simulator"}},
    "models": {
        "chat": {
            "targets": [{"engine": "e"}],
            "experiment": {"salt": "s", "arms": {"control": {"weight": 95}, "canary": {"weight": 5}}},
        }
    },
}
GIVEN = GiveFeedback("", "", "aa", "", "edits", 3.0, "", "", "", 0, {})


async def nowhere(given: GiveFeedback) -> FeedbackGiven:
    return FeedbackGiven("unknown")


async def heard(told: FeedbackGiven) -> list[Measured]:
    plans = plans_of(load_settings(json.dumps(SETTINGS), {}).settings)
    by_identity = {plan.identity: plan for plan in plans.values()}
    (identity,) = by_identity
    told.experiment = told.experiment and identity
    found: list[Measured] = []

    async def store(_: GiveFeedback) -> FeedbackGiven:
        return told

    def observed(some: Iterable[Measured]) -> None:
        found.extend(some)

    assert told is await Feedback(store, lambda: by_identity, observed, Metrics(())).give(GIVEN)
    return [changed(one, experiment="") for one in found]


async def test_a_gate_hears_of_it_as_of_the_assignment() -> None:
    told = FeedbackGiven(record_id="aa", experiment="e1", arm="canary", unit="00000000000000ff", shares="0.95,0.05")
    assert [Measured("", 1, 255, (0.95, 0.05), "aa", "edits", 3.0)] == await heard(told)


@pytest.mark.parametrize(
    "told",
    [
        FeedbackGiven("unknown"),
        FeedbackGiven(record_id="aa"),
        FeedbackGiven(record_id="aa", experiment="e1", arm="canary", unit="ff", shares="0.9,0.1", repeated=True),
        FeedbackGiven(record_id="aa", experiment="e1", arm="gone", unit="ff", shares="0.9,0.1"),
        FeedbackGiven(record_id="aa", experiment="e1", arm="canary"),
    ],
)
async def test_of_nothing_else(told: FeedbackGiven) -> None:
    assert [] == await heard(told)


async def test_what_an_evaluator_has_found_is_heard_as_what_an_application_told() -> None:
    plans = plans_of(load_settings(json.dumps(SETTINGS), {}).settings)
    (plan,) = plans.values()
    found: list[Measured] = []
    sent: list[Evaluation] = []

    class Sent:
        def send(self, evaluation: Evaluation) -> None:
            sent.append(evaluation)

    def observed(some: Iterable[Measured]) -> None:
        found.extend(some)

    feedback = Feedback(None, lambda: {plan.identity: plan}, observed, Metrics(()), evaluations=Sent())
    told = FeedbackGiven(
        record_id="aa",
        model="chat",
        experiment=plan.identity,
        arm="canary",
        unit="ff",
        shares="0.95,0.05",
        trace_id="t",
    )
    copy = FeedbackGiven(record_id="bb", model="chat", arm="~shadow")
    feedback.evaluated(
        [
            EvaluatorFinding("judge", "helpful", 0.75, told, "good"),
            EvaluatorFinding("comparison", "rouge_l", 0.5, copy),
            EvaluatorFinding("judge", "helpful", None, told, error="timeout"),
        ]
    )
    assert found == [Measured(plan.identity, 1, 255, (0.95, 0.05), "aa", "helpful", 0.75)]
    assert sent == [
        Evaluation("helpful", 0.75, "judge", "aa", "good", trace_id="t", model="chat", arm="canary"),
        Evaluation("rouge_l", 0.5, "comparison", "bb", model="chat", arm="~shadow"),
        Evaluation("helpful", None, "judge", "aa", trace_id="t", model="chat", arm="canary", error="timeout"),
    ]


async def test_without_a_store_there_is_none() -> None:
    told = await Feedback(None, dict, lambda some: None, Metrics(())).give(GIVEN)
    assert ("away", "`store.url` is off") == (told.problem, told.why)


def counted(metrics: Metrics, result: str) -> float:
    named = f'penstock_feedback_total{{metric="edits",result="{result}"}} '
    (line,) = [line for line in render(metrics.snapshot()).decode().splitlines() if line.startswith(named)]
    return float(line.removeprefix(named))


class Collector:
    """Remembers evaluations."""

    def __init__(self) -> None:
        self.sent: list[Evaluation] = []

    def send(self, evaluation: Evaluation) -> None:
        self.sent.append(evaluation)


@pytest.mark.parametrize(
    ("told", "result", "sent"),
    [
        (FeedbackGiven(record_id="aa", model="chat", response_id="r1", trace_id="0f"), "kept", 1),
        (FeedbackGiven(record_id="aa", withheld=True), "withheld", 1),
        (FeedbackGiven(record_id="aa", repeated=True), "repeated", 0),
        (FeedbackGiven("full"), "full", 0),
    ],
)
async def test_what_is_kept_is_an_event_once_and_all_is_counted(told: FeedbackGiven, result: str, sent: int) -> None:
    async def store(_: GiveFeedback) -> FeedbackGiven:
        return told

    metrics, collector = Metrics(()), Collector()
    feedback = Feedback(store, dict, lambda some: None, metrics, evaluations=collector)
    feedback.use(load_settings(json.dumps({**SETTINGS, "feedback": {"metrics": {"edits": {}}}}), {}).settings)
    await feedback.give(GIVEN)
    assert 1.0 == counted(metrics, result)
    assert sent == len(collector.sent)
    for one in collector.sent:
        assert (told.record_id, 3.0, "true", told.response_id) == (one.record_id, one.value, one.label, one.response_id)


async def test_a_key_waits_for_its_own_minute_only() -> None:
    now = [0.0]
    metrics = Metrics(())
    feedback = Feedback(nowhere, dict, lambda some: None, metrics, now_s=lambda: now[0])
    assert [0.0, 0.0, 30.0] == [feedback.wait_s("a", "edits", 2) for _ in range(3)]
    assert 0.0 == feedback.wait_s("b", "edits", 2)
    now[0] = 30.0
    assert [0.0, 30.0] == [feedback.wait_s("a", "edits", 2) for _ in range(2)]
    assert 2.0 == counted(metrics, "limited")
