"""The way out through an HTTP proxy: `CONNECT host:port`, and then bytes to and from the engine alone.

The proxy sees where we go and how much is said, never what: TLS is with the engine, through the tunnel. Source: RFC
9110 section 9.3.6. The environment is read as curl and Python's urllib do: `HTTPS_PROXY` (or `https_proxy`) is for
https engines, `NO_PROXY` names hosts, domains, addresses and networks that are reached directly; loopback always is.
"""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import unquote, urlsplit

MOST_HEAD_BYTES: Final = 16 * 1024
_OTHER_SCHEMES: Final = ("https", "socks4", "socks4a", "socks5", "socks5h")


class ProxyRefused(OSError):
    """The proxy did not make the tunnel. `status` is what it answered, 0 where that was no HTTP."""

    def __init__(self, status: int) -> None:
        super().__init__("the proxy made no tunnel")
        self.status = status


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy, reached without TLS."""

    host: str
    port: int
    authorization: str = field(default="", repr=False)
    """Of `Proxy-Authorization`; empty for none."""


def parse_proxy(url: str) -> Proxy:
    """Read `http://user:password@host:port`. Raises ValueError, which does not quote it."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("a proxy is http://host:port") from None
    if parts.scheme != "http" or not host or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("a proxy is http://host:port")
    authorization = ""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return Proxy(host, port or 80, authorization)


def proxy_of(url: str, written: str | None, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy on the way to an engine: the one `written` (`direct` for none), else the environment's. Raises
    ValueError for one that cannot be used."""
    if url.startswith("unix:") or written == "direct":
        return None
    if written is not None:
        return parse_proxy(written)
    variable = variable_for(url, environ)
    if not variable:
        return None
    named = environ[variable]
    try:
        return parse_proxy(named)
    except ValueError:
        scheme = named.partition("://")[0].lower()
        what = f"names a proxy by {scheme}://" if scheme in _OTHER_SCHEMES else "names no proxy"
        hint = "only http://host:port can be used; name one, or write the engine's proxy, or direct for none"
        raise ValueError(f"{variable} of the environment {what}: {hint}") from None


def variable_for(url: str, environ: Mapping[str, str]) -> str:
    """The variable of the environment that names the proxy on the way to an engine; empty for none."""
    variable = next((name for name in ("https_proxy", "HTTPS_PROXY") if environ.get(name)), "")
    if not variable or not url.startswith("https:"):
        return ""
    host = urlsplit(url).hostname or ""
    return "" if _passed(host, environ.get("no_proxy") or environ.get("NO_PROXY") or "") else variable


def _passed(host: str, names: str) -> bool:
    """Whether a host is reached directly."""
    address: IPv4Address | IPv6Address | None = None
    try:
        address = ip_address(host)
        loopback = address.is_loopback
    except ValueError:
        loopback = host == "localhost" or host.endswith(".localhost")
    return loopback or any(_names(name.strip().lower(), host, address) for name in names.split(","))


def _names(name: str, host: str, address: IPv4Address | IPv6Address | None) -> bool:
    """Whether one name of `NO_PROXY` is the host's: `*`, a domain, an address or a network, with a port or without."""
    if name == "*":
        return True
    if address is None:
        domain = name.removeprefix("*").lstrip(".").partition(":")[0]
        return bool(domain) and (host == domain or host.endswith(f".{domain}"))
    if name.startswith("["):
        name = name[1:].partition("]")[0]
    elif name.count(":") == 1:
        name = name.partition(":")[0]
    try:
        return address in ip_network(name, strict=False)
    except ValueError:
        return False


async def tunnel(loop: asyncio.AbstractEventLoop, sock: socket.socket, proxy: Proxy, host: str, port: int) -> None:
    """Make `sock`, which is connected to the proxy, a connection to the engine. Raises OSError."""
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    head = f"CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n"
    if proxy.authorization:
        head += f"proxy-authorization: {proxy.authorization}\r\n"
    await loop.sock_sendall(sock, f"{head}\r\n".encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        more = await loop.sock_recv(sock, 4096)
        answer += more
        if not more or len(answer) > MOST_HEAD_BYTES:
            raise ProxyRefused(0)
    status = answer.split(b" ", 2)[1:2] if answer.startswith(b"HTTP/1.") else []
    code = int(status[0]) if status and status[0][:3].isdigit() and len(status[0]) == 3 else 0
    # The engine says nothing before we do, so whatever follows the head is no tunnel's.
    if not 200 <= code < 300 or not answer.endswith(b"\r\n\r\n"):
        raise ProxyRefused(code)
