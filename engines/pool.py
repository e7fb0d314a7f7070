"""Keep-alive connections to one origin: O(1) to take, O(1) to give back, bounded, first come first served.

The most recently used connection is taken first, so a quiet pool shrinks: the others pass their idle deadline and
close. A call over the bound waits its turn in line, under its own connect deadline.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from engines.errors import ConnectFailed, NoConnectionFree, TotalTimeout
from engines.http1.call import Call, Carrier, CarrierHome
from engines.http1.deadlines import left_s
from engines.http1.dialing import Dialer, why_not
from engines.http1.origin import Origin
from engines.http1.secrecy import Secrets
from engines.model import Deadlines
from engines.port import Sink, Spawn

IDLE_S: Final = 30.0
"""Shorter than the keep-alive of common servers is impossible (uvicorn: 5 s), so a close may always cross our write;
the connection's replay rule covers that."""
CLOSED_AT_ONCE: Final = 64
"""How many connections are closed in one turn of the loop: about a millisecond's work."""


class Pool(CarrierHome):
    """The connections to one origin."""

    __slots__ = (
        "_dialer",
        "_idle",
        "_limit",
        "_loop",
        "_loop_time",
        "_open",
        "_spawn",
        "_waiting",
        "closing",
        "idle_s",
    )

    def __init__(
        self,
        origin: Origin,
        spawn: Spawn,
        *,
        limit: int = 10_000,
        idle_s: float = IDLE_S,
        dialer: Dialer | None = None,
    ) -> None:
        """`limit`: connections at most. `idle_s`: how long one is kept unused, in seconds."""
        self.idle_s = idle_s
        self.closing = False
        self._dialer = dialer or Dialer(origin)
        self._spawn = spawn
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._loop_time: Callable[[], float] = self._loop.time  # looked up once, which takes longer than the call
        self._idle: dict[Carrier, None] = {}  # ordered: the last is the most recently used
        self._open = 0  # connections that exist or are being made
        self._waiting: OrderedDict[Call, None] = OrderedDict()  # who gives up leaves in O(1)

    @property
    def origin(self) -> Origin:
        return self._dialer.origin

    @property
    def open_connections(self) -> int:
        """Connections that exist or are being made."""
        return self._open

    @property
    def idle_connections(self) -> int:
        return len(self._idle)

    @property
    def waiting_calls(self) -> int:
        """Calls in line for a connection."""
        return len(self._waiting)

    def send(self, head: bytes, body: bytes, deadlines: Deadlines, sink: Sink, secrets: Secrets | None = None) -> Call:
        """Send one request; see `engines.port.Engine.send` for the rules. `secrets` are kept out of its answer."""
        call = Call(head, body, deadlines, sink, self._loop_time(), secrets)
        if self._idle:
            connection, _ = self._idle.popitem()
            connection.send(call)
        else:
            self.send_fresh(call)
        return call

    def send_fresh(self, call: Call) -> None:
        """Send on a connection that was never used before."""
        if self._open < self._limit:
            self._open += 1
            self._spawn("connect", lambda: self._connect(call))
        else:
            self._waiting[call] = None
            bound = self._bound_s(call)
            self._loop.call_later(bound, self._give_up, call, bound)

    def release(self, line: Carrier) -> None:
        """Take back a connection that is open and free."""
        while self._waiting:
            call, _ = self._waiting.popitem(last=False)
            if not call.finished:
                line.reused = True
                line.idle_since = self._loop.time()
                line.send(call)
                return
        if self.closing:
            line.abort()
            return
        now = self._loop_time()
        line.keep_idle(now, now + self.idle_s)
        self._idle[line] = None

    def lost(self, line: Carrier) -> None:
        """Forget a connection that has closed. Called at most once per connection by its close, again by its loss."""
        self._idle.pop(line, None)
        if line.counted:
            line.counted = False
            self._one_less()

    def stale(self, idle_since: float) -> None:
        """Close the connections that have been idle since then or longer."""
        old = [line for line in self._idle if line.idle_since <= idle_since]
        for line in old:
            del self._idle[line]
        self._close_some(old)

    def close(self) -> None:
        """Close what is idle, some in each turn of the loop, and what is busy when its call ends."""
        self.closing = True
        idle, self._idle = list(self._idle), {}
        self._close_some(idle)

    def _close_some(self, lines: list[Carrier]) -> None:
        for line in lines[:CLOSED_AT_ONCE]:
            line.abort()
        if len(lines) > CLOSED_AT_ONCE:
            self._loop.call_soon(self._close_some, lines[CLOSED_AT_ONCE:])

    def _one_less(self) -> None:
        self._open -= 1
        while self._waiting and self._open < self._limit:
            call, _ = self._waiting.popitem(last=False)
            if not call.finished:
                self.send_fresh(call)

    def _give_up(self, call: Call, bound: float) -> None:
        if call.line is None and call in self._waiting:
            del self._waiting[call]  # an aborted one too: its place must not wait for a connection to come free
            if call.finished:
                return
            busy = f"all {self._limit} connections to the engine stayed busy for {bound:g} s"
            # A difference of two loop times is off by its last digits, the more the longer the machine has been up.
            theirs = call.deadlines.total_s is not None and bound < call.deadlines.connect_s - 1e-6
            call.fail(TotalTimeout(busy) if theirs else NoConnectionFree(busy))

    def _bound_s(self, call: Call) -> float:
        """How long the call may take to get its connection. Under `connect_s` it is the caller's whole time that
        bounds it: running out of that says nothing about the engine."""
        return left_s(call, self._loop.time(), call.deadlines.connect_s)

    def _out_of_time(self, call: Call) -> bool:
        """Whether it was the caller's whole time that bounded the wait; that says nothing about the engine."""
        total_s = call.deadlines.total_s
        return total_s is not None and self._bound_s(call) < 0.001  # a timer may fire within its millisecond

    async def _connect(self, call: Call) -> None:
        bound = self._bound_s(call)
        try:
            async with asyncio.timeout(bound):
                line = await self._dialer.dial(self)
        except BaseException as error:
            self._one_less()
            if isinstance(error, TimeoutError) and self._out_of_time(call):
                call.fail(TotalTimeout(f"no connection to the engine within {call.deadlines.total_s:g} s"))
            else:
                call.fail(why_not(error, bound))
            if not isinstance(error, (OSError, TimeoutError)):
                raise
            return
        line.counted = not line.closed
        if line.closed:
            self._one_less()
            call.fail(ConnectFailed("the engine closed the connection at once"))
        elif call.finished:
            # The client left while we connected; the connection is as good as new for the next one.
            self.release(line)
        else:
            line.send(call)
