"""Over TLS, an answer waits here in clear and is handed over a slice at a time.

A TLS transport encrypts what it is given at once and takes it all: what waits for a slow reader would lie there twice,
above marks that count only one of the two (measured: 397 to 653 KiB for a client that may hold 256). So no more than a
slice is handed over before the one before it has left: the rest is here, where it is counted.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Protocol

SLICE_BYTES: Final = 16 * 1024
"""What one TLS record can hold (RFC 8446 section 5.1)."""


class Paused(Protocol):
    """Whoever writes."""

    def slow(self) -> None:
        """More waits than the mark allows."""

    def caught_up(self) -> None:
        """Nothing waits any more."""


class SlicedTransport(asyncio.Transport):
    """A transport over another, whose protocol passes `pause_writing` and `resume_writing` on as `full` and `empty`.

    This module stays interpreted: the base has a slot of its own, which a compiled class would not leave room for.
    """

    __slots__ = ("_closing", "_full", "_inner", "_mark_bytes", "_owner", "_slow", "_waiting", "_waiting_bytes")

    def __init__(self, inner: asyncio.Transport, owner: Paused) -> None:
        super().__init__()
        self._inner = inner
        self._owner = owner
        self._waiting: deque[bytes | memoryview] = deque()
        self._waiting_bytes = 0
        self._mark_bytes = 0
        self._slow = False
        self._full = False
        self._closing = False

    def full(self) -> None:
        """What was handed over last has not left."""
        self._full = True

    def empty(self) -> None:
        """It has."""
        self._full = False
        self._hand_over()
        if self._slow and not self._waiting:
            self._slow = False
            self._owner.caught_up()

    # -- asyncio.Transport ---------------------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing:
            return
        self._waiting.append(bytes(data) if isinstance(data, bytearray) else data)
        self._waiting_bytes += len(data)
        self._hand_over()
        if self._waiting_bytes > self._mark_bytes and not self._slow:
            self._slow = True
            self._owner.slow()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._mark_bytes = high or 0
        self._inner.set_write_buffer_limits(high=1, low=0)  # whatever waits there pauses us; 0 would before it does

    def get_write_buffer_size(self) -> int:
        return self._waiting_bytes + self._inner.get_write_buffer_size()

    def can_write_eof(self) -> bool:
        return False

    def is_closing(self) -> bool:
        return self._closing or self._inner.is_closing()

    def close(self) -> None:
        """Close when everything has been handed over."""
        if not self._closing:
            self._closing = True
            if not self._waiting:
                self._inner.close()

    def abort(self) -> None:
        self._closing = True
        self._waiting.clear()
        self._waiting_bytes = 0
        self._inner.abort()

    def pause_reading(self) -> None:
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        self._inner.resume_reading()

    # -- inside --------------------------------------------------------------------------------------------------------

    def _hand_over(self) -> None:
        waiting = self._waiting
        while waiting and not self._full:
            data = self._next_slice()
            self._waiting_bytes -= len(data)
            self._inner.write(data)
        if self._closing and not waiting and not self._inner.is_closing():
            self._inner.close()

    def _next_slice(self) -> bytes | memoryview:
        """At most `SLICE_BYTES`: a part of what waits first, or several of the small ones together."""
        waiting = self._waiting
        first = waiting.popleft()
        size = len(first)
        if size > SLICE_BYTES:
            view = memoryview(first)
            waiting.appendleft(view[SLICE_BYTES:])
            return view[:SLICE_BYTES]
        if not waiting or size + len(waiting[0]) > SLICE_BYTES:
            return first
        parts = [first]
        while waiting and size + len(waiting[0]) <= SLICE_BYTES:
            size += len(waiting[0])
            parts.append(waiting.popleft())
        return b"".join(parts)
