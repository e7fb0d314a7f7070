"""The connections of one process, by where they go: they outlive the engines and configurations that use them.

An engine takes a pool for each of its replicas and gives it back when the replica leaves or the engine is closed. While
anybody has it, its idle connections stay warm, so a changed key, header or time limit, or one replica more, costs
nobody a new connection. With its last user gone, a pool closes what is idle at once and what is busy when it ends.
"""

from __future__ import annotations

import errno
import os
import pathlib
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

import structlog

from engines.files import NotReadable, read_regular
from engines.http1.origin import Origin, parse_origin
from engines.http1.proxy import Proxy, proxy_of, variable_for
from engines.pool import Pool
from engines.port import Spawn


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose certificate is believed on an https connection."""

    verify: bool = True
    """False accepts any certificate."""
    ca_file: str | None = None
    """A PEM file of authorities; None is those of the system."""
    client_cert: str | None = None
    """A PEM file with the certificate that we show, and its chain; None shows none."""
    client_key: str | None = None
    """A PEM file with its key; None where it is in the same file."""

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(name for name in (self.ca_file, self.client_cert, self.client_key) if name is not None)


SYSTEM = Trust()
MOST_BYTES: Final = 4 * 1024 * 1024
"""Of a file of authorities: a system's own has 250 KB."""

log = structlog.get_logger()

_Key = tuple[str, int, str | None, ssl.SSLContext | None, Proxy | None, int]
"""Host, port, unix socket, TLS context, proxy and most connections."""


class Contexts:
    """TLS contexts, one for each `Trust`. To make one takes 10 ms: `prepare` may be called in another thread."""

    def __init__(self) -> None:
        self._made: dict[Trust, tuple[bytes, ssl.SSLContext]] = {}

    def prepare(self, trusts: Iterable[Trust]) -> None:
        """Make what is missing, and anew what rests on a file whose content has changed.

        Raises ValueError, which names them, for files that cannot be used.
        """
        for trust in set(trusts):
            try:
                content = b"".join([_fingerprint(name) for name in trust.files])
                known = self._made.get(trust)
                if known is None or known[0] != content:
                    self._made[trust] = content, _context(trust)
            except (OSError, ValueError) as error:
                raise ValueError(_unusable(trust, error)) from None

    def get(self, trust: Trust) -> ssl.SSLContext:
        """The context of `trust`. Raises as `prepare` does, when it must be made first."""
        if trust not in self._made:
            self.prepare((trust,))
        return self._made[trust][1]


def _fingerprint(name: str) -> bytes:
    """Of a file's content. Raises OSError for what is not for reading, as a pipe is, which would hold the thread."""
    try:
        return sha256(read_regular(pathlib.Path(name), MOST_BYTES)).digest()
    except NotReadable as error:
        raise OSError(errno.EINVAL, str(error), name) from None


class RotatedContext:
    """The TLS context of one `Trust`, made anew once what is in its files has changed.

    While a rotation is under way the certificate may be there before its key: until all files fit, the context is the
    one before, and the log says why, once.
    """

    def __init__(self, trust: Trust, of: str) -> None:
        """`of`: whom we ask with it, in words."""
        self._trust = trust
        self._of = of
        self._contexts = Contexts()
        self._made = False
        self._refused = ""

    def get(self) -> ssl.SSLContext:
        """It, as the files are now; in another thread, for it reads them. Raises ValueError where there is none yet."""
        try:
            self._contexts.prepare((self._trust,))
        except ValueError as error:
            why = str(error)
            if not self._made:
                raise
            if why != self._refused:
                self._refused = why
                log.warning("certificates_refused", of=self._of, why=why)
        else:
            if self._refused:
                log.info("certificates_renewed", of=self._of)
            self._made, self._refused = True, ""
        return self._contexts.get(self._trust)


class Pools:
    """See the module. `take` and `give_back` come in pairs."""

    def __init__(
        self, spawn: Spawn, contexts: Contexts | None = None, environ: Mapping[str, str] | None = None
    ) -> None:
        """`environ` may name proxies; None is the process's own."""
        self._environ = os.environ if environ is None else environ
        self.contexts = contexts or Contexts()
        self._spawn = spawn
        self._pools: dict[_Key, Pool] = {}
        self._users: dict[Pool, tuple[_Key, int]] = {}

    def origin(self, url: str, trust: Trust, proxy: str | None = None) -> Origin:
        """Where `url` is, and by which `proxy` (None: the environment's, `direct`: none). Raises ValueError for what
        cannot be used."""
        context = self.contexts.get(trust) if url.startswith("https:") else None
        return parse_origin(url, context, proxy_of(url, proxy, self._environ))

    def proxy_variable(self, url: str, proxy: str | None) -> str:
        """The variable of the environment that names the proxy on the way to `url`; empty where it comes from none."""
        return "" if proxy is not None else variable_for(url, self._environ)

    def take(self, origin: Origin, limit: int) -> Pool:
        """The pool of the server there, with at most `limit` connections. Its base path does not matter."""
        key = origin.host, origin.port, origin.uds, origin.tls, origin.proxy, limit
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


def _unusable(trust: Trust, error: OSError | ValueError) -> str:
    files = " and ".join(trust.files) or "the authorities of the system"
    why = getattr(error, "strerror", None) or str(error)
    if isinstance(error, ssl.SSLError):  # OpenSSL's own words: "no certificate or crl found", or nothing but "PEM lib"
        named = (error.reason or "").lower().replace("_", " ")
        why = named or "no PEM file with what it should hold"
    return f"{files} cannot be used: {why}"


def _context(trust: Trust) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=trust.ca_file)
    if not trust.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if trust.client_cert is not None:
        key = trust.client_key or trust.client_cert

        def refuse() -> str:  # without it OpenSSL would ask on the terminal
            raise ValueError(f"{key}: the private key is encrypted; client_key takes one without a passphrase")

        context.load_cert_chain(trust.client_cert, trust.client_key, refuse)
    return context
