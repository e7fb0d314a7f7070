"""An engine that speaks OpenAI-shaped HTTP: vLLM, its simulator, and every provider with an OpenAI-compatible door.

Everything that does not change from one request to the next is bytes before the first request comes: the request line,
Host, credentials and fixed headers of each (replica, path).
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from typing import Final

from engines.collect import fetch
from engines.errors import EngineError
from engines.http1.origin import parse_origin
from engines.http1.secrecy import Secrets
from engines.model import Deadlines, Operation
from engines.pool import Pool
from engines.port import Exchange, Outgoing, Replica, Sink, Spawn
from engines.wire import DIALECTS, Dialect

ALWAYS: Final = b"user-agent: penstock\r\naccept-encoding: identity\r\ncontent-type: application/json\r\n"
"""What goes with every request. A compressed answer would only have to be unpacked: we read it, and a stream of small
events gains nothing."""


class HttpEngine:
    """One named engine of OpenAI-shaped HTTP servers. Satisfies `engines.port.Engine`."""

    __slots__ = (
        "_heads",
        "_health",
        "_hidden",
        "_pools",
        "_probe_deadlines",
        "accepts_stream_options",
        "kind",
        "name",
        "operations",
        "replicas",
        "secrets",
    )

    def __init__(
        self,
        name: str,
        kind: str,
        replicas: Sequence[Replica],
        operations: frozenset[Operation],
        spawn: Spawn,
        *,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        connections: int = 10_000,
        version_in_url: bool = False,
        health_path: str | None = None,
        probe_timeout_s: float = 2.0,
        accepts_stream_options: bool = True,
    ) -> None:
        """`version_in_url`: replica URLs end in `/v1` (or what stands for it), so paths are sent without theirs.

        `health_path`: a free GET endpoint that answers 200 when the replica is up; None where there is none.
        Raises ValueError for a URL that cannot be used.
        """
        self.name = name
        self.kind = kind
        self.replicas = tuple(replicas)
        self.operations = operations
        self.accepts_stream_options = accepts_stream_options
        self.secrets = tuple(
            secret.encode() for secret in (api_key, *(headers or {}).values()) if secret and len(secret) >= 8
        )
        """What must never be seen in an answer that is passed on."""
        self._hidden = Secrets(self.secrets) if self.secrets else None
        fixed = ALWAYS
        if api_key:
            fixed += b"authorization: Bearer %b\r\n" % api_key.encode()
        for field, value in (headers or {}).items():
            fixed += b"%b: %b\r\n" % (field.lower().encode(), value.encode())
        self._pools: dict[str, Pool] = {}
        self._heads: dict[tuple[str, str], bytes] = {}
        self._health: dict[str, bytes] = {}
        self._probe_deadlines = Deadlines(
            connect_s=probe_timeout_s, first_byte_s=probe_timeout_s, idle_s=probe_timeout_s, total_s=probe_timeout_s
        )
        for replica in self.replicas:
            origin = parse_origin(replica.url, tls)
            self._pools[replica.id] = Pool(origin, spawn, limit=connections)
            host = b"host: %b\r\n" % origin.authority.encode()
            base = origin.base_path.encode()
            for operation in operations:
                path = operation.value.removeprefix("/v1") if version_in_url else operation.value
                self._heads[replica.id, operation.value] = (
                    b"POST %b%b HTTP/1.1\r\n" % (base, path.encode()) + host + fixed
                )
            if health_path is not None:
                self._health[replica.id] = b"GET %b%b HTTP/1.1\r\n%b%b\r\n" % (base, health_path.encode(), host, fixed)

    def dialect(self, operation: Operation) -> Dialect:
        return DIALECTS[operation]

    def send(self, replica_id: str, outgoing: Outgoing, deadlines: Deadlines, sink: Sink) -> Exchange:
        body = outgoing.body
        fixed = self._heads[replica_id, outgoing.path]
        head = b"%b%bcontent-length: %d\r\n\r\n" % (fixed, outgoing.headers, len(body))
        return self._pools[replica_id].send(head, body, deadlines, sink, self._hidden)

    async def probe(self, replica_id: str) -> bool:
        head = self._health.get(replica_id)
        if head is None:
            return True
        try:
            status, _ = await fetch(self._pools[replica_id], head, deadlines=self._probe_deadlines)
        except EngineError:
            return False
        return status == 200

    async def close(self) -> None:
        for pool in self._pools.values():
            pool.close()

    @property
    def open_connections(self) -> int:
        """Connections that exist or are being made, over all replicas."""
        return sum(pool.open_connections for pool in self._pools.values())
