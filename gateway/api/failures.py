"""How the Starlette apps say what went wrong: the one table of `gateway.errors`, in OpenAI's shape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from engines.model import Operation
from engines.wire import FORMATS
from gateway.errors import Failure


def answer(failure: Failure) -> Response:
    """A failure as an answer."""
    response = Response(
        failure.body(FORMATS[Operation.CHAT], ""), status_code=failure.status, media_type="application/json"
    )
    for line in failure.headers().split(b"\r\n"):
        name, _, value = line.partition(b": ")
        if name:
            response.headers[name.decode()] = value.decode()
    return response


async def _failed(_: Request, error: Exception) -> Response:
    assert isinstance(error, Failure)
    return answer(error)


async def _broken(_: Request, error: Exception) -> Response:
    # Starlette raises the error again after this answer, and whoever runs the app logs it.
    return answer(Failure("internal", "the gateway failed on this request; its log says why"))


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.scope["path"][:200]  # not `request.url`, which trips over a strange Host
    if error.status_code == 405:
        allow = (error.headers or {}).get("Allow", "GET")
        return answer(Failure("method_not_allowed", f"{path} takes {allow}", allow=allow))
    return answer(Failure("not_found", f"there is nothing at {path!r}; the API is under /v1"))


HANDLERS: Mapping[Any, Any] = {Failure: _failed, HTTPException: _http_exception, Exception: _broken}
"""For Starlette's `exception_handlers`."""
