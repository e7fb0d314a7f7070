"""The lines of an answer as they come: what a watch is made of."""

from __future__ import annotations

import asyncio

from engines.errors import BadAnswer, EngineError
from engines.port import Headers


class Lines:
    """A `Sink` that cuts what comes into lines. Of an answer that is no success it keeps the whole body in `rest`."""

    __slots__ = ("_lines", "_most_bytes", "_news", "_parts", "_size", "ended", "error", "status")

    def __init__(self, most_bytes: int) -> None:
        """A line of more is an error."""
        self._most_bytes = most_bytes
        self._lines: list[bytes] = []
        self._parts: list[bytes] = []
        self._size = 0
        self._news = asyncio.Event()
        self.status = 0
        """0 before the head has come."""
        self.ended = False
        self.error: EngineError | None = None
        """Why it ended before its end."""

    @property
    def begun(self) -> bool:
        """Whether the head has come."""
        return self.status != 0

    @property
    def refused(self) -> bool:
        """Whether a head has come that is no success."""
        return self.begun and not 200 <= self.status < 300

    @property
    def rest(self) -> bytes:
        """What has come since the last line."""
        return b"".join(self._parts)

    @property
    def waiting(self) -> bool:
        """Whether something is to be taken, or it has ended."""
        return bool(self._lines) or self.ended

    @property
    def partial(self) -> bool:
        """Whether it stands in the middle of a line."""
        return self._size > 0

    def take(self) -> list[bytes]:
        """The lines that have come since this was last called, each with its end, without empty ones."""
        lines, self._lines = self._lines, []
        return lines

    async def news(self) -> None:
        """Wait until there is something new since this was last waited for."""
        await self._news.wait()
        self._news.clear()

    # -- engines.port.Sink ---------------------------------------------------------------------------------------------

    def head(self, status: int, headers: Headers) -> None:
        self.status = status
        self._news.set()

    def data(self, data: bytes) -> None:
        if self.ended:
            return
        begin = 0
        while not self.refused and (end := data.find(b"\n", begin)) >= 0:  # `split` looks at each byte by itself
            self._parts.append(data[begin : end + 1])
            if (line := b"".join(self._parts)) != b"\n":
                self._lines.append(line)
                self._news.set()
            self._parts, self._size, begin = [], 0, end + 1
        if begin < len(data):
            self._parts.append(data[begin:])
            self._size += len(data) - begin
        if self._size > self._most_bytes:
            self._end(BadAnswer("an event is too large"))

    def flush(self) -> None: ...

    def done(self) -> None:
        self._end(None)

    def failed(self, error: EngineError) -> None:
        self._end(error)

    def _end(self, error: EngineError | None) -> None:
        if not self.ended:
            self.ended, self.error = True, error
            self._news.set()
