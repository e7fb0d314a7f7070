"""The GET endpoints that say what this is: the front page, `/docs` and `/openapi.json`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from gateway.api.guides import PATH as GUIDE
from gateway.api.guides import folder, guide, links
from gateway.api.look import HEADERS
from gateway.api.openapi import document
from gateway.api.pages import docs, front
from gateway.api.surface import Served, endpoints
from gateway.http.detours import root_url
from gateway.version import VERSION, build

Models = Callable[[Request], Sequence[str] | None]
"""The models that the caller may use; None where there are keys and he showed none that is known."""


def about_routes(models: Models, served: Callable[[], Served]) -> list[Route]:
    """The routes; `served` says what this port serves now: a reload may change it."""
    version = f"{VERSION} ({build()})"
    guides = links(folder())

    def root(request: Request) -> str:
        return root_url(request.headers.get("host", ""), request.scope["scheme"])

    async def front_page(request: Request) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            now = served()
            shows = now.metrics == "open"
            shown = front(root(request), version, models(request), guides, shows_metrics=shows, keyed=now.keyed)
            return HTMLResponse(shown, headers=HEADERS)
        told = {"openai_base_url": f"{root(request)}/v1", "anthropic_base_url": root(request)}
        if served().metrics == "open":
            told["metrics"] = "/metrics"
        return JSONResponse({"name": "penstock", "version": VERSION, "docs": "/docs", **told})

    async def docs_page(request: Request) -> Response:
        now = served()
        return HTMLResponse(docs(root(request), version, list(endpoints(now)), keyed=now.keyed), headers=HEADERS)

    async def openapi(_: Request) -> Response:
        return JSONResponse(document(VERSION, endpoints(served())))

    return [
        Route("/", front_page, methods=["GET"]),
        Route("/docs", docs_page, methods=["GET"]),
        Route(GUIDE, guide, methods=["GET"]),
        Route("/openapi.json", openapi, methods=["GET"]),
    ]
