"""Who the unit of a request is: whom its experiment gives an arm, and counts once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import msgspec

from engines.wire import lone_surrogates
from gateway.body.prefixes import conversation
from gateway.body.shapes import NULL
from gateway.experiments.unit_shapes import decode_metadata, decode_named, decode_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.body.envelope import Envelope
    from gateway.body.shapes import Body
    from gateway.http.request import Request
    from gateway.identity import Principal

USER: Final = "user"
HEADER: Final = "header:"

T = TypeVar("T")


def user_of(body: bytes) -> str:
    """OpenAI's `safety_identifier`, or what it was before, `user`; Anthropic's `metadata.user_id`. Empty for none."""
    try:
        named = lone_surrogates.reading(decode_named, body)
    except (msgspec.DecodeError, RecursionError):
        return ""
    return named.safety_identifier or named.user or (named.metadata.user_id if named.metadata else None) or ""


def user_in(body: Body) -> str:
    """The same of a body that was parsed, which need not be looked through again."""
    try:
        identifier = _read(decode_text, body.safety_identifier)
        user = _read(decode_text, body.user)
        metadata = _read(decode_metadata, body.metadata)
    except (msgspec.DecodeError, RecursionError):
        return ""
    return identifier or user or (metadata.user_id if metadata else None) or ""


def _read(decode: Callable[[bytes], T | None], member: msgspec.Raw) -> T | None:
    return None if member is NULL else lone_surrogates.reading(decode, bytes(member))


def unit_of(unit: str, request: Request, principal: Principal, record_id: bytes, parsed: Envelope | None = None) -> str:
    """The unit of a request, empty where it does not name one. `unit` is as the configuration spells it. `parsed` is
    the request's body, where it has been read."""
    if unit == USER:
        return user_of(request.body) if parsed is None else user_in(parsed.body)
    if unit.startswith(HEADER):
        return request.fields.get(unit[7:].lower().encode(), b"").decode("latin-1")
    if unit == "session":
        named = request.fields.get(b"x-session-id")
        return named.decode("latin-1") if named else conversation(request.body)
    if unit == "key":
        return principal.key_id
    if unit == "tenant":
        return principal.tenant
    return record_id.decode()
