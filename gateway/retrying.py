"""What comes after an attempt that failed before its first body byte: another, at once or after a pause, or none."""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import TYPE_CHECKING

from gateway import clock
from gateway.guarded import guarded
from gateway.refusing.absence import nobody_for
from gateway.refusing.refusal import last_failure, pass_error
from routing.failing import retry
from routing.failing.outcome import Outcome

if TYPE_CHECKING:
    from gateway.accounts.settlement import Settlement
    from gateway.attempt import Attempt
    from gateway.flight import Flight
    from routing.model import Endpoint
    from routing.route import ModelRoute


class Retrying:
    """Of one flight; both let go of each other once it is settled, or something of an answer has left."""

    __slots__ = ("_flight", "_loop", "_rng", "_route", "_settlement", "_timer", "state")

    def __init__(
        self, flight: Flight, settlement: Settlement, loop: asyncio.AbstractEventLoop, rng: random.Random
    ) -> None:
        self._flight = flight
        self._settlement = settlement
        self._loop = loop
        self._rng = rng
        self._route: ModelRoute | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.state: retry.RetryState | None = None
        """None before anything failed that may be tried elsewhere."""

    def stop(self) -> None:
        """Nobody waits for another attempt."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def failed(self, attempt: Attempt, route: ModelRoute) -> None:
        """The last attempt of now; `route` is that of its dispatch."""
        flight, outcome = self._flight, attempt.outcome
        assert outcome is not None
        if outcome is Outcome.ANSWERED:  # and no attempt elsewhere would be answered otherwise
            if flight.placing is not None:
                flight.placing.withdraw()  # before the answer says how many attempts there were
            flight.attempt = attempt
            pass_error(flight, attempt, outcome, self.state)
            return
        now, endpoint = clock.monotonic(), attempt.upstream.endpoint
        self._route = route
        if self.state is None:
            self.state = retry.RetryState(route, flight.facts, flight.facts.deadline_s)
        failed = retry.FailedAttempt(endpoint, outcome, attempt.retry_after_s())
        if len(flight.attempts) > 1 and any(not other.over for other in flight.attempts):
            self.state.note(failed, now)  # another one is still on its way
            return
        verdict = retry.next(self.state, failed, now, self._rng)
        if isinstance(verdict, retry.Wait):
            attempt.error_parts = None
            self._settlement.retried(endpoint.engine, outcome)
            if verdict.seconds > 0:
                self._timer = self._loop.call_later(verdict.seconds, partial(guarded, flight, self._again))
            else:
                self._again()
        elif attempt.error_parts is not None:
            pass_error(flight, attempt, outcome, self.state)
        else:
            flight.fail(last_failure(attempt, outcome, flight.sentence))

    def _again(self, at_once: bool = False) -> None:
        flight, state, route = self._flight, self.state, self._route
        self._timer = None
        if flight.settled or state is None or route is None or flight.attempt is None:
            return
        now = clock.monotonic()
        endpoint = state.choose(now, self._rng)
        if endpoint is None:
            flight.fail(nobody_for(route, flight.facts, now))
            return
        if at_once or flight.written(endpoint, partial(self._written, endpoint)):
            self._send(endpoint, now)

    def _written(self, endpoint: Endpoint) -> None:
        """What this one is sent is written, who was there before that."""
        now = clock.monotonic()
        if endpoint.state.available(now):
            self._send(endpoint, now)
        else:
            self._again(at_once=True)

    def _send(self, endpoint: Endpoint, now: float) -> None:
        flight = self._flight
        assert flight.attempt is not None
        before = flight.attempt.upstream.endpoint
        if endpoint.tier > before.tier:
            self._settlement.fell_back(flight.model, before.engine, endpoint.engine)
        flight.send(endpoint, now)
