"""`/admin/v1`: what there is to ask, and which right it needs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.api.surface import ADMIN, ApiMethod
from gateway.identity import Keyring

PATH: Final = "/admin/v1"
ADMINS: Final = "a key with `admin: true`"
NOBODYS: Final = "no key: there are none, and only this machine can ask"


class HasKeys(Protocol):
    """Who knows the keys in use."""

    @property
    def keyring(self) -> Keyring: ...


def index_routes(
    gateway: HasKeys, also: Sequence[tuple[ApiMethod, str]] = (), paths: Sequence[str] = (PATH, f"{PATH}/")
) -> Sequence[tuple[str, str, Callable[[Request], Awaitable[Response]]]]:
    """Method, path and handler of each endpoint. `also` is what else this port serves, each with what it needs."""

    async def index(_: Request) -> Response:
        needs = NOBODYS if gateway.keyring.is_open else ADMINS
        rows = [(endpoint, needs) for endpoint in ADMIN] + list(also)
        return JSONResponse({"object": "list", "data": [_row(endpoint, needed) for endpoint, needed in rows]})

    return [("GET", path, index) for path in paths]


def _row(endpoint: ApiMethod, needs: str) -> dict[str, object]:
    row: dict[str, object] = {"method": endpoint.method, "path": endpoint.path}
    if endpoint.query:
        row["query"] = list(endpoint.query)
    return {**row, "summary": endpoint.summary, "needs": needs}
