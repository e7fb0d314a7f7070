"""The control app: GET endpoints for clients, orchestrators and Prometheus. Thin handlers over the worker's state.

`/admin` and `/v1/feedback` are passed through to the control plane (`gateway.admin`), so that one port serves them
whichever worker is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from engines.model import Operation
from gateway.api.about import about_routes
from gateway.api.capabilities import Capabilities
from gateway.api.failures import HANDLERS
from gateway.api.surface import Served
from gateway.errors import Failure
from gateway.identity import Keyring, Principal
from gateway.links.questions import LinkError
from gateway.settings import Settings
from gateway.telemetry.exposition import CONTENT_TYPE
from gateway.wildcard_names import hint, is_wildcard, wildcard_of
from gateway.workers.exchange.messages import AdminAnswer, AdminRequest, ModelCard

UNKNOWN = ModelCard("", 0, "penstock", 0)
"""Of a model of which the control plane has said nothing yet."""
ANTHROPICS = "anthropic-version"
"""The header that every client of Anthropic's sends, and no other: it is answered in that format."""
AZURES = ("/openai", "/openai/v1")
"""Where clients of Azure's OpenAI ask for the models: in its older way, and in the one that they call v1."""
ADMIN_BODY_BYTES = 1024 * 1024
ADMIN_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class Catalog(Protocol):
    """The public models: `routing.fleet.Fleet`."""

    @property
    def models(self) -> Mapping[str, object]: ...

    def nearest(self, name: str) -> Sequence[str]:
        """Names that `name` may have been meant for, best first."""


class Shown(Protocol):
    """What the app shows: `gateway.workers.worker.Worker`."""

    @property
    def ready(self) -> bool: ...

    @property
    def draining(self) -> bool: ...

    @property
    def keyring(self) -> Keyring: ...

    @property
    def catalog(self) -> Catalog: ...

    @property
    def cards(self) -> Mapping[str, ModelCard]:
        """What engines say of public models, by name; of some nothing."""

    @property
    def settings(self) -> Settings:
        """The configuration in use."""

    async def exposition(self) -> Sequence[bytes]:
        """All metrics. Raises TimeoutError or LinkError without an answer of the control plane."""

    async def administer(self, request: AdminRequest) -> AdminAnswer:
        """What the admin API answers. Raises TimeoutError or LinkError without an answer of the control plane."""


def control_app(gateway: Shown) -> Starlette:
    """The app of one worker."""

    def caller(request: Request) -> Principal:
        return gateway.keyring.admit(dict(request.scope["headers"]))

    def able(name: str, operation: Operation) -> Capabilities:
        settings = gateway.settings
        known = settings.models.get(name) or settings.models.get(wildcard_of(name, settings.models))
        return Capabilities(known, settings.engines, operation)

    def known_of(name: str) -> ModelCard:
        return gateway.cards.get(name) or gateway.cards.get(wildcard_of(name, gateway.settings.models), UNKNOWN)

    def card(name: str) -> dict[str, object]:
        known = known_of(name)
        said = {"id": name, "object": "model", "created": known.created, "owned_by": known.owned_by or UNKNOWN.owned_by}
        length = {"max_model_len": known.max_model_len} if known.max_model_len else {}
        return {**said, **length, "capabilities": able(name, Operation.CHAT).of_openai()}

    def anthropics_card(name: str) -> dict[str, object]:
        known = known_of(name)
        when = datetime.fromtimestamp(known.created, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        said = {"type": "model", "id": name, "display_name": name, "created_at": when, "lifecycle": "active"}
        length = {"max_input_tokens": known.max_model_len} if known.max_model_len else {}
        return {**said, **length, "capabilities": able(name, Operation.MESSAGES).of_anthropic()}

    async def models(request: Request) -> Response:
        principal = caller(request)
        names = [name for name in gateway.catalog.models if principal.may_use(name) and not is_wildcard(name)]
        if ANTHROPICS in request.headers:
            ends = {"first_id": names[0] if names else None, "last_id": names[-1] if names else None}
            return JSONResponse({"data": [anthropics_card(name) for name in names], "has_more": False, **ends})
        return JSONResponse({"object": "list", "data": [card(name) for name in names]})

    async def model(request: Request) -> Response:
        principal = caller(request)
        name = request.path_params["name"].removesuffix("/")
        catalog = gateway.catalog
        served = (name in catalog.models or wildcard_of(name, catalog.models)) and not is_wildcard(name)
        if not served or not principal.may_use(name):
            nearest = [near for near in catalog.nearest(name) if principal.may_use(near)]
            raise Failure("model_not_found", f"the model {name[:128]!r} does not exist{hint(nearest)}", "model")
        return JSONResponse(anthropics_card(name) if ANTHROPICS in request.headers else card(name))

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(_: Request) -> Response:
        if gateway.ready:
            return JSONResponse({"status": "ready"})
        status = "draining" if gateway.draining else "starting"
        return JSONResponse({"status": status}, status_code=503)

    async def metrics(request: Request) -> Response:
        readers = gateway.settings.server.metrics
        if readers == "off":
            raise Failure("not_found", "metrics are not served at this port (`server.metrics: off`)")
        if readers == "key":
            principal = caller(request)
            if not (principal.metrics or principal.admin):
                needed = f"the key {principal.key_id!r} may not read them; it needs `metrics: true`"
                raise Failure("admin_not_allowed", needed)
        try:
            parts = await gateway.exposition()
        except (LinkError, TimeoutError):
            return PlainTextResponse("the control plane did not answer in time\n", status_code=503)
        return _Parts(parts, CONTENT_TYPE)

    async def admin(request: Request) -> Response:
        if gateway.settings.admin is not None and request.scope["path"].startswith("/admin"):
            # Where that is, is nobody's business here.
            raise Failure("not_found", "the admin API is not served at this port, but at `admin.listen`")
        body = await request.body()
        if len(body) > ADMIN_BODY_BYTES:
            raise Failure("body_too_large", f"such a request holds at most {ADMIN_BODY_BYTES // 1024} KiB")
        scope = request.scope
        try:
            answer = await gateway.administer(
                AdminRequest(request.method, scope["raw_path"], scope["query_string"], list(scope["headers"]), body)
            )
        except (LinkError, TimeoutError):
            busy = "the control plane did not answer; try again in 1 s"
            raise Failure("control_plane_busy", busy, retry_after_s=1.0) from None
        response = Response(answer.body, status_code=answer.status)
        response.raw_headers = list(answer.headers)
        return response

    def usable(request: Request) -> list[str] | None:
        try:
            principal = caller(request)
        except Failure:
            return None
        return [name for name in gateway.catalog.models if principal.may_use(name)]

    def served() -> Served:
        settings = gateway.settings
        return Served(not gateway.keyring.is_open, settings.server.metrics, settings.admin is None)

    probes = (("health", health), ("ready", ready), ("metrics", metrics))
    app = Starlette(
        routes=[
            *_with_slash(about_routes(usable, served)),
            *_with_slash(Route(f"{base}/models", models, methods=["GET"]) for base in ("/v1", *AZURES)),
            *(Route(f"{base}/models/{{name:path}}", model, methods=["GET"]) for base in ("/v1", *AZURES)),
            *_with_slash(Route(f"/{name}", each, methods=["GET"]) for name, each in probes),
            Route("/admin/{path:path}", admin, methods=ADMIN_METHODS),
            Route("/v1/feedback", admin, methods=["POST"]),
        ],
        exception_handlers=dict(HANDLERS),
    )
    app.router.redirect_slashes = False
    return app


def _with_slash(routes: Iterable[Route]) -> Iterator[Route]:
    """Each of these, and the same with a slash at its end, which people and base URLs add."""
    for route in routes:
        yield route
        if route.path != "/":
            yield Route(f"{route.path}/", route.endpoint, methods=["GET"])


class _Parts(Response):
    """One part to a turn of the loop, which has streams to serve.

    Starlette's own streamed response would import the whole of anyio's backend at its first use: 40 ms of the loop.
    """

    def __init__(self, parts: Sequence[bytes], media_type: str) -> None:
        super().__init__(media_type=media_type)
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for part in self._parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b""})
