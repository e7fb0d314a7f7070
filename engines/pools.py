"""The connections of one process, by where they go: they outlive the engines and configurations that use them.

An engine takes a pool for each of its replicas and gives it back when the replica leaves or the engine is closed. While
anybody has it, its idle connections stay warm, so a changed key, header or time limit, or one replica more, costs
nobody a new connection. With its last user gone, a pool closes what is idle at once and what is busy when it ends.
"""

from __future__ import annotations

import pathlib
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from engines.http1.origin import Origin, parse_origin
from engines.pool import Pool
from engines.port import Spawn


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose certificate is believed on an https connection."""

    verify: bool = True
    """False accepts any certificate."""
    ca_file: str | None = None
    """A PEM file of authorities; None is those of the system."""


SYSTEM = Trust()

_Key = tuple[str, int, str | None, ssl.SSLContext | None, int]
"""Host, port, unix socket, TLS context and most connections."""


class Contexts:
    """TLS contexts, one for each `Trust`. To make one takes 10 ms: `prepare` may be called in another thread."""

    def __init__(self) -> None:
        self._made: dict[Trust, tuple[bytes, ssl.SSLContext]] = {}

    def prepare(self, trusts: Iterable[Trust]) -> None:
        """Make what is missing, and anew what rests on a file whose content has changed.

        Raises OSError or ssl.SSLError for a file that cannot be used.
        """
        for trust in set(trusts):
            content = b"" if trust.ca_file is None else sha256(pathlib.Path(trust.ca_file).read_bytes()).digest()
            known = self._made.get(trust)
            if known is None or known[0] != content:
                self._made[trust] = content, _context(trust)

    def get(self, trust: Trust) -> ssl.SSLContext:
        """The context of `trust`. Raises as `prepare` does, when it must be made first."""
        if trust not in self._made:
            self.prepare((trust,))
        return self._made[trust][1]


class Pools:
    """See the module. `take` and `give_back` come in pairs."""

    def __init__(self, spawn: Spawn, contexts: Contexts | None = None) -> None:
        self.contexts = contexts or Contexts()
        self._spawn = spawn
        self._pools: dict[_Key, Pool] = {}
        self._users: dict[Pool, tuple[_Key, int]] = {}

    def origin(self, url: str, trust: Trust) -> Origin:
        """Where `url` is. Raises ValueError for one that cannot be used."""
        return parse_origin(url, self.contexts.get(trust) if url.startswith("https:") else None)

    def take(self, origin: Origin, limit: int) -> Pool:
        """The pool of the server there, with at most `limit` connections. Its base path does not matter."""
        key = origin.host, origin.port, origin.uds, origin.tls, limit
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = Pool(origin, self._spawn, limit=limit)
            self._users[pool] = key, 0
        self._users[pool] = key, self._users[pool][1] + 1
        return pool

    def give_back(self, pool: Pool) -> None:
        """One user less."""
        key, users = self._users[pool]
        if users > 1:
            self._users[pool] = key, users - 1
        else:
            del self._users[pool], self._pools[key]
            pool.close()

    def __len__(self) -> int:
        """How many servers somebody has a pool of."""
        return len(self._pools)


def _context(trust: Trust) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=trust.ca_file)
    if not trust.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
