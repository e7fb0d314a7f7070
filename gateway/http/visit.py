"""Who may come in, judged when a request's head is complete: nothing is buffered for a stranger.

With keys, whoever brings a body shows one before it is read; a request without a body is judged by what it asks for.
Without keys, a web page that the operator happens to look at could spend his provider's keys with a form's POST, or
read answers by pointing a name of its own at 127.0.0.1 (DNS rebinding). So only loopback names are served then, unless
the configuration says `open: true`, and a page of another origin never is, but for inference where `server.cors` names
it. `/health` and `/ready` tell nobody anything.
"""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Final

from engines.operations import PATHS
from gateway.errors import Failure

if TYPE_CHECKING:
    from gateway.http.cors import Cors
    from gateway.http.head import Fields
    from gateway.http.request import Request
    from gateway.identity import Keyring

PROBES: Final = frozenset({b"/health", b"/ready"})
KEYS_OR_OPEN: Final = "configure auth.keys, or write `auth: {open: true}` to serve any name"


def admit(
    request: Request,
    keyring: Keyring,
    *,
    length: int,
    over_unix: bool,
    cors: Cors | None = None,
    covered: bool = True,
) -> None:
    """Set the request's principal where it is known, and who found it. `length` is `head.read_length`'s; 0 is no body.

    An OPTIONS without a body is for anybody: browsers ask before they show a key, and one that is told of no origin
    lets its page ask nothing more. `covered` is whether another origin's page may ask for this path at all.
    Raises Failure for a stranger.
    """
    fields = request.fields
    first = request.method == b"OPTIONS" and not length
    if keyring.is_open:
        if request.path not in PROBES:
            check_host(fields, any_host=keyring.any_host or over_unix)
            if not first:
                check_origin(fields, cors=cors, covered=covered)
    elif not length and request.path not in PATHS:
        return
    if first:
        return
    request.principal = keyring.admit(fields)
    request.admitted_by = keyring


def check_open(fields: Fields, *, any_host: bool) -> None:
    """Whether a gateway without keys serves this Host, and this Origin where no other page may ask. Raises Failure."""
    check_host(fields, any_host=any_host)
    check_origin(fields)


def check_host(fields: Fields, *, any_host: bool) -> None:
    """Whether a gateway without keys serves this Host. Raises Failure."""
    host = fields.get(b"host", b"")
    if not any_host and not is_loopback(host):
        raise Failure(
            "foreign_host",
            f"this gateway has no keys and serves localhost only, not {host.decode('latin-1')[:128]!r}; {KEYS_OR_OPEN}",
        )


def check_origin(fields: Fields, *, cors: Cors | None = None, covered: bool = True) -> None:
    """Whether a gateway without keys serves this Origin's page; `cors` and `covered` as in `admit`. Raises Failure."""
    origin = fields.get(b"origin")
    if origin is None or not is_foreign(origin, fields.get(b"host", b"")):
        return
    page = f"a web page of {origin.decode('latin-1')[:128]!r}"
    if cors is None or not cors.allows(origin):
        raise Failure(
            "foreign_origin",
            f"{page} may not use a gateway that has no keys; "
            "configure auth.keys and server.cors.origins (it opens inference), or call it from the page's own server",
        )
    if not covered:
        raise Failure(
            "foreign_origin",
            f"{page} may not ask for this path; server.cors.origins opens inference and /v1/models, and nothing else",
        )


def is_loopback(host: bytes) -> bool:
    """Whether a Host (name or address, perhaps with a port) means this machine wherever it is resolved."""
    name = _name_of(host)
    if name == b"localhost" or name == b"localhost.":
        return True
    try:
        if name.startswith(b"[") and len(name) > 1:
            return IPv6Address(name[1:-1].decode("latin-1")).is_loopback
        return IPv4Address(name.decode("latin-1")).is_loopback
    except AddressValueError:
        return False


def is_foreign(origin: bytes, host: bytes) -> bool:
    """Whether a page of `origin` (RFC 6454) is neither our own nor of this machine. `null` is anybody's."""
    scheme, mark, rest = origin.partition(b"://")
    if not mark or scheme.lower() not in (b"http", b"https"):
        return True
    return rest.lower() != host.lower() and not is_loopback(rest)


def _name_of(host: bytes) -> bytes:
    if host.startswith(b"["):
        return host[: host.find(b"]") + 1]
    return host.partition(b":")[0].lower()
