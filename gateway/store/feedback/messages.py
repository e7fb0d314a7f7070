"""What the control plane says to the store of feedback, and what the store answers."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

MOST_VALUE: Final = 1e30
"""Of a value, whatever its sign: sums of squares of such, and the fourth power of their mean, are numbers still."""


class GiveFeedback(msgspec.Struct, tag="give_feedback"):
    """Asks for `FeedbackGiven`: keep this of a request of this tenant. Of the two ids one is empty."""

    tenant: str
    key_id: str
    record_id: str
    request_id: str
    metric: str
    value: float
    """1 or 0 for a yes or no."""
    comment: str
    demonstration: str
    """What the answer should have been."""
    idempotency_key: str
    now_ms: int
    with_contents: dict[str, str]
    """The models that keep contents, with the hook that redacts them (`module:function`) or nothing: of others neither
    comment nor demonstration is kept."""
    worse: bool | None = None
    """Of a yes or no, whether it is the worse of the two; None of a number."""
    per_record: int = 100
    """So often a request may have some, at most."""
    models: list[str] = []
    """All that are configured, where some of them stand for many names."""
    again: bool = False
    """Whether it was unknown a moment ago: then only the newest records are looked through."""


class FeedbackGiven(msgspec.Struct, tag="feedback_given"):
    """What became of it."""

    problem: Literal["", "unknown", "ambiguous", "another", "no_contents", "full", "away"] = ""
    """`unknown`: the tenant has no such request; `ambiguous`: it has several; `another`: the idempotency key was used
    for something else; `no_contents`: its model keeps none; `full`: the request has as much as it may; `away`: the
    store cannot be used, `why` says why."""
    why: str = ""
    record_id: str = ""
    repeated: bool = False
    """Whether it was there already, by its idempotency key."""
    model: str = ""
    experiment: str = ""
    """The identity of the experiment that the request counted in; empty where it counted in none."""
    arm: str = ""
    unit: str = ""
    shares: str = ""
    """As they were at its assignment, with commas."""
    withheld: bool = False
    """Whether comment and demonstration were not kept, as its model's hook kept them back, or contents of so old a
    record are not kept any more; the value is."""
    response_id: str = ""
    trace_id: str = ""
