"""`/admin/v1/drift`: what is known of drift, as of the last whole hour.

GET   /admin/v1/drift                     every model, arm and route: how each signal stands, and the last alarms
POST  /admin/v1/drift/freeze?model=chat   from now on, compare the model with the week before now
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway import clock
from gateway.errors import Failure
from gateway.settings import Settings
from gateway.store.messages import AskRead, FreezeDrift, Read

PATH: Final = "/admin/v1/drift"


class Drifts(Protocol):
    """Who has a store, and models."""

    async def read(self, question: AskRead | FreezeDrift) -> Read:
        """What the store says."""

    @property
    def settings(self) -> Settings:
        """The settings in use."""


def drift_routes(gateway: Drifts) -> Sequence[tuple[str, str, Callable[[Request], Awaitable[Response]]]]:
    """Method, path and handler of each endpoint."""

    async def report(_: Request) -> Response:
        told = await gateway.read(AskRead("drift", {}, clock.wall()))
        return Response(_known(told).document, media_type="application/json")

    async def freeze(request: Request) -> Response:
        model = request.query_params.get("model", "")
        if not model:
            raise Failure("invalid_field", f"`model` is missing: {PATH}/freeze?model=NAME", "model")
        if model not in gateway.settings.models:
            raise Failure("model_not_found", f"there is no model {model[:128]!r}", "model")
        _known(await gateway.read(FreezeDrift(model, request.state.key_id)))
        return JSONResponse({"object": "drift.freeze", "model": model})

    return [("GET", PATH, report), ("POST", f"{PATH}/freeze", freeze)]


def _known(told: Read) -> Read:
    if told.away:
        raise Failure("store_away", f"drift is not known now: {told.away}")
    return told
