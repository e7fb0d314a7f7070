"""`/admin/v1/replicas`: which replicas there are, how they are, and which of them get nothing new."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from engines.turns import own_turn
from gateway.errors import Failure

LIST: Final = "/admin/v1/replicas"
_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """One replica of one engine."""

    engine: str
    replica: str
    state: str
    """`ready`, `unhealthy`, `asleep`, or what a launched one is doing: `starting`, `backoff`, `stopping`."""
    draining: bool = False
    """Whether it gets nothing new."""


class Replicas(Protocol):
    """Who knows the replicas."""

    def replicas(self, named: str | None = None) -> Iterable[Sequence[ReplicaStatus]]:
        """All of them, some of one engine at a time, in the order of the configuration. Where `named` is given, those
        whose ENGINE/REPLICA that is, and more: those of every engine that the name may begin with."""

    def drain_replica(self, engine: str, replica: str, draining: bool = True) -> bool:
        """Send a replica nothing new, or again, in every worker; returns whether it is there to be sent anything."""


def replica_routes(gateway: Replicas) -> Sequence[tuple[str, str, Callable[[Request], Awaitable[Response]]]]:
    """Method, path and handler of each endpoint."""

    async def listed(_: Request) -> Response:
        told: list[bytes] = []
        for statuses in gateway.replicas():
            told += map(_encode, statuses)
            await own_turn()  # there may be 19,200, and requests are served meanwhile
        return Response(b'{"object":"list","data":[%b]}' % b",".join(told), media_type="application/json")

    def found(name: str) -> ReplicaStatus:
        # Both names may hold a slash, so they are looked for together.
        for status in chain.from_iterable(gateway.replicas(name)):
            if f"{status.engine}/{status.replica}" == name:
                return status
        raise Failure("not_found", f"there is no replica {name[:257]!r}; GET {LIST} lists ENGINE and REPLICA of each")

    def marking(draining: bool) -> Callable[[Request], Awaitable[Response]]:
        async def mark(request: Request) -> Response:
            status = found(request.path_params["name"])
            if not gateway.drain_replica(status.engine, status.replica, draining):
                which = f"the replica {status.replica!r} of engine {status.engine!r}"
                raise Failure("not_found", f"{which} takes no requests: it is {status.state}")
            told = _encode(found(f"{status.engine}/{status.replica}"))
            return Response(told, media_type="application/json")

        return mark

    return [
        ("GET", LIST, listed),
        ("POST", LIST + "/{name:path}/drain", marking(True)),
        ("POST", LIST + "/{name:path}/undrain", marking(False)),
    ]
