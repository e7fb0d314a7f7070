"""`/admin/v1/replicas`: which replicas there are, how they are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response


@dataclass(frozen=True, slots=True)
class ReplicaStatus:
    """One replica of one engine."""

    engine: str
    replica: str
    state: str
    """`ready`, `unhealthy`, or what a launched one is doing: `starting`, `backoff`, `stopping`."""
    draining: bool = False
    """Whether it gets nothing new."""


class Replicas(Protocol):
    """Who knows the replicas."""

    def replicas(self) -> Iterable[ReplicaStatus]:
        """All of them, in the order of the configuration."""


def replica_routes(gateway: Replicas) -> Sequence[tuple[str, str, Callable[[Request], Awaitable[Response]]]]:
    """Method, path and handler of each endpoint."""

    async def listed(_: Request) -> Response:
        return JSONResponse({"object": "list", "data": [asdict(replica) for replica in gateway.replicas()]})

    return [("GET", "/admin/v1/replicas", listed)]
