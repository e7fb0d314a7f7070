"""Browser apps of other origins: which may read our answers (the Fetch standard's CORS protocol).

Only the configuration's origins are let in, to inference and the list of models alone (and to where a wrong base URL
leads, which says so): what operates the gateway is for no page but its own. No answer ever allows cookies: whoever asks
shows a key. A request with such an Origin has a client of its own that adds the lines to whatever is answered; every
other request costs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from engines.operations import PATHS
from gateway.http.detours import detour, right_base_url
from gateway.http.request import Client, Request

ALLOWED: Final = b"allow: GET, HEAD, POST, DELETE, OPTIONS\r\n"
MAX_AGE_S: Final = 600
EXPOSED: Final = (
    b"x-request-id, request-id, x-penstock-record-id, x-penstock-engine, x-penstock-replica, x-penstock-arm, "
    b"x-penstock-attempts, x-penstock-overhead-ms, x-penstock-cost-usd, retry-after, retry-after-ms, x-should-retry"
)
_MODELS: Final = re.compile(rb"(/v1|/openai|/openai/v1)/models(/.*)?", re.DOTALL).fullmatch
_MAY_STRAY: Final = re.compile(
    rb"/(v1(?!/feedback)|chat|completions|embeddings|responses|messages|models)(/[a-z0-9_/]+)?"
).fullmatch
"""Where a wrong base URL leads, in letters that mean themselves: nothing that operates the gateway is there."""
_USUAL_PORTS: Final = (("https://", ":443"), ("http://", ":80"))
"""Which browsers leave out (RFC 6454 section 6.2)."""
_NAMES: Final = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,1024}").fullmatch


class Cors:
    """The origins that may read answers."""

    def __init__(self, origins: Iterable[str]) -> None:
        """`*` is any."""
        self._origins = frozenset(_as_sent(origin).encode() for origin in origins)
        self._any = b"*" in self._origins

    def allows(self, origin: bytes | None) -> bool:
        """Whether pages of this Origin may."""
        return origin is not None and (self._any or origin.lower() in self._origins)

    def covers(self, path: bytes, fields: Mapping[bytes, bytes]) -> bool:
        """Whether this asks from another page for what such a page may ask for, if its origin is one of ours."""
        return b"origin" in fields and (
            path in PATHS or _MODELS(path) is not None or detour(path) is not None or _is_stray(path)
        )

    def lines_of(self, path: bytes, fields: Mapping[bytes, bytes]) -> bytes:
        """The header lines of what a request for this path is refused with, as of `lines`."""
        return self.lines(fields) if self.covers(path, fields) else b""

    def lines(self, fields: Mapping[bytes, bytes]) -> bytes:
        """The header lines of an answer to a request with these headers; empty where its origin may not read it."""
        origin = fields.get(b"origin")
        if origin is None or not self.allows(origin):
            return b""
        shown = b"*" if self._any else origin
        return b"access-control-allow-origin: %b\r\nvary: origin\r\naccess-control-expose-headers: %b\r\n" % (
            shown,
            EXPOSED,
        )


def _as_sent(origin: str) -> str:
    origin = origin.lower()
    for scheme, port in _USUAL_PORTS:
        if origin.startswith(scheme):
            return origin.removesuffix(port)
    return origin


def _is_stray(path: bytes) -> bool:
    """Whether a wrong base URL led here: the page may read which one is right."""
    return _MAY_STRAY(path) is not None and bool(right_base_url(path.decode("latin-1"), ""))


class CorsClient:
    """Whoever asked, with `lines` in every head that is answered. It is a `Client` by its shape."""

    __slots__ = ("_client", "lines")

    def __init__(self, client: Client, lines: bytes) -> None:
        self._client = client
        self.lines = lines

    def respond(self, status: int, headers: bytes, body: bytes) -> None:
        self._client.respond(status, self.lines + headers, body)

    def begin_stream(self, status: int, headers: bytes, first: bytes) -> None:
        self._client.begin_stream(status, self.lines + headers, first)

    def write(self, data: bytes) -> None:
        self._client.write(data)

    def end_stream(self, last: bytes = b"") -> None:
        self._client.end_stream(last)

    def cut(self) -> None:
        self._client.cut()


def options(request: Request) -> None:
    """Answer what a browser asks before it sends anything, or whoever else asks for our methods."""
    headers = ALLOWED
    client = request.connection
    if isinstance(client, CorsClient):
        headers += b"access-control-allow-methods: GET, HEAD, POST, DELETE, OPTIONS\r\n"
        headers += b"access-control-max-age: %d\r\n" % MAX_AGE_S
        wanted = request.fields.get(b"access-control-request-headers", b"")
        if _NAMES(wanted):
            headers += b"access-control-allow-headers: %b\r\n" % wanted
    client.respond(204, headers, b"")
