"""What is done with a request before an endpoint is chosen, where its route asks for it: its body is changed, and it is
read, so that it is known who can take what it asks for.

What is large is read in turns of the loop, so that nobody waits for it: see `engines.wire.bulk`. What an engine of
another format is sent is written then, too, though nobody has been chosen yet: the endpoints that may be are mostly
sent the same. Until it begins a request holds nothing but itself: whoever leaves meanwhile, or a drain that ends it,
leaves nothing.

Where the one that is chosen is sent something else, that is written in turns of its own: after an attempt that failed
before its place is taken (`written`), else when it is (`gateway.placing`), as others would take the room meanwhile.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from gateway import clock
from gateway.guarded import guarded
from gateway.transforms import transformed
from gateway.translating import AT_ONCE_ELEMENTS, MOST_WRITTEN
from routing.choosing.capabilities import Takes
from routing.choosing.filters import passed_over

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from gateway.body.prompt import Prompt
    from gateway.errors import Failure
    from gateway.fleet.snapshot import Serving, Upstream
    from routing.facts import RequestFacts

AT_ONCE_BYTES: Final = 16 * 1024
"""A body of less is read at once: it has 500 messages at most."""
LATER_BYTES: Final = 1024 * 1024
"""A body of more was read by a turn of tens of milliseconds: it is sent in another."""


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
    if not serving.request_transforms and not _must_read(flight.facts, serving):
        if len(prompt.body) <= LATER_BYTES:
            return True
        flight.preparing = True
        loop.call_soon(guarded, flight, partial(_begin, flight))
        return False
    flight.preparing = True
    loop.call_soon(guarded, flight, partial(_change, flight, serving, prompt, loop))
    return False


def must_write(prompt: Prompt, upstream: Upstream) -> bool:
    """Whether what this one is sent takes turns to write, and was not written."""
    return len(prompt.body) > AT_ONCE_BYTES and prompt.must_write(upstream)


def turns(facts: RequestFacts, serving: Serving, prompt: Prompt) -> Generator[None, None, None]:
    """Read and write what no client waits for, and is changed already: whenever this yields a turn should end. It has
    none for what is small."""
    if len(prompt.body) <= AT_ONCE_BYTES or not _must_read(facts, serving):
        return
    while not prompt.understand(AT_ONCE_ELEMENTS):
        yield
    yield
    yield from _in_turns(prompt.write(_likely(facts, serving)))


def turns_for(upstream: Upstream, prompt: Prompt) -> Generator[None, None, None]:
    """The same for this one."""
    yield from _in_turns(prompt.write([upstream]))


def _in_turns(writing: Generator[int, None, None]) -> Generator[None, None, None]:
    left = AT_ONCE_ELEMENTS
    for elements in writing:
        left -= elements
        if left <= 0:
            yield
            left = AT_ONCE_ELEMENTS
    yield


def _changed(flight: Prepared, serving: Serving, prompt: Prompt) -> bool:
    """Let the route's features change it; False where one of them refuses it."""
    if not serving.request_transforms:
        return True
    refused = transformed(prompt, flight.facts, serving.request_transforms)
    if refused is not None:
        flight.fail(refused)
    return refused is None


def _must_read(facts: RequestFacts, serving: Serving) -> bool:
    """Whether somebody wants to know what it asks for."""
    return any(one.concerns(facts) for one in serving.route.filters if isinstance(one, Takes))


def _change(flight: Prepared, serving: Serving, prompt: Prompt, loop: asyncio.AbstractEventLoop) -> None:
    """The first turn of a large one."""
    if flight.settled:  # its client has left
        return
    if not _changed(flight, serving, prompt):
        return
    if _must_read(flight.facts, serving):
        loop.call_soon(guarded, flight, partial(_read_on, flight, serving, prompt, loop))
    else:
        loop.call_soon(guarded, flight, partial(_begin, flight))


def _read_on(flight: Prepared, serving: Serving, prompt: Prompt, loop: asyncio.AbstractEventLoop) -> None:
    """One turn of reading."""
    if flight.settled:
        return
    if prompt.understand(AT_ONCE_ELEMENTS):
        writing = prompt.write(_likely(flight.facts, serving))
        in_turns(flight, writing, loop, flight.begin)
    else:
        loop.call_soon(guarded, flight, partial(_read_on, flight, serving, prompt, loop))


def written(
    flight: Prepared, prompt: Prompt, upstream: Upstream, loop: asyncio.AbstractEventLoop, then: Callable[[], None]
) -> bool:
    """Whether this endpoint may be sent a request that others were sent. Else what it is sent is written in turns, as
    its format is another than theirs, and `then` is called after them, unless the request is settled."""
    if not must_write(prompt, upstream):
        return True
    in_turns(flight, prompt.write([upstream]), loop, then)
    return False


def in_turns(
    flight: Prepared, writing: Generator[int, None, None], loop: asyncio.AbstractEventLoop, then: Callable[[], None]
) -> None:
    """Write from the next turn on, and call `then` in one of its own, unless the request is settled before that."""
    loop.call_soon(guarded, flight, partial(_write_on, flight, writing, loop, then))


def _write_on(
    flight: Prepared, writing: Generator[int, None, None], loop: asyncio.AbstractEventLoop, then: Callable[[], None]
) -> None:
    """One turn of writing. What comes then has one of its own."""
    if flight.settled:
        return
    elements = AT_ONCE_ELEMENTS
    try:
        while elements > 0:
            elements -= next(writing)
        loop.call_soon(guarded, flight, partial(_write_on, flight, writing, loop, then))
    except StopIteration:
        loop.call_soon(guarded, flight, partial(_then, flight, then))


def _then(flight: Prepared, then: Callable[[], None]) -> None:
    if not flight.settled:
        then()


def _begin(flight: Prepared) -> None:
    if not flight.settled:
        flight.begin()


def _likely(facts: RequestFacts, serving: Serving) -> list[Upstream]:
    """One of each target of the first tier in which anybody is there who takes what it asks for."""
    speakers = serving.route.speakers.get(facts.operation)
    now = clock.monotonic()
    over = passed_over(serving.route, facts, now)
    for pool in () if speakers is None else speakers.pools:
        targets = {(one.engine, one.model): one for one in pool if one.state.available(now) and one not in over}
        if targets:
            return [serving.upstreams[one] for one in targets.values()][:MOST_WRITTEN]
    return []
