"""Who may ask what on the admin port. Judged when a request's head is complete, so no stranger's body is read.

    what                    from elsewhere                        where only this machine can ask
    /health                 anybody                               anybody
    /internal/v1/load       the peers' key, or an admin's         anybody
    /metrics                a key with `metrics` or `admin`       anybody
    everything else         a key with `admin`                    that, or anybody where there are no keys

"Anybody" on this machine is not a page in its browser: loopback names are asked for by name, and no other origin asks.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

from gateway.errors import Failure
from gateway.http.visit import check_open
from gateway.identity import ANONYMOUS, Keyring, Principal, key_shown
from gateway.peers.answer import PATH

if TYPE_CHECKING:
    from gateway.http.head import Fields

HEALTH: Final = b"/health"
LOAD: Final = PATH.encode()
METRICS: Final = b"/metrics"

PEER: Final = Principal(key_id="(peer)", tenant="")


def admitted(path: bytes, fields: Fields, keyring: Keyring, peers_key: bytes, *, local: bool) -> Principal:
    """Who asks for this path. `peers_key` is empty where there are no peers. Raises Failure for whoever may not."""
    if path == HEALTH:
        return ANONYMOUS
    if local:
        check_open(fields, any_host=False)
        if path in (LOAD, METRICS) or keyring.is_open:
            return ANONYMOUS
    shown = key_shown(fields.get(b"authorization"), fields.get(b"x-api-key"))
    if path == LOAD and peers_key and shown and hmac.compare_digest(shown, peers_key):
        return PEER
    known = None if keyring.is_open else keyring.find(fields.get(b"authorization"), fields.get(b"x-api-key"))
    if known is None:
        said = "the key that was shown is not known" if shown else "no key was shown"
        raise Failure("invalid_api_key", f"{said}; the admin port asks for {_asked(path)}: `Authorization: Bearer KEY`")
    if known.admin or (path == METRICS and known.metrics):
        return known
    raise Failure("admin_not_allowed", f"the key {known.key_id!r} is none: the admin port asks for {_asked(path)}")


def _asked(path: bytes) -> str:
    if path == LOAD:
        return "peers.key, or a key with `admin: true`"
    return "a key with `metrics: true` or `admin: true`" if path == METRICS else "a key with `admin: true`"
