"""Who the unit of a request is: whom its experiment gives an arm, and counts once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from engines.wire import lone_surrogates
from gateway.body.prefixes import conversation
from gateway.experiments.unit_shapes import decode_named

if TYPE_CHECKING:
    from gateway.body.envelope import Envelope
    from gateway.http.request import Request
    from gateway.identity import Principal

USER: Final = "user"
HEADER: Final = "header:"
REQUEST: Final = "request"


def user_of(body: bytes) -> str:
    """Who asks (`Envelope.user`), of a body that has not been parsed."""
    try:
        named = lone_surrogates.reading(decode_named, body)
    except (msgspec.DecodeError, RecursionError):
        return ""
    return named.safety_identifier or named.user or (named.metadata.user_id if named.metadata else None) or ""


def unit_of(unit: str, request: Request, principal: Principal, record_id: bytes, parsed: Envelope | None = None) -> str:
    """The unit of a request, empty where it does not name one. `unit` is as the configuration spells it. `parsed` is
    the request's body, where it has been read."""
    if unit == USER:
        return user_of(request.body) if parsed is None else parsed.user
    if unit.startswith(HEADER):
        return _text(request.fields.get(unit[7:].lower().encode(), b""))
    if unit == "session":
        named = request.fields.get(b"x-session-id")
        return _text(named) if named else conversation(request.body)
    if unit == "key":
        return principal.key_id
    if unit == "tenant":
        return principal.tenant
    return record_id.decode()


def _text(value: bytes) -> str:
    """A header's value: UTF-8, so that who is called so in a body is the same unit; else the bytes, a letter each."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
