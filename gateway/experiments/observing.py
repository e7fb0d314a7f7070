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
from gateway.experiments.seen import Seen
from gateway.telemetry.metrics.families.experiments import OBSERVATIONS_LOST
from gateway.workers.messages import Observed
from routing.failing.outcome import Outcome
from routing.gate.observation import ATTEMPT_FAILED, ERROR, LENGTH_STOP, REFUSED, Observation, Settled

if TYPE_CHECKING:
    from gateway.flight import Flight
    from gateway.telemetry.metrics import Metrics
    from routing.experiments.experiment import Assignment

EVERY_S: Final = 0.05
"""Of the second within which the last worker must have acted on a rollback."""
MOST: Final = 32_768
"""In one batch of one worker: 600,000 a second."""
AT_ONCE: Final = 256
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
_ANSWERED: Final = Outcome.ANSWERED


class Observing:
    """See the module."""

    __slots__ = ("_every_s", "_loop", "_lost", "_most", "_seen", "_tell", "_timer")

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
        self._seen: list[Observation] = []
        self._lost = 0
        metrics.watch_count(OBSERVATIONS_LOST, (), lambda: self._lost)

    def _take(self, one: Observation) -> None:
        if len(self._seen) >= self._most:
            self._lost += 1
            return
        self._seen.append(one)
        if self._timer is None:
            self._timer = self._loop.call_later(self._every_s, self.flush)

    def assigned(self, assignment: Assignment) -> None:
        """A request was given this, and is counted."""
        self._take(assignment.told)

    def settled(
        self,
        flight: Flight,
        assignment: Assignment,
        ttft_s: float | None,
        tpot_s: float | None,
        cost_usd: float | None,
    ) -> None:
        """A request that was given this is over. `ttft_s` from its first dispatch on, whoever answered."""
        attempt = flight.attempt
        kind, flags, in_flight = flight.error_kind, 0, 0.0
        if kind and is_arms_fault(kind):
            flags = ERROR | (ATTEMPT_FAILED if flight.attempts else 0)
        for each in flight.attempts:
            outcome = each.outcome
            if outcome is _ANSWERED and not each.stands_in:
                continue  # nearly all: to find it in the set calls what is not compiled
            if each.stands_in or (outcome is not None and outcome not in _NO_FAILURE):
                flags |= ATTEMPT_FAILED
        if attempt is not None:
            in_flight = float(attempt.in_flight)
            reason = attempt.finish_reason
            if reason == "stop":
                pass  # nearly all
            elif reason == "length":
                flags |= LENGTH_STOP
            elif reason in _REFUSALS:
                flags |= REFUSED
        duration_s = None if kind else flight.finished_s - flight.received_s
        self._take(
            Settled(
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
        )

    def unserved(self, assignment: Assignment, record_id: bytes) -> None:
        """A request was given this, and the arm could serve it by nobody: an error that was never sent to a replica."""
        self.assigned(assignment)
        at, unit, shares = assignment.at, assignment.unit, assignment.shares
        self._take(Settled(assignment.experiment, at, unit, shares, record_id.decode(), ERROR))

    def flush(self) -> None:
        """Tell all of it now."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        seen, self._seen = self._seen, []
        for start in range(0, len(seen), AT_ONCE):
            some = seen[start : start + AT_ONCE]
            if not self._tell(Observed(Seen(some))):
                self._lost += len(some)


def is_arms_fault(kind: str) -> bool:
    """Whether a failure of this kind (`gateway.errors`) is an error of the arm's: never the client's own mistake, its
    leaving, or our own end."""
    row = TABLE.get(kind)
    if row is not None:
        return row.status >= 500 and kind not in OURS
    return kind in ARMS or kind.startswith("engine_5")
