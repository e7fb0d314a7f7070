"""What the control plane tells the store of evaluators, and what it hears of what they found."""

from __future__ import annotations

import msgspec

from gateway.store.evaluations.evaluator import Evaluator
from gateway.store.feedback.messages import FeedbackGiven


class UseEvaluators(msgspec.Struct, tag="use_evaluators"):
    """These are all there are, from now on."""

    evaluators: list[Evaluator]


class EvaluatorFinding(msgspec.Struct):
    """What was found of one answer, or why nothing was."""

    source: str
    """`judge` or `comparison`."""
    metric: str
    value: float | None
    told: FeedbackGiven
    """Of which record, and whose it was in an experiment."""
    label: str = ""
    error: str = ""
