"""Rules of the admin port, and of who may read `/metrics`; see `gateway.settings.checks`, which joins them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.settings.errors import Path
from gateway.settings.loopback import is_loopback
from gateway.settings.sections.admin import place_of

Report = Callable[[Path, str, str], None]


def check_admin(tree: dict[str, Any], report: Report) -> None:
    server, admin = _mapping(tree, "server"), tree.get("admin")
    peers = tree.get("peers")
    if peers is not None and admin is None:
        report(("peers",), "could not ask back: gateways answer at their admin port", 'admin: {listen: "0.0.0.0:8081"}')
    if isinstance(peers, dict) and isinstance(admin, dict):
        shown, asked = admin.get("tls") is not None, peers.get("tls", False)
        if isinstance(asked, bool) and shown is not asked:  # all gateways have this configuration
            what = "is for gateways whose admin port has a certificate" if asked else "is false, and admin.tls is there"
            report(("peers", "tls"), what, "leave out one of the two" if asked else "true")
    if isinstance(peers, dict) and peers.get("ca_file") is not None and peers.get("tls", False) is False:
        report(("peers", "ca_file"), "goes with tls", "add `tls: true`, or leave it out")
    _metrics(tree, server.get("metrics"), admin, report)
    place = _place(admin.get("listen")) if isinstance(admin, dict) else None
    if place is None:
        return
    host, port = place
    at: Path = ("admin", "listen")
    dns = _mapping(tree, "peers").get("dns")
    if is_loopback(host) and isinstance(dns, str) and not is_loopback(dns):
        what = "is where only this machine reaches it, and peers ask there"
        report(at, what, "0.0.0.0:8081, or a name in peers.dns that only this machine has")
    taken = server.get("host", "127.0.0.1"), server.get("port", 8080)
    if port and not server.get("uds") and port == taken[1] and (host == taken[0] or _every(host) or _every(taken[0])):
        report(at, "is where clients are served", "choose another port, such as 8081")
    if not is_loopback(host) and not _may(tree, "admin") and _mapping(tree, "peers").get("key") is None:
        report(
            at,
            "is open to other machines, and nobody has a key for it",
            "add a key with `admin: true` to auth.keys, or listen on 127.0.0.1",
        )


def _metrics(tree: dict[str, Any], who: Any, admin: Any, report: Report) -> None:
    at: Path = ("server", "metrics")
    if who == "off" and admin is None:
        report(at, "is off, and there is no other port that serves them", "add admin: {listen: 127.0.0.1:8081}")
    elif who == "key" and not _may(tree, "metrics") and not _may(tree, "admin"):
        report(at, "asks for a key, and none may read them", "add `metrics: true` to one of auth.keys")


def _may(tree: dict[str, Any], right: str) -> bool:
    keys = _mapping(tree, "auth").get("keys")
    return any(isinstance(key, dict) and key.get(right) is True for key in (keys if isinstance(keys, list) else ()))


def _every(host: Any) -> bool:
    return host in ("0.0.0.0", "::")  # noqa: S104 - compared, not listened on


def _place(listen: Any) -> tuple[str, int] | None:
    try:
        return place_of(listen) if isinstance(listen, str) else None
    except ValueError:  # PydanticCustomError is one
        return None


def _mapping(tree: dict[str, Any], key: str) -> dict[str, Any]:
    value = tree.get(key)
    return value if isinstance(value, dict) else {}
