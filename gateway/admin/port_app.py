"""What the admin port serves: the admin API, `/metrics`, and `/internal/v1/load` for the other gateways."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from gateway.admin.app import Administered, admin_routes, app_of
from gateway.admin.index import PATH as INDEX
from gateway.admin.index import index_routes
from gateway.api.surface import ApiMethod
from gateway.peers.answer import PATH
from gateway.peers.joined import Peering
from gateway.settings import Settings
from gateway.telemetry.exposition import CONTENT_TYPE

SERVED: Final = (
    (ApiMethod("GET", "/health", "Administration", "Whether the process lives"), "no key"),
    (
        ApiMethod("GET", "/metrics", "Administration", "Everything that is counted, for Prometheus"),
        "a key with `metrics: true` or `admin: true`; on 127.0.0.1 none",
    ),
    (
        ApiMethod("GET", PATH, "Administration", "What this gateway has to do, for its peers"),
        "peers.key, or a key with `admin: true`; on 127.0.0.1 none",
    ),
)
"""What stands beside the admin API here, each with what it needs."""


class Told(Administered, Protocol):
    """What is told there: `gateway.control.plane.Plane`."""

    @property
    def settings(self) -> Settings:
        """The settings in use."""

    @property
    def peering(self) -> Peering:
        """What this gateway is to the others."""

    def exposition(self) -> AsyncIterator[bytes]:
        """All metrics."""


def port_app(gateway: Told) -> Starlette:
    """The app. Who may ask what has been judged before it is asked (`gateway.admin.entry`)."""

    def local() -> bool:
        admin = gateway.settings.admin
        return admin is not None and admin.local

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def metrics(_: Request) -> Response:
        return _Exposed(gateway.exposition())

    async def load(_: Request) -> Response:
        return Response(await gateway.peering.own.document(), media_type="application/json")

    return app_of(
        [
            Route("/health", health, methods=["GET"]),
            Route("/metrics", metrics, methods=["GET"]),
            Route(PATH, load, methods=["GET"]),
            *admin_routes(gateway, local, lambda of: index_routes(of, SERVED, ("/", INDEX, f"{INDEX}/"))),
        ]
    )


class _Exposed(Response):
    """Each part as it is made: the loop turns between them."""

    def __init__(self, parts: AsyncIterator[bytes]) -> None:
        super().__init__(media_type=CONTENT_TYPE)
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del self.headers["content-length"]
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for part in self._parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b""})
