"""Where an engine is: what its URL says about where to connect and what to call it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from engines.http1.proxy import Proxy


@dataclass(frozen=True, slots=True)
class Origin:
    """Where to connect to: a TCP host and port, or a unix socket; TLS when `tls` is given."""

    host: str
    port: int
    base_path: str = ""
    uds: str | None = None
    tls: ssl.SSLContext | None = field(default=None, compare=False)
    proxy: Proxy | None = None
    """What makes a tunnel to it; None where it is reached directly."""

    @property
    def authority(self) -> str:
        """The Host header: brackets for IPv6, the port unless it is the scheme's own."""
        if self.uds is not None:
            return "localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.tls else 80) else f"{host}:{self.port}"


def parse_origin(url: str, tls: ssl.SSLContext | None = None, proxy: Proxy | None = None) -> Origin:
    """Read `http://host:port/base`, `https://...` or `unix:/path/to.sock`.

    `proxy` is on the way to it. `tls` replaces the default context (system authorities, host name checked) of an https
    URL.
    Raises ValueError with a sentence that says what is wrong.
    """
    if url.startswith("unix:"):
        path = url.removeprefix("unix:").removeprefix("//")
        if not path.startswith("/"):
            raise ValueError(f"{url!r}: a unix socket URL is unix:/absolute/path.sock")
        return Origin(host="localhost", port=80, uds=path)
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is not an http://, https:// or unix: URL")
    if parts.query or parts.fragment or parts.username or parts.password:
        raise ValueError("an engine URL has no user, password, query or fragment")
    secure = parts.scheme == "https"
    return Origin(
        host=parts.hostname,
        port=parts.port or (443 if secure else 80),
        base_path=parts.path.rstrip("/"),
        tls=(tls or ssl.create_default_context()) if secure else None,
        proxy=proxy,
    )
