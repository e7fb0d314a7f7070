"""What a worker tells the gate of one request: whose it was, and what became of it.

Events, never sums: the unit of an experiment meets several workers, and only where all of them are seen can it be
counted once. Tuples, because they travel by the thousand as plain arrays.

A request of an experiment is told of twice: `Assigned` at the moment it has its arm, `Settled` when it is over, however
it ended. What is learned later (feedback, a judge) is a `Measured`. Not told of at all: a pinned request, one without
the header or field that would name its unit (its exposure is counted as lost), and one outside the experiment's range.
"""

from __future__ import annotations

from typing import Final, NamedTuple

ERROR: Final = 1
"""It failed by the arm's fault: an engine's error, a cut stream, a timeout, no replica. Never by the client's own 4xx,
nor because the client left."""
ATTEMPT_FAILED: Final = 2
"""At least one attempt on the arm's targets failed, whether or not another mended it."""
REFUSED: Final = 4
"""The model declined to answer."""
LENGTH_STOP: Final = 8
"""The answer was cut off at its token limit."""


class Assigned(NamedTuple):
    """A request has its arm, and keeps it whatever becomes of it."""

    experiment: str
    """The experiment's identity (model, salt and bundles of the arms), not its model alone."""
    arm: int
    """The position in the experiment's list of arms; 0 is the control."""
    unit: int
    """`routing.assignment.unit_hash`; where each request is a unit of its own, any 64 bits that no other has."""
    shares: tuple[float, ...]
    """Of each arm, in the order of the experiment, at this assignment."""


class Settled(NamedTuple):
    """A request is over."""

    experiment: str
    arm: int
    unit: int
    shares: tuple[float, ...]
    """As at its assignment."""
    record_id: str
    flags: int
    """`ERROR`, `ATTEMPT_FAILED`, `REFUSED`, `LENGTH_STOP`, added up."""
    ttft_ms: float | None = None
    """None where there was no such thing: a failure before the first byte, a client that left."""
    tpot_ms: float | None = None
    duration_ms: float | None = None
    """From the arrival to the last byte of a whole answer; None for all that did not get that far."""
    cost_usd: float | None = None
    in_flight: float = 0.0
    """What the replica that answered had in flight at the dispatch, this request included; 0 where none was sent to."""


class Measured(NamedTuple):
    """A custom metric of a request, told of any time later; it belongs to the arm of the assignment."""

    experiment: str
    arm: int
    unit: int
    shares: tuple[float, ...]
    record_id: str
    metric: str
    value: float
    """1 or 0 for a yes or no."""


Observation = Assigned | Settled | Measured
