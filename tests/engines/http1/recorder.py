"""A sink that writes down what it hears and can say whether the order of calls was lawful.

It never raises: an assertion inside a callback of the parser would be caught by the very code under test.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from engines.errors import EngineError
from engines.port import Headers


@dataclass(frozen=True)
class Heard:
    """One answer as its sink heard it, reads put together."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    end: str
    """`done`, the class of the error, or nothing."""


class Recorder:
    """A `Sink`; `on_head`, `on_data`, `on_flush` and `on_end` run inside the calls of the same name."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.status = 0
        self.headers: Headers = ()
        self.parts: list[bytes] = []
        self.error: EngineError | None = None
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()
        self.on_head: Callable[[], None] | None = None
        self.on_data: Callable[[], None] | None = None
        self.on_flush: Callable[[], None] | None = None
        self.on_end: Callable[[], None] | None = None

    def head(self, status: int, headers: Headers) -> None:
        self.calls.append("head")
        self.status = status
        self.headers = headers
        if self.on_head:
            self.on_head()

    def data(self, data: bytes) -> None:
        self.calls.append("data")
        self.parts.append(data)
        self.begun.set()
        if self.on_data:
            self.on_data()

    def flush(self) -> None:
        self.calls.append("flush")
        if self.on_flush:
            self.on_flush()

    def done(self) -> None:
        self.calls.append("done")
        self._end()

    def failed(self, error: EngineError) -> None:
        self.calls.append("failed")
        self.error = error
        self._end()

    def _end(self) -> None:
        self.ended.set()
        if self.on_end:
            self.on_end()

    @property
    def body(self) -> bytes:
        return b"".join(self.parts)

    @property
    def heard(self) -> Heard:
        """The whole of it. Asserts that the calls came in the order of `engines.port`."""
        assert self.lawful, self.calls
        end = type(self.error).__name__ if self.error else "done" if "done" in self.calls else ""
        return Heard(self.status, tuple(self.headers), self.body, end)

    @property
    def lawful(self) -> bool:
        """head -> (data | flush after data)* -> (done | failed), or failed alone; cut off anywhere by an abort."""
        allowed = {"": {"head", "failed"}, "head": {"data", "done", "failed"}, "done": set(), "failed": set()}
        allowed["data"] = allowed["flush"] = {"data", "flush", "done", "failed"}
        before = ["", *self.calls]
        return all(call in allowed[last] for last, call in zip(before, self.calls, strict=False))
