"""What a worker tells the gate of the requests of experiments: in batches, and never in their way.

    a request has its arm        one append; the first since the last batch starts a timer
    it is over                   one more
    the timer rings              messages of all that, to the control plane

A worker without experiments has no timer. What a full link, or more than `MOST` of a batch, has no room for is dropped
and counted: the gate then knows less, and holds for longer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from gateway.errors import TABLE
from gateway.telemetry.metrics.families.experiments import OBSERVATIONS_LOST
from gateway.workers.messages import Observed
from routing.gate.observation import ATTEMPT_FAILED, ERROR, LENGTH_STOP, REFUSED, Assigned, Settled
from routing.outcome import Outcome

if TYPE_CHECKING:
    from gateway.flight import Flight
    from gateway.telemetry.metrics import Metrics
    from routing.experiment import Assignment

EVERY_S: Final = 0.05
"""Of the second within which the last worker must have acted on a rollback."""
MOST: Final = 16_384
"""In one batch of one worker: 300,000 a second."""
AT_ONCE: Final = 128
"""In one message: to encode it takes 50 us."""

OURS: Final = frozenset({"draining", "internal", "store_away", "control_plane_busy", "out_of_sockets"})
"""Failures of this gateway, whatever the arm."""
ARMS: Final = frozenset({"rate_limited", "engine_408"})
"""Failures told as the client's that are the arm's: nothing in the request brought them about."""
_REFUSALS: Final = frozenset({"content_filter", "refusal"})
_NO_FAILURE: Final = frozenset(
    {Outcome.ANSWERED, Outcome.REFUSED_FOR_GOOD, Outcome.CLIENT_GONE, Outcome.OUT_OF_TIME, Outcome.TOO_SLOW}
)
"""Ends of attempts that say nothing against whoever was asked."""


_make: Final = tuple.__new__
"""Makes a named tuple of its values: its own `__new__` is interpreted, and takes five times as long."""


class Observing:
    """See the module."""

    __slots__ = ("_assigned", "_every_s", "_loop", "_lost", "_most", "_settled", "_tell", "_timer")

    def __init__(
        self,
        tell: Callable[[Observed], bool],
        metrics: Metrics,
        *,
        every_s: float = EVERY_S,
        most: int = MOST,
    ) -> None:
        """`tell` sends a message and returns whether it went out."""
        self._tell = tell
        self._every_s = every_s
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._assigned: list[Assigned] = []
        self._settled: list[Settled] = []
        self._lost = 0
        metrics.watch_count(OBSERVATIONS_LOST, (), lambda: self._lost)

    def assigned(self, assignment: Assignment) -> None:
        """A request was given this, and is counted."""
        if len(self._assigned) >= self._most:
            self._lost += 1
            return
        told = assignment.experiment, assignment.at, assignment.unit, assignment.shares
        self._assigned.append(_make(Assigned, told))
        if self._timer is None:
            self._timer = self._loop.call_later(self._every_s, self.flush)

    def settled(
        self,
        flight: Flight,
        assignment: Assignment,
        ttft_s: float | None,
        tpot_s: float | None,
        cost_usd: float | None,
    ) -> None:
        """A request that was given this is over. `ttft_s` from its first dispatch on, whoever answered."""
        if len(self._settled) >= self._most:
            self._lost += 1
            return
        attempt = flight.attempt
        kind, flags, in_flight = flight.error_kind, 0, 0
        if kind and is_arms_fault(kind):
            flags = ERROR | (ATTEMPT_FAILED if flight.attempts else 0)
        for each in flight.attempts:
            if each.stands_in or (each.outcome is not None and each.outcome not in _NO_FAILURE):
                flags |= ATTEMPT_FAILED
        if attempt is not None:
            in_flight = attempt.in_flight
            if attempt.finish_reason in _REFUSALS:
                flags |= REFUSED
            elif attempt.finish_reason == "length":
                flags |= LENGTH_STOP
        duration_s = None if kind else flight.finished_s - flight.received_s
        told = (
            assignment.experiment,
            assignment.at,
            assignment.unit,
            assignment.shares,
            flight.record_id.decode(),
            flags,
            None if ttft_s is None else ttft_s * 1e3,
            None if tpot_s is None else tpot_s * 1e3,
            None if duration_s is None else duration_s * 1e3,
            cost_usd,
            in_flight,
        )
        self._settled.append(_make(Settled, told))
        if self._timer is None:
            self._timer = self._loop.call_later(self._every_s, self.flush)

    def unserved(self, assignment: Assignment, record_id: bytes) -> None:
        """A request was given this, and the arm could serve it by nobody: an error that was never sent to a replica."""
        self.assigned(assignment)
        if len(self._settled) >= self._most:
            self._lost += 1
            return
        at, unit, shares = assignment.at, assignment.unit, assignment.shares
        self._settled.append(Settled(assignment.experiment, at, unit, shares, record_id.decode(), ERROR))

    def flush(self) -> None:
        """Tell all of it now."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        assigned, self._assigned = self._assigned, []
        settled, self._settled = self._settled, []
        for start in range(0, max(len(assigned), len(settled)), AT_ONCE):
            message = Observed(assigned[start : start + AT_ONCE], settled[start : start + AT_ONCE])
            if not self._tell(message):
                self._lost += len(message.assigned) + len(message.settled)


def is_arms_fault(kind: str) -> bool:
    """Whether a failure of this kind (`gateway.errors`) is an error of the arm's: never the client's own mistake, its
    leaving, or our own end."""
    row = TABLE.get(kind)
    if row is not None:
        return row.status >= 500 and kind not in OURS
    return kind in ARMS or kind.startswith("engine_5")
