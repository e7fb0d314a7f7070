"""A scripted upstream: it says exactly what a test tells it to, piece by piece, and remembers what it was told.

Raw bytes on asyncio, sharing no code with the gateway, so that both cannot be wrong in the same way. Each request takes
the next `Answer` of the script, or `always` when the script is at its end; GET /health is always 200,
GET .../models lists `models`, GET /metrics tells `page`, GET /version `version`, and none is counted, nor is a
connection made for the last three.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, cast

LONGEST_S = 60.0
"""How long what must come is waited for."""


class End(Enum):
    """How the connection goes on after the last piece; in the place of a piece, at that point."""

    FINISH = "finish"
    """The body ends as its framing promises."""
    CLOSE = "close"
    """A clean close, wherever the body stands."""
    RESET = "reset"
    """RST, as a killed process with unread input sends."""
    HANG = "hang"
    """Nothing more, and the connection stays."""


Piece = bytes | asyncio.Event | End


@dataclass(frozen=True)
class Answer:
    """One answer. A piece that is an Event is waited for; without `length` the body is chunked."""

    pieces: Sequence[Piece] = ()
    status: int = 200
    headers: Sequence[tuple[str, str]] = (("content-type", "application/json"),)
    before: Piece | None = None
    """What comes before the head: a gate, or an end to all."""
    length: int | None = None


@dataclass
class Received:
    """One request as it came, and what has become of its connection."""

    path: str
    headers: list[tuple[str, str]]
    body: bytes
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """The gateway has closed the connection (or lost it)."""
    answered: asyncio.Event = field(default_factory=asyncio.Event)
    """The script of this request has run to its end."""
    written_bytes: int = 0
    """Body bytes that the kernel, or at most one write buffer of ours, has taken."""
    method: str = "POST"

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        found = [value for key, value in self.headers if key == name]
        assert len(found) <= 1, f"{name} was sent twice"
        return found[0] if found else None


class Upstream:
    """The server side; make one with `running_upstream`."""

    def __init__(self, always: Answer) -> None:
        self.always: Answer | Callable[[Received], Answer] = always
        self.received: list[Received] = []
        self.models = ["upstream-model"]
        self.asked_for_models = 0
        self.cards: dict[str, dict[str, Any]] = {}
        self.version = "0.11.0"
        """More of what is said of a model in that list."""
        self.page: bytes | None = None
        """Of metrics; None is a 404."""
        self.asked_for_metrics = 0
        self.open_connections = 0
        self.connections_made = 0
        self.url = ""
        self._script: deque[Answer] = deque()
        self._arrived = asyncio.Event()
        self._changed = asyncio.Event()

    def then(self, *answers: Answer) -> None:
        """The answers of the next requests, in order."""
        self._script.extend(answers)

    async def request(self, number: int = 0) -> Received:
        """The request of this number, once it has come."""
        while len(self.received) <= number:
            self._arrived.clear()
            await asyncio.wait_for(self._arrived.wait(), LONGEST_S)
        return self.received[number]

    async def connections(self, wanted: int) -> None:
        """Wait until so many connections are open."""
        while self.open_connections != wanted:
            self._changed.clear()
            await asyncio.wait_for(self._changed.wait(), LONGEST_S)

    @property
    def address(self) -> str:
        """`host:port`, which is also the default id of a replica."""
        return self.url.removeprefix("http://")

    def _answer(self, received: Received) -> Answer:
        self.received.append(received)
        self._arrived.set()
        if self._script:
            return self._script.popleft()
        return self.always(received) if callable(self.always) else self.always

    def _count(self, by: int) -> None:
        self.open_connections += by
        self.connections_made += max(0, by)
        self._changed.set()


class _Connection(asyncio.Protocol):
    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._buffer = b""
        self._gone = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._task: asyncio.Task[None] | None = None
        self._fresh = True
        self._counted = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=0)
        self._upstream._count(1)

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone.set()
        self._writable.set()
        if self._counted:
            self._upstream._count(-1)
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._next()

    def _next(self) -> None:
        if self._task is not None:
            return
        head, blank, rest = self._buffer.partition(b"\r\n\r\n")
        if not blank:
            return
        line, *lines = head.decode("latin-1").split("\r\n")
        headers = [(name.lower(), value.strip()) for name, _, value in (text.partition(":") for text in lines)]
        length = int(dict(headers).get("content-length", "0"))
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        method, path, _ = line.split(" ")
        if method == "GET" and path == "/health":
            self._fresh = False
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            self._next()
            return
        if method == "GET" and path.endswith("/models"):
            self._upstream.asked_for_models += 1
            listed = {
                "object": "list",
                "data": [{"id": id, **self._upstream.cards.get(id, {})} for id in self._upstream.models],
            }
            self._tell_plane(200, json.dumps(listed).encode())
            return
        if method == "GET" and path == "/version":
            self._tell_plane(200, json.dumps({"version": self._upstream.version}).encode())
            return
        if method == "GET" and path == "/metrics":
            self._upstream.asked_for_metrics += 1
            page = self._upstream.page
            self._tell_plane(404 if page is None else 200, page or b"")
            return
        self._fresh = False
        received = Received(path, headers, rest[:length], gone=self._gone, method=method)
        self._task = asyncio.get_running_loop().create_task(self._run(received, self._upstream._answer(received)))
        self._task.add_done_callback(self._ran)

    def _tell_plane(self, status: int, body: bytes) -> None:
        """Answer what only the control plane asks."""
        if self._fresh:  # a connection of its own
            self._fresh, self._counted = False, False
            self._upstream.connections_made -= 1
            self._upstream._count(-1)
        self.transport.write(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body))
        self._next()

    def _ran(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.result()
            self._task = None
            if not self._gone.is_set():
                self._next()

    async def _run(self, received: Received, answer: Answer) -> None:
        if answer.before is not None and not await self._step(received, answer, answer.before):
            return
        framing = "transfer-encoding: chunked" if answer.length is None else f"content-length: {answer.length}"
        fields = "".join(f"{name}: {value}\r\n" for name, value in answer.headers)
        self.transport.write(f"HTTP/1.1 {answer.status} Scripted\r\n{fields}{framing}\r\n\r\n".encode("latin-1"))
        for piece in answer.pieces:
            if not await self._step(received, answer, piece):
                return
        if answer.length is None:
            self.transport.write(b"0\r\n\r\n")
        received.answered.set()

    async def _step(self, received: Received, answer: Answer, piece: Piece) -> bool:
        """Do one step of the script; False when it was the last."""
        match piece:
            case bytes():
                self.transport.write(piece if answer.length is not None else b"%x\r\n%b\r\n" % (len(piece), piece))
                await self._writable.wait()
                received.written_bytes += len(piece)
                return True
            case asyncio.Event():
                await piece.wait()
                return True
            case End.CLOSE:
                self.transport.close()
            case End.RESET:
                sock = self.transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.transport.abort()
            case End.HANG:
                await self._gone.wait()
        received.answered.set()
        return False


@asynccontextmanager
async def running_upstream(always: Answer | Callable[[Received], Answer] | None = None) -> AsyncIterator[Upstream]:
    """An upstream on a free port, until the block ends."""
    upstream = Upstream(Answer())
    upstream.always = always if always is not None else plain()
    made: list[_Connection] = []

    def connect() -> _Connection:
        made.append(_Connection(upstream))
        return made[-1]

    server = await asyncio.get_running_loop().create_server(connect, "127.0.0.1", 0)
    upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield upstream
    finally:
        server.close()
        for connection in made:
            if not connection._gone.is_set():
                connection.transport.abort()
        await upstream.connections(0)


def refusing_port() -> socket.socket:
    """A bound socket that nobody listens on: connections to it are refused until it is closed."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock


# -- what upstreams say -----------------------------------------------------------------------------------------------

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def completion(text: str = "three little words", **extra: Any) -> dict[str, Any]:
    """A whole chat completion."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "upstream-model",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": USAGE,
        **extra,
    }


def plain(document: Any = None, status: int = 200, *headers: tuple[str, str]) -> Answer:
    """A JSON answer of known length."""
    body = document if isinstance(document, bytes) else json.dumps(document or completion()).encode()
    return Answer([body], status, [("content-type", "application/json"), *headers], length=len(body))


def refusal(status: int, message: str = "no", *headers: tuple[str, str]) -> Answer:
    """An OpenAI-shaped error answer."""
    return plain({"error": {"message": message, "type": "x", "param": None, "code": status}}, status, *headers)


def chunk(text: str | None = None, finish_reason: str | None = None, **extra: Any) -> bytes:
    """One event of a chat stream, written as vLLM does: no blanks in its JSON."""
    delta = {} if text is None else {"content": text}
    document = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "upstream-model",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}],
        **extra,
    }
    return event(document)


def usage_event() -> bytes:
    """The last event but one, when usage was asked for."""
    return chunk(choices=[], usage=USAGE)


def event(document: Any, name: str = "") -> bytes:
    """One server-sent event."""
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(document, separators=(',', ':'))}\n\n".encode()


DONE = b"data: [DONE]\n\n"
WORDS = [chunk("three "), chunk("little "), chunk("words")]
WHOLE_STREAM = [*WORDS, chunk(finish_reason="stop"), usage_event(), DONE]
"""What a vLLM replica sends when usage is asked for."""


def stream(*pieces: Piece, before: Piece | None = None) -> Answer:
    """A stream of these pieces; `WHOLE_STREAM` when there are none."""
    return Answer(pieces or WHOLE_STREAM, headers=[("content-type", "text/event-stream")], before=before)
