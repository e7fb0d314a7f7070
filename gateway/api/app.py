"""The control app: GET endpoints for clients, orchestrators and Prometheus. Thin handlers over the worker's state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from engines.model import Operation
from engines.wire import FORMATS
from gateway.errors import Failure
from gateway.telemetry.exposition import CONTENT_TYPE
from gateway.workers.questions import LinkError

if TYPE_CHECKING:
    from gateway.identity import Principal
    from gateway.workers.worker import Worker

CREATED = 0
"""OpenAI's model objects have a creation time; ours are names in a file, which have none."""


def control_app(worker: Worker) -> Starlette:
    """The app of one worker."""

    def caller(request: Request) -> Principal:
        authorization, api_key = request.headers.get("authorization"), request.headers.get("x-api-key")
        principal = worker.dispatcher.snapshot.keyring.find(
            authorization.encode("latin-1") if authorization is not None else None,
            api_key.encode("latin-1") if api_key is not None else None,
        )
        if principal is None:
            raise Failure("invalid_api_key", "an API key is needed here; send `Authorization: Bearer YOUR_KEY`")
        return principal

    def card(name: str) -> dict[str, object]:
        return {"id": name, "object": "model", "created": CREATED, "owned_by": "penstock"}

    async def models(request: Request) -> Response:
        principal = caller(request)
        names = worker.dispatcher.snapshot.fleet.models
        return JSONResponse({"object": "list", "data": [card(name) for name in names if principal.may_use(name)]})

    async def model(request: Request) -> Response:
        principal = caller(request)
        name = request.path_params["name"]
        fleet = worker.dispatcher.snapshot.fleet
        if name not in fleet.models or not principal.may_use(name):
            nearest = [near for near in fleet.nearest(name) if principal.may_use(near)]
            hint = f"; did you mean {' or '.join(nearest)}?" if nearest else "; GET /v1/models lists the models"
            raise Failure("model_not_found", f"the model {name[:128]!r} does not exist{hint}", "model")
        return JSONResponse(card(name))

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(_: Request) -> Response:
        if worker.ready:
            return JSONResponse({"status": "ready"})
        status = "draining" if worker.draining else "starting"
        return JSONResponse({"status": status}, status_code=503)

    async def metrics(_: Request) -> Response:
        try:
            text = await worker.exposition()
        except (LinkError, TimeoutError):
            return PlainTextResponse("the control plane did not answer in time\n", status_code=503)
        return Response(text, media_type=CONTENT_TYPE)

    app = Starlette(
        routes=[
            Route("/v1/models", models, methods=["GET"]),
            Route("/v1/models/{name:path}", model, methods=["GET"]),
            Route("/health", health, methods=["GET"]),
            Route("/ready", ready, methods=["GET"]),
            Route("/metrics", metrics, methods=["GET"]),
        ],
        exception_handlers={Failure: _failed, HTTPException: _http_exception, Exception: _broken},
    )
    app.router.redirect_slashes = False
    return app


def _answer(failure: Failure) -> Response:
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
    return _answer(error)


async def _broken(_: Request, error: Exception) -> Response:
    # Starlette raises the error again after this answer, and `gateway.http.asgi` logs it.
    return _answer(Failure("internal", "the gateway failed on this request; its log says why"))


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.scope["path"][:200]  # not `request.url`, which trips over a strange Host
    if error.status_code == 405:
        allow = (error.headers or {}).get("Allow", "GET")
        return _answer(Failure("method_not_allowed", f"{path} takes {allow}", allow=allow))
    return _answer(Failure("not_found", f"there is nothing at {path!r}; the API is under /v1"))
