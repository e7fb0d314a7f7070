"""`/admin/v1/autoscale`: how many replicas each engine should have, and why; and what was decided lately.

Without parameters, the last decisions of this gateway, from memory; with any, those of all gateways that share a store,
or, where there is none, what memory has of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from engines.turns import own_turn
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
AT_ONCE: Final = 256
"""Decisions that are written in one turn of the loop: they take 0.1 ms."""
_encode: Final = msgspec.json.Encoder().encode


class _Stored(msgspec.Struct):
    """What the store says, as far as it is taken apart."""

    data: msgspec.Raw


_stored: Final = msgspec.json.Decoder(_Stored).decode


class Scales(Protocol):
    """Who knows."""

    def statuses(self) -> Iterable[dict[str, Any]]:
        """Each engine that follows its traffic, read one by one: loops turn in between."""

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
            return await answered(scales, await written(scales.decisions()), "memory")
        now_s = clock.wall()
        try:
            wanted = wanted_scalings(asked, now_s)
        except NotWanted as error:
            raise Failure("invalid_field", str(error)) from None
        stored = await gateway.read(AskRead("scalings", asked, now_s))
        if stored.away:  # the last of them are known all the same
            away = b',"store_away":%b' % _encode(stored.away)
            return await answered(scales, await written(_of(scales.decisions(), wanted)), "memory", away)
        return await answered(scales, bytes(_stored(stored.document).data), "store")

    async def written(decided: Sequence[Decided]) -> bytes:
        told: list[bytes] = []
        for start in range(0, len(decided), AT_ONCE):
            told += map(_encode, decided[start : start + AT_ONCE])
            await own_turn()
        return b"[%b]" % b",".join(told)

    async def answered(scales: Scales, decisions: bytes, source: str, more: bytes = b"") -> Response:
        engines: list[bytes] = []
        for status in scales.statuses():
            engines.append(_encode(status))
            await own_turn()
        document = b'{"object":"list","data":[%b],"decisions":%b,"decisions_from":%b%b}'
        told = document % (b",".join(engines), decisions, _encode(source), more)
        return Response(told, media_type="application/json")

    return [("GET", PATH, told)]
