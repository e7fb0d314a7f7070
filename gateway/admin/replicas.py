"""`/admin/v1/replicas`: which replicas there are, how they are, and which of them get nothing new."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Final, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from gateway.errors import Failure

LIST: Final = "/admin/v1/replicas"


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

    def replicas(self) -> Iterable[ReplicaStatus]:
        """All of them, in the order of the configuration."""

    def drain_replica(self, engine: str, replica: str, draining: bool = True) -> bool:
        """Send a replica nothing new, or again, in every worker; returns whether it is there to be sent anything."""


def replica_routes(gateway: Replicas) -> Sequence[tuple[str, str, Callable[[Request], Awaitable[Response]]]]:
    """Method, path and handler of each endpoint."""

    async def listed(_: Request) -> Response:
        return JSONResponse({"object": "list", "data": [asdict(replica) for replica in gateway.replicas()]})

    def found(name: str) -> ReplicaStatus:
        # Both names may hold a slash, so they are looked for together.
        for status in gateway.replicas():
            if f"{status.engine}/{status.replica}" == name:
                return status
        raise Failure("not_found", f"there is no replica {name[:257]!r}; GET {LIST} lists ENGINE and REPLICA of each")

    def marking(draining: bool) -> Callable[[Request], Awaitable[Response]]:
        async def mark(request: Request) -> Response:
            status = found(request.path_params["name"])
            if not gateway.drain_replica(status.engine, status.replica, draining):
                which = f"the replica {status.replica!r} of engine {status.engine!r}"
                raise Failure("not_found", f"{which} takes no requests: it is {status.state}")
            return JSONResponse(asdict(found(f"{status.engine}/{status.replica}")))

        return mark

    return [
        ("GET", LIST, listed),
        ("POST", LIST + "/{name:path}/drain", marking(True)),
        ("POST", LIST + "/{name:path}/undrain", marking(False)),
    ]
