"""What `penstock records query`, `cost report` and `shadow report` show, as JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from starlette.requests import Request
from starlette.responses import Response

from gateway import clock
from gateway.errors import Failure
from gateway.store.messages import AskRead, FreezeDrift, Read

RECORDS: Final = "/admin/v1/records"
COSTS: Final = "/admin/v1/costs"
SHADOW: Final = "/admin/v1/shadow"


class Keeps(Protocol):
    """Who has a store."""

    async def read(self, question: AskRead | FreezeDrift) -> Read:
        """What the store says."""


def record_routes(gateway: Keeps) -> Sequence[tuple[str, str, Callable[[Request], Awaitable[Response]]]]:
    """Method, path and handler of each endpoint."""

    def reading(what: str) -> Callable[[Request], Awaitable[Response]]:
        async def read(request: Request) -> Response:
            asked = request.query_params
            if len(asked.multi_items()) > len(asked):  # else the last would count, and nobody would know
                raise Failure("invalid_field", "each parameter is to be named once: `by=model,tenant`")
            told = await gateway.read(AskRead(what, dict(asked), clock.wall()))
            if told.wrong:
                raise Failure("invalid_field", told.wrong)
            if told.away:
                raise Failure("store_away", f"the store cannot be read: {told.away}")
            return Response(told.document, media_type="application/json")

        return read

    return [("GET", RECORDS, reading("records")), ("GET", COSTS, reading("costs")), ("GET", SHADOW, reading("shadow"))]
