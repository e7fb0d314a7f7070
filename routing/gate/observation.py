"""What a worker tells the gate of one request: whose it was, and what became of it.

Events, never sums: the unit of an experiment meets several workers, and only where all of them are seen can it be
counted once. Objects of compiled classes, because each is read a dozen times: a tuple with names takes ten times as
long to be read.

A request of an experiment is told of twice: `Assigned` at the moment it has its arm, `Settled` when it is over, however
it ended; or once, as `Completed`, where it was over before the first of these had left. What is learned later
(feedback, a judge) is a `Measured`. Not told of at all: a pinned request, one without
the header or field that would name its unit (its exposure is counted as lost), and one outside the experiment's range.
"""

from __future__ import annotations

from typing import Any, Final

from routing.experiments.assignment import Unit

ERROR: Final = 1
"""It failed by the arm's fault: an engine's error, a cut stream, a timeout, no replica. Never by the client's own 4xx,
nor because the client left."""
ATTEMPT_FAILED: Final = 2
"""At least one attempt on the arm's targets failed, whether or not another mended it."""
REFUSED: Final = 4
"""The model declined to answer."""
LENGTH_STOP: Final = 8
"""The answer was cut off at its token limit."""


class Observation:
    """Something that was seen of one request. Immutable."""

    __slots__ = ("arm", "experiment", "shares", "unit")

    def __init__(self, experiment: str, arm: int, unit: Unit, shares: tuple[float, ...]) -> None:
        self.experiment: Final = experiment
        """The experiment's identity (model, salt and bundles of the arms), not its model alone."""
        self.arm: Final = arm
        """The position in the experiment's list of arms; 0 is the control."""
        self.unit: Final = unit
        """`assignment.unit_hash`; where each request is a unit of its own, any 64 bits that no other has."""
        self.shares: Final = shares
        """Of each arm, in the order of the experiment, at the request's assignment."""

    def fields(self) -> tuple[Any, ...]:
        """As it was made."""
        return self.experiment, self.arm, self.unit, self.shares

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Observation) and type(self) is type(other) and self.fields() == other.fields()

    def __hash__(self) -> int:
        return hash(self.fields())

    def __repr__(self) -> str:
        return f"{type(self).__name__}{self.fields()!r}"


class Assigned(Observation):
    """A request has its arm, and keeps it whatever becomes of it."""

    __slots__ = ()


class Settled(Observation):
    """A request is over."""

    __slots__ = ("cost_usd", "duration_ms", "flags", "in_flight", "record_id", "tpot_ms", "ttft_ms")

    def __init__(
        self,
        experiment: str,
        arm: int,
        unit: Unit,
        shares: tuple[float, ...],
        record_id: str,
        flags: int,
        ttft_ms: float | None = None,
        tpot_ms: float | None = None,
        duration_ms: float | None = None,
        cost_usd: float | None = None,
        in_flight: float = 0.0,
    ) -> None:
        super().__init__(experiment, arm, unit, shares)
        self.record_id: Final = record_id
        self.flags: Final = flags
        """`ERROR`, `ATTEMPT_FAILED`, `REFUSED`, `LENGTH_STOP`, added up."""
        self.ttft_ms: Final = ttft_ms
        """None where there was no such thing: a failure before the first byte, a client that left."""
        self.tpot_ms: Final = tpot_ms
        self.duration_ms: Final = duration_ms
        """From the arrival to the last byte of a whole answer; None for all that did not get that far."""
        self.cost_usd: Final = cost_usd
        self.in_flight: Final = in_flight
        """What the replica that answered had in flight at the dispatch, this request included; 0 where none was sent
        to."""

    def fields(self) -> tuple[Any, ...]:
        last = self.ttft_ms, self.tpot_ms, self.duration_ms, self.cost_usd, self.in_flight
        return self.experiment, self.arm, self.unit, self.shares, self.record_id, self.flags, *last


class Completed(Settled):
    """A request had its arm, and is over: what its `Assigned` and its `Settled` would say."""

    __slots__ = ()


class Measured(Observation):
    """A custom metric of a request, told of any time later; it belongs to the arm of the assignment."""

    __slots__ = ("metric", "record_id", "value")

    def __init__(
        self,
        experiment: str,
        arm: int,
        unit: Unit,
        shares: tuple[float, ...],
        record_id: str,
        metric: str,
        value: float,
    ) -> None:
        """`value` is 1 or 0 for a yes or no."""
        super().__init__(experiment, arm, unit, shares)
        self.record_id: Final = record_id
        self.metric: Final = metric
        self.value: Final = value

    def fields(self) -> tuple[Any, ...]:
        return self.experiment, self.arm, self.unit, self.shares, self.record_id, self.metric, self.value
