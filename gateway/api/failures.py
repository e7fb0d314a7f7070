"""How the Starlette apps say what went wrong: the one table of `gateway.errors`, in the shape of the path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gateway.errors import Failure
from gateway.http.request import format_of


def answer(failure: Failure, path: str = "") -> Response:
    """A failure as an answer, in the shape that clients of this path read."""
    body = failure.body(format_of(path.encode("utf-8", "replace")), "")
    response = Response(body, status_code=failure.status, media_type="application/json")
    for line in failure.headers().split(b"\r\n"):
        name, _, value = line.partition(b": ")
        if name:
            response.headers[name.decode()] = value.decode()
    return response


async def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, Failure)
    return answer(error, request.scope["path"])


async def _broken(request: Request, error: Exception) -> Response:
    # Starlette raises the error again after this answer, and whoever runs the app logs it.
    return answer(Failure("internal", "the gateway failed on this request; its log says why"), request.scope["path"])


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.scope["path"][:200]  # not `request.url`, which trips over a strange Host
    if error.status_code == 405:
        allow = (error.headers or {}).get("Allow", "GET")
        return answer(Failure("method_not_allowed", f"{path} takes {allow}", allow=allow), request.scope["path"])
    return answer(Failure("not_found", f"there is nothing at {path!r}; the API is under /v1"), request.scope["path"])


HANDLERS: Mapping[Any, Any] = {Failure: _failed, HTTPException: _http_exception, Exception: _broken}
"""For Starlette's `exception_handlers`."""
