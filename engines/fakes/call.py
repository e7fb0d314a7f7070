"""One HTTP request to a fake, over ASGI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

import msgspec

from engines.fakes.problems import Kind, Problem

Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
HeaderList = list[tuple[bytes, bytes]]

JSON: HeaderList = [(b"content-type", b"application/json")]
MAX_BODY_BYTES = 32 * 1024 * 1024


class Call:
    """See the module."""

    __slots__ = ("_receive", "_send", "body", "headers", "method", "path", "query", "raw_path", "raw_query", "scope")

    def __init__(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        self.method: str = scope["method"]
        self.raw_path: str = scope["raw_path"].decode("ascii", "replace")
        self.path = unquote(self.raw_path)
        self.raw_query: str = scope["query_string"].decode("ascii", "replace")
        self.query: dict[str, str] = dict(parse_qsl(self.raw_query, keep_blank_values=True))
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.body = b""

    def header(self, name: str) -> str:
        """Its value; empty for none."""
        return self.headers.get(name.encode(), b"").decode("latin-1")

    @property
    def bearer(self) -> str:
        """The key of `authorization: Bearer KEY`; empty for none."""
        scheme, _, key = self.header("authorization").partition(" ")
        return key.strip() if scheme.lower() == "bearer" else ""

    async def read(self) -> None:
        """Fill `body`. Raises Problem for one that is too large, ConnectionError when the client leaves."""
        parts: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ConnectionError
            size += len(message.get("body", b""))
            if size > MAX_BODY_BYTES:
                raise Problem(Kind.TOO_LARGE, f"The body is larger than {MAX_BODY_BYTES} bytes.")
            parts.append(message.get("body", b""))
            if not message.get("more_body"):
                self.body = b"".join(parts)
                return

    async def start(self, status: int, headers: HeaderList) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def more(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b""})

    async def answer(self, status: int, body: bytes, headers: HeaderList) -> None:
        await self.start(status, [(b"content-length", b"%d" % len(body)), *headers])
        await self._send({"type": "http.response.body", "body": body})

    async def json(self, status: int, value: Any, headers: HeaderList) -> None:
        await self.answer(status, msgspec.json.encode(value), [*JSON, *headers])

    async def cut(self) -> None:
        """Close the connection in the middle of the answer, and return when it is closed."""
        self.scope["extensions"]["penstock.close"]()
        await self.closed()

    async def closed(self) -> None:
        """Return when the connection is closed, by whomever."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
