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
        self._flight.placing = None
        for attempt in self._attempts:
            self._take_back(attempt)

    def _written(self, attempt: Attempt, serving: Serving, prompt: Prompt) -> None:
        flight = self._flight
        if attempt.over:
            return
        outgoing = told(flight, prompt, attempt.upstream, attempt)
        if flight.settled:
            return
        self._attempts.remove(attempt)
        if not self._attempts:
            flight.placing = None
        if outgoing is None:
            self._take_back(attempt)
            return
        attempt.written_at(clock.monotonic())
        flight.dispatch(attempt, outgoing, serving, prompt)

    def _take_back(self, attempt: Attempt) -> None:
        attempt.abandon()
        attempt.forget()
        self._flight.attempts.remove(attempt)


def told(flight: Flight, prompt: Prompt, upstream: Upstream, placed: Attempt | None = None) -> Outgoing | None:
    """What is sent there; None where that cannot be said. Then the request has failed, but for a hedge, whose first
    may answer yet. `placed` is the attempt that it is for, where that is there already."""
    try:
        return prompt.outgoing(upstream)
    except Failure as failure:
        if all(one is placed or one.over for one in flight.attempts):
            flight.fail(failure)
        return None


def _while_placed(attempt: Attempt, writing: Generator[int, None, None]) -> Generator[int, None, None]:
    for elements in writing:
        yield elements
        if attempt.over:
            return
