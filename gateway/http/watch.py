"""The one deadline of a connection, which means what the state means that the connection is in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from engines.lazy_timer import NEVER, LazyTimer

if TYPE_CHECKING:
    from gateway.http.patience import Patience


class Watch:
    """Each method begins, or goes on with, the wait that it names; when one is over, `expired` is called."""

    __slots__ = ("_body_since_s", "_left_bytes", "_loop_time", "_patience", "_timer", "idle_since_s")

    def __init__(self, loop: asyncio.AbstractEventLoop, patience: Patience, expired: Callable[[], None]) -> None:
        self._loop_time: Callable[[], float] = loop.time
        self._patience = patience
        self._timer = LazyTimer(loop, expired)
        self._body_since_s = 0.0
        self._left_bytes = 0
        self.idle_since_s = 0.0
        """Loop time at which the last wait for a request began."""

    def off(self) -> None:
        """Work is in progress, which has bounds of its own."""
        self._timer.deadline = NEVER

    def close(self) -> None:
        """The connection is lost: let go of it."""
        self._timer.close()

    def idle(self) -> None:
        """For a request."""
        self.idle_since_s = now = self._loop_time()
        self._timer.set(now + self._patience.keep_alive_s)

    def head(self) -> None:
        """For the rest of a head."""
        self._timer.set(self._loop_time() + self._patience.head_s)

    def body(self, size: int, *, begins: bool) -> None:
        """For the rest of a body, of which this many bytes are in; `begins` starts the clock for its pace."""
        now = self._loop_time()
        if begins:
            self._body_since_s = now
        self._timer.set(self._patience.body_due_s(self._body_since_s, now, size))

    def unread(self, *, working: bool) -> None:
        """For a client to read what is left of an answer, which is in progress or whole."""
        self._left_bytes = -1
        self._timer.set(self._loop_time() + (self._patience.unread_s if working else self._patience.stalled_s))

    def closing(self, left_bytes: int) -> None:
        """For a client to read the last of what it is sent."""
        self._left_bytes = left_bytes
        self._timer.set(self._loop_time() + self._patience.stalled_s)

    def linger(self, left_bytes: int) -> None:
        """For a client to see why it was refused."""
        self._left_bytes = left_bytes
        self._timer.set(self._loop_time() + self._patience.linger_s)

    def still_reads(self, left_bytes: int, *, working: bool) -> bool:
        """Whether the client has taken something since the wait began: then it gets that time again."""
        before = self._left_bytes
        if left_bytes <= 0 or 0 <= before <= left_bytes:
            return False
        self.unread(working=working)
        self._left_bytes = left_bytes
        return True

    def later(self, seconds: float) -> None:
        """For this long."""
        self._timer.set(self._loop_time() + seconds)
