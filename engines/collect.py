"""The lean client for callers who want one small answer whole: probes and load figures, never the request path."""

from __future__ import annotations

import asyncio

from engines.errors import BadAnswer, EngineError
from engines.model import Deadlines
from engines.pool import Pool
from engines.port import Headers

MAX_BYTES = 4 * 1024 * 1024


class Collector:
    """A `Sink` that keeps everything up to `max_bytes`, and waits for no more than that."""

    __slots__ = ("_max_bytes", "_parts", "_size", "answer", "headers", "status")

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._parts: list[bytes] = []
        self._size = 0
        self.status = 0
        self.headers: Headers = ()
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        """The body, or the EngineError."""

    def head(self, status: int, headers: Headers) -> None:
        self.status = status
        self.headers = headers

    def data(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= self._max_bytes:
            self._parts.append(data)
        elif not self.answer.done():
            self._parts.clear()
            self.answer.set_exception(BadAnswer(f"the answer is over {self._max_bytes} bytes"))

    def flush(self) -> None:
        pass

    def done(self) -> None:
        if not self.answer.done():
            self.answer.set_result(b"".join(self._parts))

    def failed(self, error: EngineError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


async def fetch(pool: Pool, head: bytes, body: bytes = b"", *, deadlines: Deadlines) -> tuple[int, bytes]:
    """Send one request and return the status and body. Raises EngineError; cancelling it closes the connection."""
    sink = Collector()
    call = pool.send(head, body, deadlines, sink)
    try:
        answer = await sink.answer
        return sink.status, answer
    finally:
        call.abort()
