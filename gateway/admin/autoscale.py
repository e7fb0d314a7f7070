"""`/admin/v1/autoscale`: how many replicas each engine should have, and why; and what was decided lately.

Without parameters, the last decisions of this gateway, from memory; with any, those of all gateways that share a store,
or, where there is none, what memory has of them.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Any, Final, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway import clock
from gateway.control.scaling.decisions import Decided
from gateway.errors import Failure
from gateway.store.messages import AskRead, FreezeDrift, Read
from gateway.store.reports.asked import wanted_scalings
from gateway.store.reports.requests import NotWanted
from gateway.store.scalings.table import WantedScalings, told_at

PATH: Final = "/admin/v1/autoscale"
FAR_MS: Final = 253_402_300_799_000
"""The last second that is written in four digits."""


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

    async def read(self, question: AskRead | FreezeDrift) -> Read:
        """What the store says."""


def _of(decided: Sequence[Decided], wanted: WantedScalings) -> list[Decided]:
    """Those of memory that are wanted."""
    since, until = told_at(wanted.since_ms), told_at(min(wanted.until_ms, FAR_MS))
    found = [one for one in decided if since <= one.at < until and wanted.engine in (None, one.engine)]
    return found[: wanted.limit]


def autoscale_routes(gateway: Autoscales) -> Sequence[tuple[str, str, Callable[[Request], Awaitable[Response]]]]:
    """Method, path and handler of each endpoint."""

    async def told(request: Request) -> Response:
        asked, scales = dict(request.query_params), gateway.autoscaling
        if not asked:
            return answered(scales, [asdict(one) for one in scales.decisions()], "")
        now_s = clock.wall()
        try:
            wanted = wanted_scalings(asked, now_s)
        except NotWanted as error:
            raise Failure("invalid_field", str(error)) from None
        stored = await gateway.read(AskRead("scalings", asked, now_s))
        if stored.away:  # the last of them are known all the same
            return answered(scales, [asdict(one) for one in _of(scales.decisions(), wanted)], stored.away)
        document = json.loads(stored.document)
        return answered(scales, document["data"], "", "store")

    def answered(scales: Scales, decisions: list[dict[str, Any]], away: str, source: str = "memory") -> Response:
        document = {"object": "list", "data": scales.status(), "decisions": decisions, "decisions_from": source}
        return JSONResponse(document | ({"store_away": away} if away else {}))

    return [("GET", PATH, told)]
