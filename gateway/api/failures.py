"""How the Starlette apps say what went wrong: the one table of `gateway.errors`, in OpenAI's shape."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gateway.errors import Failure
from gateway.http.asgi import REQUEST_ID
from gateway.http.detours import like, right_base_url
from gateway.http.request import dialect_of

_ANTHROPICS = re.compile(rb"/messages(/count_tokens)?/?$")

_MEANT = {
    "/healthz": "/health",
    "/livez": "/health",
    "/readyz": "/ready",
    "/admin": "/admin/v1",
    "/admin/v1/rollouts": "/admin/v1/experiments",
}
"""What others call it, or another part of this one does."""


def answer(path: bytes, failure: Failure, request_id: str = "") -> Response:
    """A failure as an answer, in the format that a client of this path expects."""
    body = failure.body(dialect_of(path), request_id)
    response = Response(body, status_code=failure.status, media_type="application/json")
    for line in failure.headers().split(b"\r\n"):
        name, _, value = line.partition(b": ")
        if name:
            response.headers[name.decode()] = value.decode()
    return response


def _told(request: Request, failure: Failure) -> Response:
    path = request.scope.get("raw_path", b"")
    if "anthropic-version" in request.headers or _ANTHROPICS.search(path):
        path = b"/v1/messages"  # a wrong base URL does not make it another's client
    return answer(path, failure, request.scope.get("extensions", {}).get(REQUEST_ID, {}).get("id", ""))


async def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, Failure)
    return _told(request, error)


async def _broken(request: Request, error: Exception) -> Response:
    # Starlette raises the error again after this answer, and whoever runs the app logs it.
    return _told(request, Failure("internal", "the gateway failed on this request; its log says why"))


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.scope["path"][:200]  # not `request.url`, which trips over a strange Host
    if error.status_code == 405:
        allow = (error.headers or {}).get("Allow", "GET")
        return _told(request, Failure("method_not_allowed", f"{path} takes {allow}", allow=allow))
    host = request.headers.get("host", "")
    mended = right_base_url(path, host, request.scope["scheme"])
    meant = like(path) or _MEANT.get(path.removesuffix("/"), "")
    if meant == path:  # it is known, and asked for at the port of `admin.listen`
        where = "it is served at the port of clients (`server.port`)"
    else:
        elsewhere, listed = "the API is under /v1", "/docs"
        if path.startswith("/v1/"):
            elsewhere = "it is not relayed by this gateway"
        elif path.startswith("/admin/"):
            elsewhere, listed = "it is not of the admin API", "/admin/v1"
        where = mended or (f"did you mean {meant}?" if meant else f"{elsewhere}, and GET {listed} says what there is")
    return _told(request, Failure("not_found", f"there is nothing at {path!r}; {where}"))


HANDLERS: Mapping[Any, Any] = {Failure: _failed, HTTPException: _http_exception, Exception: _broken}
"""For Starlette's `exception_handlers`."""
