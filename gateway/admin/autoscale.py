"""`/admin/v1/autoscale`: how many replicas each engine should have, and why; and what was decided lately."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Any, Final, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.control.autoscale import Decided

PATH: Final = "/admin/v1/autoscale"


class Scales(Protocol):
    """Who knows."""

    def status(self) -> list[dict[str, Any]]:
        """Each engine that follows its traffic."""

    def decisions(self) -> list[Decided]:
        """The last of those that changed anything, the newest first."""


class Autoscales(Protocol):
    """Whose they are."""

    @property
    def autoscaling(self) -> Scales: ...


def autoscale_routes(gateway: Autoscales) -> Sequence[tuple[str, str, Callable[[Request], Awaitable[Response]]]]:
    """Method, path and handler of each endpoint."""

    async def told(_: Request) -> Response:
        scales = gateway.autoscaling
        decisions = [asdict(one) for one in scales.decisions()]
        return JSONResponse({"object": "list", "data": scales.status(), "decisions": decisions})

    return [("GET", PATH, told)]
