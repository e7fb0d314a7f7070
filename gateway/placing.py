"""An attempt has its place, and what it sends is written in turns before it leaves: a large body in a format that it
was not written in before the endpoint was chosen (`gateway.preparing`). So it is where a model has targets of three
formats in one tier, where a request comes out of the line when the fleet is another, and of a hedge.

Without its place others would come to the room that it was chosen for. Until it leaves it is no attempt that anybody
is told of: a client that leaves, another attempt that answers first, or what cannot be said in its format, take it
back.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from gateway import clock
from gateway.accounts.lost import give_up
from gateway.errors import Failure
from gateway.preparing import in_turns

if TYPE_CHECKING:
    from collections.abc import Generator

    from engines.port import Outgoing
    from gateway.attempt import Attempt
    from gateway.body.prompt import Prompt
    from gateway.fleet.snapshot import Serving, Upstream
    from gateway.flight import Flight


class Placing:
    """Of one flight; both let go of each other once nothing waits to be written."""

    __slots__ = ("_attempts", "_flight", "_loop")

    def __init__(self, flight: Flight, loop: asyncio.AbstractEventLoop) -> None:
        self._flight = flight
        self._loop = loop
        self._attempts: list[Attempt] = []

    def write(self, attempt: Attempt, serving: Serving, prompt: Prompt) -> None:
        """Send this one when what it sends is written, unless it has been taken back."""
        self._attempts.append(attempt)
        writing = _while_placed(attempt, prompt.write([attempt.upstream]))
        in_turns(self._flight, writing, self._loop, partial(self._written, attempt, serving, prompt))

    def withdraw(self) -> None:
        """Take back whatever has not left: it was no attempt."""
        flight = self._flight
        flight.placing = None
        for attempt in self._attempts:
            attempt.abandon()
            attempt.forget()
            flight.attempts.remove(attempt)

    def _written(self, attempt: Attempt, serving: Serving, prompt: Prompt) -> None:
        flight = self._flight
        if attempt.over:
            return
        outgoing = told(flight, prompt, attempt.upstream)
        if outgoing is None:
            return
        self._attempts.remove(attempt)
        if not self._attempts:
            flight.placing = None
        attempt.written_at(clock.monotonic())
        flight.dispatch(attempt, outgoing, serving, prompt)


def told(flight: Flight, prompt: Prompt, upstream: Upstream) -> Outgoing | None:
    """What is sent there; None where that cannot be said, and the request has failed."""
    try:
        return prompt.outgoing(upstream)
    except Failure as failure:
        give_up(flight, flight.attempts, None)  # the first of a hedge is still on its way
        flight.fail(failure)
        return None


def _while_placed(attempt: Attempt, writing: Generator[int, None, None]) -> Generator[int, None, None]:
    for elements in writing:
        yield elements
        if attempt.over:
            return
