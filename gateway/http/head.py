"""The rules of a request head, each a function of nothing but what it is given.

llhttp has split the head into method, target, version and headers by the time these see it. They refuse what is not one
clear request (RFC 9112 sections 3.2, 6.1 and 6.3; httptools alone lets several of these through), since two readers
who see different requests in the same bytes are what smuggling lives on. Whatever bytes come, nothing but `Failure`
is raised.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv6Address
from typing import Final

from engines.http1.known_head import MAX_LENGTH_DIGITS
from gateway.errors import Failure

Fields = dict[bytes, bytes]
Headers = list[tuple[bytes, bytes]]

MAX_HEADERS: Final = 128
CHUNKED: Final = -1
"""The length of a body that comes in chunks."""

NO_SWITCH: Final = "this server opens no tunnels; ask it in plain HTTP/1.1, by a path such as /v1/models"
LENGTH_ONCE: Final = "the request must state its length once: one content-length, or chunked"
A_HANDSHAKE: Final = "this is a TLS handshake at a port of plain HTTP: ask it with http://, or configure its `tls`"
HOST_ONCE: Final = "the request needs exactly one Host header"

_authority = re.compile(
    rb"(?:\[([0-9A-Fa-f:.]+)\]|(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*)(?::([0-9]{0,5}))?"
).fullmatch
_absolute = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://([^/?#]*)([^#]*)").fullmatch


def read_fields(headers: Headers) -> Fields:
    """The last value of each header. Raises Failure when one that must be said once is not."""
    if len(headers) > MAX_HEADERS:
        raise Failure("headers_too_large", f"the request has more than {MAX_HEADERS} headers")
    fields = dict(headers)
    if len(fields) != len(headers):
        names = [name for name, _ in headers]
        if names.count(b"host") > 1:
            raise Failure("invalid_http", HOST_ONCE)
        if names.count(b"content-length") > 1 or names.count(b"transfer-encoding") > 1:
            raise Failure("invalid_http", LENGTH_ONCE)
    return fields


def read_version(version: str) -> str:
    """`1.0` or `1.1`: a later minor version is answered as the latest we know (RFC 9110 section 2.5)."""
    if version in ("1.1", "1.0"):
        return version
    if version.startswith("1."):
        return "1.1"
    raise Failure("invalid_http", "this server speaks HTTP/1.1 and HTTP/1.0")


def read_length(fields: Fields, version: str) -> int:
    """How long the body is, in bytes, or `CHUNKED`. Raises Failure where two readers could disagree on it."""
    length = fields.get(b"content-length")
    coding = fields.get(b"transfer-encoding")
    if coding is not None:
        if coding.lower() != b"chunked" or version != "1.1":
            raise Failure("invalid_http", "the only transfer-encoding this server reads is chunked, given once")
        if length is not None:
            raise Failure("invalid_http", LENGTH_ONCE)
        return CHUNKED
    if length is None:
        return 0
    if not length.isdigit() or len(length) > MAX_LENGTH_DIGITS:
        raise Failure("invalid_http", f"the content-length must be a number of at most {MAX_LENGTH_DIGITS} digits")
    return int(length)


def check_host(host: bytes) -> None:
    """Refuse a Host that is none (RFC 9112 section 3.2; RFC 3986 section 3.2.2). An empty one is one."""
    found = _authority(host)
    if found is None:
        raise Failure("invalid_http", "the Host header is not a host name or address with an optional port")
    address, port = found.groups()
    if port and int(port) > 65_535:
        raise Failure("invalid_http", "the Host header names a port over 65535")
    if address is not None and not _is_ipv6(address.decode()):
        raise Failure("invalid_http", "the Host header holds brackets around no IPv6 address")


def _is_ipv6(address: str) -> bool:
    try:
        IPv6Address(address)
    except AddressValueError:
        return False
    return True


def read_target(method: bytes, target: bytes) -> tuple[bytes, bytes, bytes | None]:
    """Path, query, and the authority that stands in place of the Host where the target is a whole URL (section 3.2.2).

    Raises Failure for a target that is neither, and for CONNECT, whose target is an authority.
    """
    if method == b"CONNECT":
        raise Failure("invalid_http", NO_SWITCH)
    authority: bytes | None = None
    if not target.startswith(b"/"):
        if target == b"*" and method == b"OPTIONS":
            return target, b"", None
        found = _absolute(target)
        if found is None:
            raise Failure("invalid_http", "the request target must be a path, such as /v1/models")
        authority, target = found.groups()
        if not authority:
            raise Failure("invalid_http", "the request target is a URL without a host")
        check_host(authority)
        if not target.startswith(b"/"):
            target = (b"*" if method == b"OPTIONS" and not target else b"/") + target
    path, _, query = target.partition(b"?")
    return path, query, authority


def path_of(target: bytes) -> bytes:
    """The path of a target that may be cut short or wrong, to tell a refusal's shape by; perhaps empty."""
    found = _absolute(target)
    return (found[2] if found is not None else target).partition(b"?")[0]
