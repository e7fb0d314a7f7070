"""A request to the admin app that comes as a message, because a worker passed it through; and its answer, as one.

Both are whole and bounded: what is administered here is small, and one worker's link carries it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote_to_bytes

import structlog

from gateway.api.failures import answer as failure_answer
from gateway.errors import Failure
from gateway.workers.exchange.messages import AdminAnswer, AdminRequest

MAX_ANSWER_BYTES = 8 * 1024 * 1024

Message = MutableMapping[str, Any]
App = Callable[
    [MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]

log = structlog.get_logger()


async def passed(app: App, request: AdminRequest, *, most_bytes: int = MAX_ANSWER_BYTES) -> AdminAnswer:
    """What the app answers to one request; a failure of it is logged, and answered as one."""
    status, headers, parts, size = 0, list[tuple[bytes, bytes]](), list[bytes](), 0

    async def receive() -> Message:
        return {"type": "http.request", "body": request.body, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status, headers, size
        if message["type"] == "http.response.start":
            status, headers = message["status"], list(message.get("headers", ()))
            return
        body = message.get("body", b"")
        size += len(body)
        if size > most_bytes:
            raise ValueError(f"an admin answer of more than {most_bytes} bytes")
        parts.append(body)

    try:
        await app(_scope(request), receive, send)
    except Exception:
        log.exception("internal_error", path=request.path.decode("latin-1"))
        failed = failure_answer(b"", Failure("internal", "the gateway failed on this request; its log says why"))
        return AdminAnswer(failed.status_code, list(failed.raw_headers), bytes(failed.body))
    return AdminAnswer(status, headers, b"".join(parts))


def _scope(request: AdminRequest) -> MutableMapping[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": unquote_to_bytes(request.path).decode("utf-8", "replace"),
        "raw_path": request.path,
        "query_string": request.query,
        "root_path": "",
        "headers": request.headers,
        "client": None,
        "server": None,
    }
