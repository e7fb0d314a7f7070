"""Traffic of every kind that money can go astray in: plain answers and streams, clients that leave, retries, fallbacks.

An engine process of two tiers does what the prompt says, and clients note which records they were told of.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

KINDS: Final = {"plain": 50, "stream": 25, "leave": 8, "retry": 10, "fall": 7}
"""In a hundred: a plain answer, a stream, one that its client leaves, one whose first attempt fails, one that only the
second tier answers."""
USAGE: Final = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
_OVERLOADED: Final = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\n{}"
_EVENTS: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def _json_answer() -> bytes:
    body = json.dumps(
        {
            "id": "chatcmpl-0af7651916cd43dd8448eb211c80319c",
            "choices": [{"index": 0, "message": {"content": "yes"}, "finish_reason": "stop"}],
            "usage": USAGE,
        }
    ).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def _event(**members: Any) -> bytes:
    data = b"data: %b\n\n" % json.dumps(members).encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


_PLAIN: Final = _json_answer()
_PIECE: Final = _event(choices=[{"index": 0, "delta": {"content": "yes "}, "finish_reason": None}])
_DONE: Final = b"data: [DONE]\n\n"
_LAST: Final = (
    _event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
    + _event(choices=[], usage=USAGE)
    + b"%x\r\n%b\r\n0\r\n\r\n" % (len(_DONE), _DONE)
)


def _field(head: bytes, name: bytes) -> bytes:
    at = head.lower().find(b"\r\n" + name + b": ")
    return head[at + len(name) + 4 : head.index(b"\r\n", at + 2)] if at >= 0 else b""


class Engine:
    """Both tiers: the first serves `up`, the second `deep`."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        """Listen; returns the port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                body = await reader.readexactly(int(_field(head, b"content-length") or 0))
                identity = _field(head, b"x-request-id")
                first = identity not in self._seen
                if b'"retry"' in body and first:
                    self._seen.add(identity)
                    writer.write(_OVERLOADED)
                elif b'"fall"' in body and b'"deep"' not in body:
                    writer.write(_OVERLOADED)
                elif b'"leave"' in body:
                    writer.write(_EVENTS + 3 * _PIECE)
                    await reader.read(1)  # until nobody listens any more
                    break
                elif b'"stream"' in body:
                    writer.write(_EVENTS + 19 * _PIECE + _LAST)
                else:
                    writer.write(_PLAIN)
        writer.close()


class Clients:
    """Ask at a socket. `answered` has the id of the record of every answer that a client has whole, `left` of each that
    its client has left."""

    def __init__(self, socket: Path, seed: int = 1) -> None:
        self._socket = socket
        self._rng = random.Random(seed)
        self._asked = 0
        self.answered: list[str] = []
        self.left: list[str] = []
        self.broken = 0
        """Requests whose connection was lost before an answer."""

    @property
    def count(self) -> int:
        """Of those that were answered or left."""
        return len(self.answered) + len(self.left)

    async def ask(self, count: int, *, clients: int = 16, meanwhile: Callable[[int], Any] = lambda _: None) -> None:
        """So many requests; `meanwhile` hears how many were answered or left."""
        until = self._asked + count
        await asyncio.gather(*(self._client(until, meanwhile) for _ in range(clients)))

    async def _client(self, until: int, meanwhile: Callable[[int], Any]) -> None:
        reader = writer = None
        while self._asked < until:
            self._asked += 1
            (kind,) = self._rng.choices([*KINDS], [*KINDS.values()])
            try:
                if reader is None or writer is None:
                    reader, writer = await asyncio.open_unix_connection(self._socket)
                writer.write(_request(kind, self._asked))
                record_id = await _answer(reader, kind)
            except (OSError, asyncio.IncompleteReadError):
                self.broken += 1
                if writer is not None:
                    writer.close()
                reader = writer = None
                await asyncio.sleep(0.01)
                continue
            if kind == "leave":
                self.left.append(record_id)
                writer.close()
                reader = writer = None
            else:
                self.answered.append(record_id)
            meanwhile(self.count)
        if writer is not None:
            writer.close()


def _request(kind: str, number: int) -> bytes:
    streams = kind in ("stream", "leave")
    body = json.dumps({"model": "m", "stream": streams, "messages": [{"role": "user", "content": kind}]}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-request-id: request-{number:012}\r\n"
    return head.encode() + b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


async def _answer(reader: asyncio.StreamReader, kind: str) -> str:
    """The record's id; of a stream that is left, as soon as something of it is there."""
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    if kind == "leave":
        await reader.readuntil(b"yes ")
    elif kind == "stream":
        await reader.readuntil(b"\r\n0\r\n\r\n")
    else:
        await reader.readexactly(int(_field(head, b"content-length")))
    return _field(head, b"x-penstock-record-id").decode()
