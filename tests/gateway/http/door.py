"""A client of one `ClientConnection`, without sockets: a loop whose clock is stepped, a transport that keeps what is
written, and a desk that takes the requests. Answers are read back with h11, which shares no code with the server."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import h11

from engines.model import Operation
from gateway.errors import Failure
from gateway.http.clients import Clients
from gateway.http.connection import USUAL, ClientConnection
from gateway.http.handler import Visitor
from gateway.http.head import Fields
from gateway.http.patience import Patience
from gateway.http.request import Client as Asker
from gateway.http.request import Request
from gateway.identity import ANONYMOUS, Keyring

CHAT = b"/v1/chat/completions"


@dataclass
class DoorLimits:
    """Satisfies `gateway.http.handler.RequestLimits`."""

    body_bytes: int = 64 * 1024
    header_bytes: int = 4096
    stream_buffer_bytes: int = 256 * 1024
    connections: int = 10


class Handle:
    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class SteppedLoop:
    """The three calls of an event loop that a connection makes, on a clock that only `step` moves."""

    def __init__(self) -> None:
        self._now_s = 1000.0
        self._number = itertools.count()
        self._timers: list[tuple[float, int, Handle, Callable[[], None]]] = []
        self._soon: list[Callable[[], None]] = []

    def time(self) -> float:
        return self._now_s

    def call_at(self, when: float, callback: Callable[[], None]) -> Handle:
        handle = Handle()
        heapq.heappush(self._timers, (when, next(self._number), handle, callback))
        return handle

    def call_soon(self, callback: Callable[[], None]) -> None:
        self._soon.append(callback)

    def run(self) -> None:
        """Run what waits, and what it makes wait, without moving the clock."""
        while self._soon:
            self._soon.pop(0)()

    def step(self, seconds: float) -> None:
        """Move the clock, stopping at each timer on the way."""
        until = self._now_s + seconds
        self.run()
        while self._timers and self._timers[0][0] <= until:
            when, _, handle, callback = heapq.heappop(self._timers)
            self._now_s = max(self._now_s, when)
            if not handle.cancelled:
                callback()
                self.run()
        self._now_s = until

    @property
    def timers(self) -> int:
        return sum(not handle.cancelled for _, _, handle, _ in self._timers)


class FakeTransport:
    """What a socket's transport does, as far as a connection can tell; `stuck` is a client that reads nothing."""

    def __init__(self, lost: Callable[[], None], loop: SteppedLoop, *, half_closes: bool = True) -> None:
        self.out = b""
        self.unsent_bytes = 0
        self.stuck = False
        self.reading = True
        self.ended = False
        self.peer_closed = False
        self.writes_after_close = 0
        self.state = "open"
        self._lost = lost
        self._loop = loop
        self._half_closes = half_closes

    def get_extra_info(self, name: str) -> object:
        return {"sockname": ("127.0.0.1", 8080)}.get(name)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def write(self, data: bytes) -> None:
        assert type(data) is bytes
        assert not self.ended, "written after the end"
        if self.state == "open":
            self.writes_after_close += self.peer_closed
            if self.writes_after_close > 1:  # the first one is answered by a reset, which the next one meets
                self.abort()
                return
            self.out += data
            if self.stuck:
                self.unsent_bytes += len(data)

    def is_closing(self) -> bool:
        return self.state != "open"

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def can_write_eof(self) -> bool:
        return self._half_closes

    def write_eof(self) -> None:
        self.ended = True

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def close(self) -> None:
        if self.state == "open":
            self.state = "closed"
            if not self.unsent_bytes:
                self._loop.call_soon(self._lost)

    def abort(self) -> None:
        if self.state != "aborted":
            self.state = "aborted"
            self._loop.call_soon(self._lost)


class FakeWork:
    """Satisfies `gateway.http.handler.Work`; keeps what it was told."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.told: list[str] = []

    def client_gone(self) -> None:
        self.told.append("gone")

    def client_paused(self) -> None:
        self.told.append("paused")

    def client_resumed(self) -> None:
        self.told.append("resumed")

    def answer(self, body: bytes = b"done", status: int = 200) -> None:
        self.request.connection.respond(status, b"", body)


def echo(request: Request) -> bytes:
    said = [request.method, request.path, request.query, request.body]
    return json.dumps([part.decode("latin-1") for part in said]).encode()


@dataclass
class Desk:
    """Satisfies `gateway.http.handler.Handler`: answers with what was asked, at once or when the test says so."""

    limits: DoorLimits = field(default_factory=DoorLimits)
    draining: bool = False
    holds: bool = False
    """Keep requests, as `works`, for the test to answer."""
    seen: list[Request] = field(default_factory=list)
    operations: list[Operation | None] = field(default_factory=list)
    works: list[FakeWork] = field(default_factory=list)
    heads: list[tuple[bytes, int]] = field(default_factory=list)
    """Path and length of the body of each head that was shown before its body came."""
    failures: list[Failure] = field(default_factory=list)
    open: Clients = field(default_factory=Clients)
    losses: int = 0
    keyring: Keyring | None = field(default_factory=Keyring)
    """Whose word lets a head in again unread; None reads each."""

    def opened(self, visitor: Visitor) -> bool:
        return self.open.opened(visitor, self.limits.connections)

    def lingers(self, visitor: Visitor) -> bool:
        return self.open.lingers(visitor)

    def lost(self, visitor: Visitor) -> None:
        self.open.lost(visitor)
        self.losses += 1

    def admit(self, request: Request, *, length: int, over_unix: bool) -> None:
        self.heads.append((request.path, length))
        if request.fields.get(b"x-api-key") == b"stranger":
            raise Failure("invalid_api_key", "the API key is not known to this gateway")
        request.principal = ANONYMOUS
        request.admitted_by = self.keyring

    def still_admits(self, keyring: Keyring) -> bool:
        return self.keyring is keyring

    def inference(self, request: Request, operation: Operation) -> FakeWork | None:
        return self._take(request, operation)

    def other(self, request: Request) -> FakeWork | None:
        return self._take(request, None)

    def refused(self, failure: Failure, path: bytes, fields: Fields) -> tuple[bytes, bytes]:
        self.failures.append(failure)
        return b"refused-%d" % len(self.failures), b"%032x" % len(self.failures)

    def _take(self, request: Request, operation: Operation | None) -> FakeWork | None:
        self.seen.append(request)
        self.operations.append(operation)
        if self.holds:
            self.works.append(FakeWork(request))
            return self.works[-1]
        request.connection.respond(200, b"content-type: application/json\r\n", echo(request))
        return None

    @property
    def asked(self) -> list[tuple[bytes, bytes, bytes]]:
        """Method, target and body of each request, in order."""
        return [
            (request.method, request.path + (b"?" + request.query if request.query else b""), request.body)
            for request in self.seen
        ]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        """The error object, in OpenAI's shape and no other."""
        assert self.headers["content-type"] == "application/json"
        document = json.loads(self.body)
        assert list(document) == ["error"]
        assert {"message", "type", "param", "code"} == document["error"].keys()
        return cast("dict[str, Any]", document["error"])


def read_answers(wire: bytes, *, ended: bool = False, methods: list[str] | None = None) -> list[Answer]:
    """All answers in these bytes, which must hold nothing else; `methods` where they were not all GET."""
    answers = []
    asked = iter(methods or ())
    while wire:
        client = h11.Connection(h11.CLIENT)
        client.send(h11.Request(method=next(asked, "GET"), target="/", headers=[("host", "a")]))
        client.send(h11.EndOfMessage())
        client.receive_data(wire)
        if ended:
            client.receive_data(b"")
        status, headers, body = 0, {}, b""
        while True:
            event = client.next_event()
            assert event is not h11.NEED_DATA, f"an answer is not whole: {wire[:200]!r}"
            if isinstance(event, h11.InformationalResponse):
                answers.append(Answer(event.status_code, {}, b""))
            elif isinstance(event, h11.Response):
                status = event.status_code
                headers = {name.decode(): value.decode() for name, value in event.headers}
            elif isinstance(event, h11.Data):
                body += event.data
            else:
                break
        answers.append(Answer(status, headers, body))
        wire = client.trailing_data[0]
    return answers


class Client:
    """One client and the connection it made."""

    def __init__(
        self,
        desk: Desk | None = None,
        loop: SteppedLoop | None = None,
        *,
        half_closes: bool = True,
        patience: Patience = USUAL,
    ) -> None:
        self.desk = desk or Desk()
        self.loop = loop or SteppedLoop()
        self.connection = ClientConnection(self.desk, cast("asyncio.AbstractEventLoop", self.loop), patience)
        self.asker: Asker = self.connection._answers
        self.transport = FakeTransport(self._lost, self.loop, half_closes=half_closes)
        self.lost = False
        self._unread = b""
        self.connection.connection_made(cast("asyncio.Transport", self.transport))

    def send(self, *reads: bytes) -> Client:
        """Each of these is one read of the server, unless it does not read now."""
        for data in reads:
            self._unread += data
            self._deliver()
            self.loop.run()
            self._deliver()
        return self

    def half_close(self) -> None:
        """End our side, as a client does that has nothing more to say and listens."""
        if not self.connection.eof_received():
            self.transport.close()
        self.loop.run()

    def leave(self) -> None:
        """Close, which looks the same to the server until it sends something."""
        self.transport.peer_closed = True
        self.half_close()
        self.loop.step(0.1)

    def reset(self) -> None:
        self.transport.state = "aborted"
        self._lost(ConnectionResetError())

    def _lost(self, error: Exception | None = None) -> None:
        if not self.lost:
            self.lost = True
            self.connection.connection_lost(error)

    def _deliver(self) -> None:
        while self._unread and self.transport.reading and self.transport.state == "open":
            data, self._unread = self._unread, b""
            self.connection.data_received(data)

    @property
    def answers(self) -> list[Answer]:
        self.loop.run()  # the turn ends, and what was written leaves
        return read_answers(self.transport.out, ended=self.transport.ended or self.transport.state != "open")

    @property
    def over(self) -> bool:
        """Whether the connection will carry nothing more."""
        return self.transport.ended or self.transport.state != "open"


def request(
    path: bytes = CHAT, body: bytes = b"", *, method: bytes = b"POST", fields: bytes = b"", version: bytes = b"1.1"
) -> bytes:
    """One request with a content-length; `fields` are complete header lines."""
    length = b"content-length: %d\r\n" % len(body) if body else b""
    return b"%b %b HTTP/%b\r\nhost: a\r\n%b%b\r\n%b" % (method, path, version, length, fields, body)
