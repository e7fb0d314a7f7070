"""What is written in one turn of the loop leaves at its end, in order, and nothing waits for long."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import cast

from engines.outbox import MAX_WAITING, Outbox, outbox


class Loop:
    """A loop whose turn ends when a test says so."""

    def __init__(self) -> None:
        self.soon: list[Callable[[], object]] = []
        self.told: list[object] = []

    def call_exception_handler(self, context: dict[str, object]) -> None:
        self.told.append(context["exception"])

    def call_soon(self, callback: Callable[[], object]) -> None:
        self.soon.append(callback)

    def end_turn(self) -> None:
        soon, self.soon = self.soon, []
        for callback in soon:
            callback()


class Wire:
    """A transport that keeps what is written, with others' in one list."""

    def __init__(self, name: str, sent: list[tuple[str, bytes]]) -> None:
        self.name = name
        self.sent = sent
        self.closing = False
        self.error: Exception | None = None

    def abort(self) -> None:
        self.closing = True

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes) -> None:
        if self.error is not None:
            raise self.error
        self.sent.append((self.name, data))


def wires(*names: str) -> tuple[Loop, Outbox, list[tuple[str, bytes]], list[asyncio.Transport]]:
    loop, sent = Loop(), list[tuple[str, bytes]]()
    transports = [cast("asyncio.Transport", Wire(name, sent)) for name in names]
    return loop, outbox(cast("asyncio.AbstractEventLoop", loop)), sent, transports


def test_writes_leave_in_their_order_when_the_turn_ends_and_not_before() -> None:
    loop, box, sent, (a, b) = wires("a", "b")
    box.write(a, b"1")
    box.write(b, b"2")
    box.write(a, b"3")
    assert [] == sent
    assert 1 == len(loop.soon)
    loop.end_turn()
    assert [("a", b"1"), ("b", b"2"), ("a", b"3")] == sent
    box.write(b, b"4")
    loop.end_turn()
    assert ("b", b"4") == sent[-1]


def test_a_full_outbox_does_not_wait_for_the_turn() -> None:
    loop, box, sent, (a,) = wires("a")
    for number in range(MAX_WAITING):
        box.write(a, b"%d" % number)
    assert MAX_WAITING == len(sent)
    loop.end_turn()
    assert MAX_WAITING == len(sent)


def test_what_was_written_to_a_transport_that_closed_is_dropped_and_nothing_else() -> None:
    loop, box, sent, (a, b) = wires("a", "b")
    box.write(a, b"1")
    box.write(b, b"2")
    cast("Wire", a).closing = True
    loop.end_turn()
    assert [("b", b"2")] == sent


def test_a_write_that_raises_closes_its_own_transport_and_costs_no_other_anything() -> None:
    loop, box, sent, (a, b) = wires("a", "b")
    error = cast("Wire", a).error = RuntimeError("the handle is closed")
    box.write(a, b"1")
    box.write(b, b"2")
    loop.end_turn()
    assert ([("b", b"2")], True, [error]) == (sent, a.is_closing(), loop.told)


def test_a_flush_says_that_it_happened() -> None:
    loop, box, _, (a,) = wires("a")
    before = box.flushes
    box.write(a, b"1")
    assert before == box.flushes
    loop.end_turn()
    assert before != box.flushes


def test_a_loop_has_one_outbox_which_does_not_keep_it_alive() -> None:
    loop = Loop()
    assert outbox(cast("asyncio.AbstractEventLoop", loop)) is outbox(cast("asyncio.AbstractEventLoop", loop))
    assert outbox(cast("asyncio.AbstractEventLoop", Loop())) is not outbox(cast("asyncio.AbstractEventLoop", loop))
    gone = weakref.ref(loop)
    del loop
    gc.collect()
    assert gone() is None
