"""What a worker tells the gate of the requests of experiments: in batches, and never in their way.

    a request has its arm        one append; the first since the last batch starts a timer
    it is over                   one more; or in the place of the other, where that has not left yet
    the timer rings              messages of all that, to the control plane

A worker without experiments has no timer. What a full link, or more than `MOST` of a batch, has no room for is dropped
and counted: the gate then knows less, and holds for longer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from gateway.accounts.settlement import UNTOLD
from gateway.errors import TABLE
from gateway.experiments.seen import Seen
from gateway.telemetry.metrics.families.experiments import OBSERVATIONS_LOST
from gateway.workers.exchange.messages import Observed
from routing.failing.outcome import Outcome
from routing.gate.observation import ATTEMPT_FAILED, ERROR, LENGTH_STOP, REFUSED, Completed, Observation, Settled

if TYPE_CHECKING:
    from gateway.flight import Flight
    from gateway.telemetry.metrics import Metrics
    from routing.experiments.experiment import Assignment

EVERY_S: Final = 0.1
"""Of the second within which the last worker must have acted on a rollback."""
MOST: Final = 32_768
"""In one batch of one worker: 300,000 a second."""
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

    __slots__ = ("_before", "_every_s", "_loop", "_lost", "_most", "_seen", "_tell", "_timer")

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
        self._before = 0
        """How many have left: the number of the first of `_seen`."""
        self._lost = 0
        metrics.watch_count(OBSERVATIONS_LOST, (), lambda: self._lost)

    def _take(self, one: Observation) -> int:
        """Returns its number, or `UNTOLD`."""
        at = len(self._seen)
        if at >= self._most:
            self._lost += 1
            return UNTOLD
        self._seen.append(one)
        if self._timer is None:
            self._timer = self._loop.call_later(self._every_s, self.flush)
        return self._before + at

    def assigned(self, assignment: Assignment) -> int:
        """A request was given this, and is counted; returns what `settled` is to be told with it."""
        return self._take(assignment.told)

    def settled(
        self,
        flight: Flight,
        assignment: Assignment,
        record_id: str,
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
        experiment, arm = assignment.experiment, assignment.at
        unit, shares = assignment.unit, assignment.shares
        ttft_ms = None if ttft_s is None else ttft_s * 1e3
        tpot_ms = None if tpot_s is None else tpot_s * 1e3
        duration_ms = None if kind else (flight.finished_s - flight.received_s) * 1e3
        seen, at = self._seen, flight.observed - self._before
        if 0 <= at < len(seen) and seen[at] is assignment.told:
            seen[at] = Completed(
                experiment, arm, unit, shares, record_id, flags, ttft_ms, tpot_ms, duration_ms, cost_usd, in_flight
            )
            return
        self._take(
            Settled(experiment, arm, unit, shares, record_id, flags, ttft_ms, tpot_ms, duration_ms, cost_usd, in_flight)
        )

    def unserved(self, assignment: Assignment, record_id: bytes) -> None:
        """A request was given this, and the arm could serve it by nobody: an error that was never sent to a replica."""
        at, unit, shares = assignment.at, assignment.unit, assignment.shares
        self._take(Completed(assignment.experiment, at, unit, shares, record_id.decode(), ERROR))

    def flush(self) -> None:
        """Tell all of it now."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        seen, self._seen = self._seen, []
        self._before += len(seen)
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
