"""Virtual time for the dispatcher: an alarm, a clock, and a target that answers when its script says so."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from typing import Any

import pytest

from loadtests.client import dispatch
from loadtests.client.record import Record
from loadtests.workloads.request import Request, Workload

SERVICE_NS = 1_000_000

Service = Callable[[Request, int], int]
"""When, in ns, a request that is sent at a time is over."""


class World:
    """The clock, the alarms and the answers still to come; it is also the client."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, service: Service | None = None) -> None:
        self.now_ns = 1_000_000_000
        self.sent: list[tuple[int, int, int]] = []
        """Index, turn and time of each request."""
        self.errors: dict[int, str] = {}
        """By index: how it fails."""
        self._service = service or (lambda request, now_ns: now_ns + SERVICE_NS)
        self._answers: list[tuple[int, int, Any]] = []
        self._count = 0
        self._alarms: list[VirtualPacer] = []
        monkeypatch.setattr(dispatch, "monotonic_ns", lambda: self.now_ns)
        monkeypatch.setattr(dispatch, "pacer", self._pacer)

    def _pacer(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> VirtualPacer:
        self._alarms.append(VirtualPacer(callback))
        return self._alarms[-1]

    def start(self, request: Request, record: Record, done: Any, keep_text: bool = False) -> None:
        """What `Client.start` does."""
        record.ts = self.now_ns
        self.sent.append((request.index, request.turn, self.now_ns))
        over_ns = self._service(request, self.now_ns)
        self._count += 1
        heapq.heappush(self._answers, (over_ns, self._count, (request, record, done, keep_text)))

    async def run(self, dispatcher: dispatch.Dispatcher) -> None:
        """Until the dispatcher is done, moment by moment."""
        running = asyncio.ensure_future(dispatcher.run())
        while not await self.settled(running):
            self.step()
        await running

    async def settled(self, running: asyncio.Future[None]) -> bool:
        """Let the loop do what is due now; whether the run is over."""
        for _ in range(6):
            await asyncio.sleep(0)
        return running.done()

    def step(self) -> None:
        """Go to the next alarm or answer, and let it happen."""
        armed = [alarm for alarm in self._alarms if alarm.deadline_ns is not None]
        alarm = min(armed, key=lambda one: one.deadline_ns or 0, default=None)
        answer_ns = self._answers[0][0] if self._answers else None
        if alarm is not None and alarm.deadline_ns is not None and (answer_ns is None or alarm.deadline_ns < answer_ns):
            self.now_ns = max(self.now_ns, alarm.deadline_ns)
            alarm.deadline_ns = None
            alarm.callback()
            return
        assert self._answers, "the run goes on and nothing will ever happen"
        over_ns, _, (request, record, done, keep_text) = heapq.heappop(self._answers)
        self.now_ns = max(self.now_ns, over_ns)
        record.error = self.errors.get(request.index, "")
        record.c1 = record.ck = record.te = self.now_ns
        done(record, f"answer {request.index}.{request.turn}" if keep_text else "")


class VirtualPacer:
    """See `loadtests.client.pacer.Pacer`."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback = callback
        self.deadline_ns: int | None = None

    def arm(self, deadline_ns: int) -> None:
        self.deadline_ns = deadline_ns

    def close(self) -> None:
        self.deadline_ns = None


class Requests(Workload):
    """Plain requests; or conversations of `turns` turns with `think_s` between them."""

    def __init__(self, turns: int = 1, think_s: float = 0.0) -> None:
        self.multi_turn = turns > 1
        self._turns = turns
        self._think_s = think_s
        self.turn: dict[str, int] = {}
        self.heard: list[str] = []

    def request(self, index: int) -> Request:
        session = f"s{index}" if self.multi_turn else ""
        return Request(index=index, path="/p", body=b"{}", stream=True, model="m", prompt_words=1, session=session)

    def next_turn(self, session: str, answer: str) -> Request | None:
        self.heard.append(answer)
        turn = self.turn.get(session, 0) + 1
        if turn >= self._turns:
            self.end_session(session)
            return None
        self.turn[session] = turn
        request = self.request(int(session[1:]))
        request.turn, request.think_s = turn, self._think_s
        return request

    def end_session(self, session: str) -> None:
        self.turn.pop(session, None)
