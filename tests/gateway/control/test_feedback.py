"""Feedback of a request of an experiment is told to its gate, as of the arm it was assigned, and once."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from gateway.control.feedback import Feedback
from gateway.fleet.bundles import plans_of
from gateway.settings import load_settings
from gateway.store.feedback.messages import FeedbackGiven, GiveFeedback
from routing.gate.observation import Measured

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
GIVEN = GiveFeedback("", "", "aa", "", "edits", 3.0, "", "", "", 0, [])


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

    assert told is await Feedback(store, lambda: by_identity, observed).give(GIVEN)
    return [one._replace(experiment="") for one in found]


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


async def test_without_a_store_there_is_none() -> None:
    told = await Feedback(None, dict, lambda some: None).give(GIVEN)
    assert ("away", "`store.url` is off") == (told.problem, told.why)
