"""The admin app: who may ask, what they may ask, and a line in the log of who did what.

A key with `admin: true` may. A gateway without keys is open, but its admin API only where nobody from elsewhere can
reach it: on loopback, or on a unix socket.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.admin.autoscale import Autoscales, autoscale_routes
from gateway.admin.drift import Drifts, drift_routes
from gateway.admin.experiments import HasReleases, experiment_routes
from gateway.admin.feedback import TakesFeedback, feedback_route
from gateway.admin.index import index_routes
from gateway.admin.records import Keeps, record_routes
from gateway.admin.replicas import Replicas, replica_routes
from gateway.admin.routing import Explains, routing_routes
from gateway.api.failures import HANDLERS
from gateway.errors import Failure
from gateway.http.visit import is_loopback
from gateway.identity import Keyring, Principal

Handler = Callable[[Request], Awaitable[Response]]
Routes = Sequence[tuple[str, str, Handler]]
"""Method, path and handler of each endpoint."""

log = structlog.get_logger()


class Administered(Replicas, Explains, Keeps, Drifts, HasReleases, TakesFeedback, Autoscales, Protocol):
    """What the admin API is about: `gateway.control.plane.Plane`."""

    @property
    def keyring(self) -> Keyring:
        """The keys in use."""

    @property
    def local(self) -> bool:
        """Whether only this machine can reach the gateway."""


def admin_app(gateway: Administered) -> Starlette:
    """What workers pass on, of those who ask at the port of clients."""
    return app_of(admin_routes(gateway, lambda: gateway.local))


def admin_routes(
    gateway: Administered, local: Callable[[], bool], index: Callable[[Administered], Routes] = index_routes
) -> list[Route]:
    """The admin API, where `local` says whether only this machine can ask it; `index` says what there is."""
    routes: Routes = [
        *index(gateway),
        *replica_routes(gateway),
        *routing_routes(gateway),
        *record_routes(gateway),
        *autoscale_routes(gateway),
        *drift_routes(gateway),
        *experiment_routes(gateway),
    ]
    method, path, give = feedback_route(gateway)  # it comes the same way, but is for every key
    return [
        Route(path, give, methods=[method]),
        *(Route(path, _guarded(gateway, handler, local), methods=[method]) for method, path, handler in routes),
    ]


def app_of(routes: Sequence[Route]) -> Starlette:
    """These routes as an app that tells failures as all of ours do."""
    app = Starlette(routes=routes, exception_handlers=dict(HANDLERS))
    app.router.redirect_slashes = False
    return app


def _guarded(gateway: Administered, handler: Handler, local: Callable[[], bool]) -> Handler:
    """The handler for those who may, and a log line for each who did."""

    async def guarded(request: Request) -> Response:
        principal = _allowed(gateway, request, local=local())
        request.state.key_id = principal.key_id or "(open)"
        response = await handler(request)
        log.info(
            "admin",
            key=request.state.key_id,
            method=request.method,
            path=request.scope["path"][:200],
            status=response.status_code,
        )
        return response

    return guarded


def _allowed(gateway: Administered, request: Request, *, local: bool) -> Principal:
    """Who asks. Raises Failure for anybody who may not."""
    authorization, api_key = request.headers.get("authorization"), request.headers.get("x-api-key")
    principal = gateway.keyring.find(
        authorization.encode("latin-1") if authorization is not None else None,
        api_key.encode("latin-1") if api_key is not None else None,
    )
    if principal is None:
        raise Failure("invalid_api_key", "the admin API needs a key with `admin: true`: `Authorization: Bearer KEY`")
    if gateway.keyring.is_open:
        if local:
            # Or a page whose own name was pointed at this machine (DNS rebinding) could administer the gateway.
            if is_loopback(request.headers.get("host", "").encode("latin-1")):
                return principal
            raise Failure(
                "admin_not_allowed", "without keys the admin API is asked at 127.0.0.1 or localhost, by no other name"
            )
        raise Failure(
            "admin_not_allowed",
            "this gateway has no keys and can be reached from elsewhere; its admin API needs a key with `admin: true`",
        )
    if not principal.admin:
        raise Failure("admin_not_allowed", f"the key {principal.key_id!r} has no `admin: true` in the configuration")
    return principal
