"""A workbench for one `Connection` without sockets: a clock that is stepped, a transport and a pool that write down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from engines.http1.answer import LIMITS
from engines.http1.call import Call, Carrier
from engines.http1.connection import Connection
from engines.http1.familiar import Familiar
from engines.http1.secrecy import Secrets
from engines.model import Deadlines
from tests.engines.http1.recorder import Recorder

HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: engine\r\ncontent-length: 2\r\n\r\n"
BODY = b"{}"
PATIENT = Deadlines(connect_s=1000, first_byte_s=2000, idle_s=1500)


class FakeHandle:
    def __init__(self, when: float, run: Callable[[], None]) -> None:
        self.when = when
        self.run = run
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeLoop:
    """The part of an event loop that deals in time; time passes in `advance` only, a turn ends in `end_turn` only."""

    def __init__(self) -> None:
        self.now = 50.0
        self.soon: list[Callable[[], object]] = []
        self.handles: list[FakeHandle] = []
        self.made = 0
        self.reported: list[BaseException] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[..., Any], *args: Any) -> FakeHandle:
        handle = FakeHandle(when, lambda: callback(*args))
        self.handles.append(handle)
        self.made += 1
        return handle

    def call_soon(self, callback: Callable[..., object], *args: Any) -> None:
        self.soon.append(lambda: callback(*args))

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.reported.append(context["exception"])

    def end_turn(self) -> None:
        """Run what waits for the end of the turn."""
        while self.soon:
            self.soon.pop(0)()

    def advance(self, seconds: float) -> None:
        """Let time pass and run what falls due, in order, each at its own time."""
        until = self.now + seconds
        while due := [handle for handle in self.pending if handle.when <= until]:
            handle = min(due, key=lambda each: each.when)
            self.handles.remove(handle)
            self.now = max(self.now, handle.when)
            handle.run()
        self.now = until

    @property
    def pending(self) -> list[FakeHandle]:
        return [handle for handle in self.handles if not handle.cancelled]

    def as_loop(self) -> asyncio.AbstractEventLoop:
        return cast("asyncio.AbstractEventLoop", self)


class FakeTransport:
    """Takes everything written; `stuck_bytes` is what the kernel has not taken from it."""

    def __init__(self) -> None:
        self.written = b""
        self.writes = 0
        self.stuck_bytes = 0
        self.aborted = False
        self.reading = True

    def write(self, data: bytes) -> None:
        self.written += data
        self.writes += 1

    def get_write_buffer_size(self) -> int:
        return self.stuck_bytes

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class FakePool:
    """The calls a connection makes to its pool."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.released = 0
        self.lost_calls = 0
        self.fresh: list[Call] = []
        self.stale_since: list[float] = []

    def release(self, line: Carrier) -> None:
        assert not line.closed
        self.released += 1
        now = self.bench.loop.now
        line.keep_idle(now, now + 30)

    def stale(self, idle_since: float) -> None:
        self.stale_since.append(idle_since)

    def lost(self, line: Carrier) -> None:
        self.lost_calls += 1

    def send_fresh(self, call: Call) -> None:
        self.fresh.append(call)


class Bench:
    """One open connection with its fakes."""

    def __init__(self, familiar: Familiar | None = None) -> None:
        """`familiar`: what other connections know of the heads of answers."""
        self.loop = FakeLoop()
        self.pool = FakePool(self)
        self.transport = FakeTransport()
        self.connection = Connection(self.pool, self.loop.as_loop(), LIMITS, familiar)
        self.connection.connection_made(cast("asyncio.Transport", self.transport))
        self.is_lost = False

    def send(
        self,
        deadlines: Deadlines = PATIENT,
        body: bytes = BODY,
        *,
        turn_ends: bool = True,
        secrets: Secrets | None = None,
    ) -> tuple[Call, Recorder]:
        sink = Recorder()
        call = Call(HEAD, body, deadlines, sink, self.loop.now, secrets)
        self.connection.send(call)
        if turn_ends:
            self.loop.end_turn()
        return call, sink

    def used_once(self) -> None:
        """Let the connection serve one request, so that it counts as reused."""
        _, sink = self.send()
        self.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        assert sink.calls == ["head", "data", "done"]
        assert self.pool.released == 1

    def feed(self, *reads: bytes) -> None:
        """Reads as a transport makes them: none is empty, none comes after its end."""
        for read in reads:
            if read and not self.transport.aborted:
                self.connection.data_received(read)

    def end(self, error: Exception | None = None) -> None:
        """The transport's last word: the peer closed (or `error`), or we did."""
        if not self.is_lost:
            self.is_lost = True
            if error is None and not self.transport.aborted:
                self.connection.eof_received()
            self.connection.connection_lost(None if self.transport.aborted else error)

    @property
    def reusable(self) -> bool:
        return not self.transport.aborted and not self.connection.closed
