"""What is done with a request before an endpoint is chosen, where its route asks for it: its body is changed, and it is
read, so that it is known who can take what it asks for.

What is large is read in turns of the loop, so that nobody waits for it: see `engines.wire.bulk`.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from gateway.guarded import guarded
from gateway.transforms import transformed
from routing.choosing.capabilities import Takes

if TYPE_CHECKING:
    from gateway.body.prompt import Prompt
    from gateway.errors import Failure
    from gateway.fleet.snapshot import Serving
    from routing.facts import RequestFacts

AT_ONCE_BYTES: Final = 16 * 1024
"""A body of less is read at once: it has 500 messages at most."""
AT_ONCE_ELEMENTS: Final = 256
"""Read of a larger one in one turn: a millisecond."""


class Prepared(Protocol):
    """The request: `gateway.flight.Flight`."""

    facts: RequestFacts
    preparing: bool
    settled: bool

    def begin(self) -> None: ...

    def fail(self, failure: Failure) -> None: ...


def prepared(flight: Prepared, serving: Serving, prompt: Prompt | None, loop: asyncio.AbstractEventLoop) -> bool:
    """Whether it may go on at once. Else it was refused, or `begin` is called again when it is read, with `preparing`
    set."""
    assert prompt is not None
    if len(prompt.body) <= AT_ONCE_BYTES:
        return _changed(flight, serving, prompt)
    if not serving.request_transforms and not _must_read(flight, serving):
        return True
    flight.preparing = True
    loop.call_soon(guarded, flight, partial(_change, flight, serving, prompt, loop))
    return False


def _changed(flight: Prepared, serving: Serving, prompt: Prompt) -> bool:
    """Let the route's features change it; False where one of them refuses it."""
    if not serving.request_transforms:
        return True
    refused = transformed(prompt, flight.facts, serving.request_transforms)
    if refused is not None:
        flight.fail(refused)
    return refused is None


def _must_read(flight: Prepared, serving: Serving) -> bool:
    """Whether somebody wants to know what it asks for."""
    return any(one.concerns(flight.facts) for one in serving.route.filters if isinstance(one, Takes))


def _change(flight: Prepared, serving: Serving, prompt: Prompt, loop: asyncio.AbstractEventLoop) -> None:
    """The first turn of a large one."""
    if flight.settled:  # its client has left
        return
    if _changed(flight, serving, prompt):
        read = not _must_read(flight, serving)
        loop.call_soon(guarded, flight, partial(_read_on, flight, prompt, loop, read))


def _read_on(flight: Prepared, prompt: Prompt, loop: asyncio.AbstractEventLoop, read: bool = False) -> None:
    """One turn. It begins in one of its own, once it is `read`: its engine's request is written then."""
    if flight.settled:
        return
    if read:
        flight.begin()
        return
    read = prompt.understand(AT_ONCE_ELEMENTS)
    loop.call_soon(guarded, flight, partial(_read_on, flight, prompt, loop, read))
