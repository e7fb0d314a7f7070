"""Everything that is not inference: a small bridge from our connection to an ASGI app (ASGI 3.0, HTTP).

The request is whole before the app sees it and the answer is collected until it is whole or streams past `HOLD_BYTES`,
so an admin page has the same limits, errors and keep-alive as an inference request. Each request is one task, which is
cancelled when its client leaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any
from urllib.parse import unquote_to_bytes

import structlog

from gateway.errors import Failure
from gateway.http.request import Request, dialect_of

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
App = Callable[
    [Scope, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
    Coroutine[Any, Any, None] | Awaitable[None],
]
HOLD_BYTES = 64 * 1024
REQUEST_ID = "penstock.request_id"
"""The extension of the scope that has the id of the request as `id`: Anthropic's clients find it in errors, too."""

log = structlog.get_logger()


class AsgiWork:
    """One request in the hands of an ASGI app. It is the `Work` of its connection."""

    __slots__ = (
        "_app",
        "_begun",
        "_drained",
        "_gone",
        "_head",
        "_id",
        "_named",
        "_parts",
        "_received",
        "_request",
        "_scheme",
        "_size",
        "_task",
        "_whole",
    )

    def __init__(self, app: App, request: Request, *, request_id: bytes = b"", secure: bool = False) -> None:
        """`request_id` is told with the answer; `secure`: it came over TLS."""
        self._id = request_id
        self._named = b"x-request-id: %b\r\n" % request_id if request_id else b""
        if request_id and b"anthropic-version" in request.fields:  # whose clients look for another name
            self._named += b"request-id: %b\r\n" % request_id
        self._scheme = "https" if secure else "http"
        self._app = app
        self._request = request
        self._head: tuple[int, bytes] | None = None
        self._parts: list[bytes] = []
        self._size = 0
        self._begun = False
        self._whole = False
        self._received = False
        self._gone = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Run the app to its end; the supervisor's task."""
        if self._gone.is_set():
            return
        self._task = asyncio.current_task()
        request = self._request
        try:
            await self._app(self._scope(), self._receive, self._send)
            if not self._whole:
                raise RuntimeError("the application ended without an answer")
        except asyncio.CancelledError:
            if not self._gone.is_set():
                raise
        except Exception:
            if self._gone.is_set():
                return
            log.exception("internal_error", path=request.path.decode("latin-1"))
            if self._begun:
                request.connection.cut()
            elif not self._whole:
                failure = Failure("internal", "the gateway failed on this request; its log says why")
                body = failure.body(dialect_of(request.path), self._id.decode())
                named = b"content-type: application/json\r\n" + self._named
                request.connection.respond(failure.status, named, body)

    def client_gone(self) -> None:
        self._gone.set()
        self._drained.set()
        if self._task is not None:
            self._task.cancel()

    def client_paused(self) -> None:
        self._drained.clear()

    def client_resumed(self) -> None:
        self._drained.set()

    def _scope(self) -> Scope:
        request = self._request
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": request.version,
            "method": request.method.decode("ascii"),
            "scheme": self._scheme,
            "path": _percent_decoded(request.path),
            "raw_path": request.path,
            "query_string": request.query,
            "root_path": "",
            "headers": request.headers,
            "client": None,
            "server": None,
            "extensions": {REQUEST_ID: {"id": self._id.decode()}},
        }

    async def _receive(self) -> Message:
        if not self._received:
            self._received = True
            return {"type": "http.request", "body": self._request.body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            block = self._named
            for name, value in message.get("headers", ()):
                if name.lower() not in (b"content-length", b"transfer-encoding", b"connection", b"x-request-id"):
                    block += b"%b: %b\r\n" % (name, value)
            self._head = (message["status"], block)
            return
        assert message["type"] == "http.response.body"
        assert self._head is not None
        status, block = self._head
        connection = self._request.connection
        body = message.get("body", b"")
        more = message.get("more_body", False)
        if self._whole:
            await asyncio.sleep(0)  # an app that only sends must come to hear that nobody listens
            return  # the connection may be with its next request already
        if self._begun:
            if body:
                connection.write(body)
        else:
            self._parts.append(body)
            self._size += len(body)
            long = self._size > HOLD_BYTES
            if not more or (long and self._request.method == b"HEAD"):
                self._whole = True
                connection.respond(status, block, b"".join(self._parts))
                if more:
                    self._gone.set()  # nobody wants the rest
                return
            if long:
                self._begun = True
                connection.begin_stream(status, block, b"".join(self._parts))
                self._parts.clear()
        if not more:
            self._whole = True
            connection.end_stream()
        await self._drained.wait()


def _percent_decoded(path: bytes) -> str:
    return unquote_to_bytes(path).decode("utf-8", "replace")
