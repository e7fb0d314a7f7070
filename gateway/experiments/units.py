"""Who the unit of a request is: whom its experiment gives an arm, and counts once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.body.prefixes import conversation

if TYPE_CHECKING:
    from gateway.body.envelope import Envelope
    from gateway.http.request import Request
    from gateway.identity import Principal

USER: Final = "user"
HEADER: Final = "header:"
REQUEST: Final = "request"


def unit_of(unit: str, request: Request, principal: Principal, record_id: bytes, parsed: Envelope) -> str:
    """The unit of a request, empty where it does not name one. `unit` is as the configuration spells it. `parsed` is
    the request's body."""
    if unit == USER:
        return parsed.user
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
