"""The second attempt of one request: when it is due, and what came of it. `routing.failing.hedging` decides.

armed ──first byte──> the time to it is learned
  └─ due ──> sent ──first byte of either──> won or lost: the other one is abandoned by the flight, its cost stays
       │      └─ no first byte of any ────> neither
       └─> withheld, with the reason
"""

from __future__ import annotations

import asyncio
import random
from functools import partial
from typing import TYPE_CHECKING, Protocol

from gateway import clock
from gateway.guarded import Fails, guarded
from routing.failing.hedging import Hedging, Withheld, second

if TYPE_CHECKING:
    from gateway.accounts.settlement import Settlement
    from gateway.attempt import Attempt
    from routing.facts import RequestFacts
    from routing.model import Endpoint
    from routing.route import ModelRoute


class Hedged(Fails, Protocol):
    """A request that may be sent twice: `gateway.flight.Flight`."""

    model: str
    facts: RequestFacts
    attempts: list[Attempt]

    def send(self, endpoint: Endpoint, now: float) -> None:
        """One more attempt."""


class Hedge:
    """See the module. Made at the first dispatch, dropped at the first byte."""

    __slots__ = ("_flight", "_hedging", "_rng", "_route", "_second", "_settlement", "_timer")

    def __init__(
        self,
        flight: Hedged,
        route: ModelRoute,
        hedging: Hedging,
        settlement: Settlement,
        loop: asyncio.AbstractEventLoop,
        rng: random.Random,
        now: float,
    ) -> None:
        self._flight = flight
        self._route = route
        self._hedging = hedging
        self._settlement = settlement
        self._rng = rng
        self._second: Attempt | None = None
        delay_s = hedging.delay_s(flight.facts.prompt_tokens, now)
        self._timer: asyncio.TimerHandle | None = None
        if delay_s is not None:
            self._timer = loop.call_later(delay_s, partial(guarded, flight, self._due))

    def _due(self) -> None:
        self._timer = None
        flight = self._flight
        attempts = flight.attempts
        if sum([not attempt.over for attempt in attempts]) != 1:
            return  # it has failed and waits to be sent again, which is a second attempt already
        now = clock.monotonic()
        tried = [attempt.upstream.endpoint for attempt in attempts]
        found = second(self._route, flight.facts, tried, now, self._rng)
        if isinstance(found, Withheld):
            self._settlement.hedge_withheld(flight.model, found.value)
            return
        sent = len(attempts)
        flight.send(found, now)
        if len(attempts) > sent:
            self._second = attempts[sent]

    def answered(self, winner: Attempt) -> None:
        """The first byte is here, of this attempt; the others run still."""
        self._stop()
        flight, hedge = self._flight, self._sent()
        now = winner.first_byte_s
        attempts = flight.attempts
        if len(attempts) == (1 if hedge is None else 2):  # else it failed once, which says nothing of slowness
            self._hedging.learn(flight.facts.prompt_tokens, now - attempts[0].dispatched_s, now)
        if hedge is None:
            return
        self._second = None
        self._settlement.hedged(flight.model, "won" if winner is hedge else "lost")
        for other in attempts:
            if other is not winner and not other.over:
                other.outrun(now)

    def end(self) -> None:
        """The request is over without a first byte."""
        self._stop()
        if self._sent() is not None:
            self._second = None
            self._settlement.hedged(self._flight.model, "neither")

    def _sent(self) -> Attempt | None:
        """The second attempt, unless what it would have sent was not written in time."""
        hedge = self._second
        return hedge if hedge is not None and hedge.dispatched_s else None

    def _stop(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
