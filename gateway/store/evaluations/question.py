"""What a judge is asked, and what it says."""

from __future__ import annotations

import msgspec

from gateway.store.contents.content import ContentRecord
from gateway.store.evaluations.evaluator import Evaluator
from gateway.store.evaluations.pairing import Pair


class Judgement(msgspec.Struct):
    """What a judge says."""

    score: float
    label: str = ""
    explanation: str = ""


class Question(msgspec.Struct, frozen=True):
    """What a judge is to say something of."""

    evaluator: Evaluator
    asked: ContentRecord | Pair
    """As the hook has left it, which may have changed all but its id: it is for the judge alone."""
    tenant: str
    model: str
    """Those of the request."""
    redact: str = ""
    """The hook that has approved of the texts, and is to approve of what is said of them."""
