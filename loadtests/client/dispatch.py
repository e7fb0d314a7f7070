"""Sends requests when they are due, and never waits for an answer to do so.

Open loop: every arrival of the schedule is sent at its absolute time, or dropped and counted when too many are in
flight; late it may be, and its record then says so, but it is never left out or moved. Closed loop: a fixed number of
users, each with its next request when the last is over. In both, a conversation goes on after the user's pause, with
the answer it got. Whatever was due has exactly one record, handed to `sink`.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from time import monotonic_ns
from typing import NamedTuple

from loadtests.client.client import Client
from loadtests.client.pacer import pacer
from loadtests.client.record import Record
from loadtests.workloads.request import Request, Workload

AHEAD_BYTES = 64 * 1024 * 1024
"""Bodies made before the run, and kept ahead of it: 30,000 requests of 2 KiB."""
BURST = 8
"""Requests sent in one go when several are due; then answers get their turn, or a burst would delay their stamps."""
IDLE_NS = 2_000_000
"""Bodies are made during the run only while nothing is due for this long; making one takes 20 to 200 us."""

NO_CONNECTION_PAUSE_NS = 100_000_000
"""A user who could not connect waits this long, or a target that is down is asked thousands of times a second."""

Sink = Callable[[Record], None]


class Ahead:
    """The first turns of a run in order, made before they are due, as many as AHEAD_BYTES hold."""

    def __init__(self, workload: Workload, indexes: Iterator[int], ahead_bytes: int = AHEAD_BYTES) -> None:
        self._workload = workload
        self._indexes = indexes
        self._made: deque[Request] = deque()
        self._room_bytes = ahead_bytes

    def fill(self) -> None:
        """Make as many as there is room for."""
        while self.make_one():
            pass

    def make_one(self) -> bool:
        """Make one more; False when there is no room, or no more to make."""
        if self._room_bytes <= 0:
            return False
        index = next(self._indexes, None)
        if index is None:
            return False
        request = self._workload.request(index)
        self._room_bytes -= len(request.body)
        self._made.append(request)
        return True

    def next(self) -> Request:
        """The next one, made on the spot when none is ready. Raises StopIteration after the last."""
        if not self._made:
            return self._workload.request(next(self._indexes))
        request = self._made.popleft()
        self._room_bytes += len(request.body)
        return request


class Due(NamedTuple):
    """Something to send at a time; `request` None: a user's next first turn."""

    ti: int
    order: int
    request: Request | None


class Dispatcher:
    """What open and closed loop share: the alarm, the conversations, the count of what is in flight."""

    def __init__(
        self, client: Client, workload: Workload, ahead: Ahead, sink: Sink, *, end_ns: int, max_in_flight: int
    ) -> None:
        """`end_ns`: nothing is sent that is due at or after it."""
        self._client = client
        self._workload = workload
        self._ahead = ahead
        self._sink = sink
        self._end_ns = end_ns
        self._max_in_flight = max_in_flight
        self._later: list[Due] = []
        self._loop = asyncio.get_running_loop()
        self._pacer = pacer(self._loop, self._send_due)
        self._over = asyncio.Event()
        self._busy = False  # inside _send_due, which arms the alarm at its end
        self._making = False
        self._soon = False
        self._error: Exception | None = None
        self._order = 0
        self._conversing = workload.multi_turn
        self.in_flight = 0
        self.sent = 0
        self.drops = 0

    async def run(self) -> None:
        """Returns when everything due was sent and has its record. Raises what the workload or the sink raised."""
        try:
            self._send_due()
            await self._over.wait()
        finally:
            self._end_ns = 0
            self._pacer.close()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """Send nothing more; `run` returns when what is in flight is over. What was not due yet has no record."""
        self._end_ns = 0
        self._send_due()

    # -- the two loops differ in these -------------------------------------------------------------------------------

    def _next_ns(self) -> int | None:
        """When the next thing is due; None when there is nothing to wait for."""
        return self._later[0].ti if self._later else None

    def _take(self) -> Due:
        return heapq.heappop(self._later)

    def _ended(self, record: Record, next_turn: Request | None, now_ns: int) -> None:
        """A request is over. `next_turn`: what its conversation asks next."""
        raise NotImplementedError

    # ----------------------------------------------------------------------------------------------------------------

    def _put(self, ti: int, request: Request | None) -> None:
        """To be sent at `ti`, if that is before the end."""
        if ti >= self._end_ns:
            if request is not None:
                self._workload.end_session(request.session)
            return
        self._order += 1
        heapq.heappush(self._later, Due(ti, self._order, request))
        if self._busy or self._later[0].order != self._order:
            return
        if ti <= monotonic_ns():
            self._send_due()  # a user without pause: waiting for the next turn of the loop would be our lag
        else:
            self._arm()

    def _arm(self) -> None:
        next_ns = self._next_ns()
        if next_ns is None or self._soon:
            return
        if next_ns > monotonic_ns():
            self._pacer.arm(next_ns)
        else:
            self._soon = True
            self._loop.call_soon(self._send_due)

    def _send_due(self) -> None:
        self._soon = False
        try:
            self._send_burst()
        except Exception as error:  # it would end in the loop's log, and the run would never end
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._error = self._error or error
        self._over.set()

    def _send_burst(self) -> None:
        self._busy = True
        next_ns = self._next_ns()
        for _ in range(BURST):
            if next_ns is None or next_ns >= self._end_ns or next_ns > monotonic_ns():
                break
            self._send(self._take())
            next_ns = self._next_ns()
        self._busy = False
        if next_ns is None or next_ns >= self._end_ns:
            self._check_over()
            return
        self._arm()
        if not self._making and next_ns - monotonic_ns() > IDLE_NS:
            self._making = True
            self._loop.call_soon(self._make)

    def _make(self) -> None:
        """Use a pause to make bodies, one per turn of the loop."""
        self._making = False
        next_ns = self._next_ns()
        if next_ns is not None and next_ns - monotonic_ns() > IDLE_NS and self._ahead.make_one():
            self._making = True
            self._loop.call_soon(self._make)

    def _send(self, due: Due) -> None:
        request = due.request or self._ahead.next()
        record = Record(
            index=request.index,
            ti=due.ti,
            session=request.session,
            turn=request.turn,
            prefix_group=request.prefix_group,
            path=request.path,
            stream=request.stream,
            asked_tokens=request.max_tokens,
        )
        if self.in_flight >= self._max_in_flight:
            record.error = "dropped"
            self.drops += 1
            self._finish(record, "")
            return
        self.in_flight += 1
        self.sent += 1
        self._client.start(request, record, self._done, self._conversing and bool(request.session))

    def _done(self, record: Record, text: str) -> None:
        self.in_flight -= 1
        try:
            self._finish(record, text)
        except Exception as error:
            self._fail(error)

    def _finish(self, record: Record, text: str) -> None:
        next_turn = None
        if self._conversing and record.session:
            if record.error:
                self._workload.end_session(record.session)
            else:
                next_turn = self._workload.next_turn(record.session, text)
        self._ended(record, next_turn, monotonic_ns())
        self._sink(record)
        if not self.in_flight and not self._busy:
            self._check_over()

    def _check_over(self) -> None:
        next_ns = self._next_ns()
        if not self.in_flight and (next_ns is None or next_ns >= self._end_ns):
            self._over.set()


class OpenLoop(Dispatcher):
    """Arrivals at the times of a schedule, whatever becomes of those before."""

    def __init__(
        self,
        client: Client,
        workload: Workload,
        ahead: Ahead,
        sink: Sink,
        *,
        arrivals_ns: Sequence[int],
        end_ns: int,
        max_in_flight: int,
    ) -> None:
        """`arrivals_ns`: absolute and ascending; `ahead` gives one request for each."""
        super().__init__(client, workload, ahead, sink, end_ns=end_ns, max_in_flight=max_in_flight)
        self._arrivals_ns = arrivals_ns
        self._at = 0

    def _next_ns(self) -> int | None:
        later = self._later[0].ti if self._later else None
        if self._at >= len(self._arrivals_ns):
            return later
        arrival = int(self._arrivals_ns[self._at])
        return arrival if later is None or arrival <= later else later

    def _take(self) -> Due:
        if self._at < len(self._arrivals_ns):
            arrival = int(self._arrivals_ns[self._at])
            if not self._later or arrival <= self._later[0].ti:
                self._at += 1
                return Due(arrival, 0, None)
        return heapq.heappop(self._later)

    def _ended(self, record: Record, next_turn: Request | None, now_ns: int) -> None:
        if next_turn is not None:
            self._put(now_ns + round(next_turn.think_s * 1e9), next_turn)


class ClosedLoop(Dispatcher):
    """Users who wait: each sends its next request `think_s` after its last is over. Their number is the only load."""

    def __init__(
        self,
        client: Client,
        workload: Workload,
        ahead: Ahead,
        sink: Sink,
        *,
        starts_ns: Sequence[int],
        end_ns: int,
        think_s: float = 0.0,
    ) -> None:
        """`starts_ns`: when each user begins."""
        super().__init__(client, workload, ahead, sink, end_ns=end_ns, max_in_flight=max(1, len(starts_ns)))
        self._think_ns = round(think_s * 1e9)
        for start_ns in starts_ns:
            self._order += 1
            heapq.heappush(self._later, Due(start_ns, self._order, None))

    def _ended(self, record: Record, next_turn: Request | None, now_ns: int) -> None:
        think_ns = self._think_ns if next_turn is None else round(next_turn.think_s * 1e9)
        if record.error in ("connect", "client_limit"):
            think_ns = max(think_ns, NO_CONNECTION_PAUSE_NS)
        self._put(now_ns + think_ns, next_turn)
