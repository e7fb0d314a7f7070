"""Requests whose path is no operation's as it stands: those that mean one all the same go on as that one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from engines.operations import FORMS
from gateway.body import envelope
from gateway.errors import Failure
from gateway.forms import form
from gateway.http.answers import answer_headers
from gateway.http.request import dialect_of

if TYPE_CHECKING:
    from engines.model import Operation
    from gateway.http.detours import Detour
    from gateway.http.handler import Work
    from gateway.http.head import Fields
    from gateway.http.request import Request
    from gateway.identity import Keyring


_OPENING: Final = re.compile(rb"[ \t\r\n]*\{[ \t\r\n]*")
_ESCAPED: Final = b"\\u006"
"""What the name of a `model` holds that is written with escapes."""


class Door(Protocol):
    """Who takes requests: `gateway.workers.reception.Reception`."""

    @property
    def keyring(self) -> Keyring: ...

    def inference(self, request: Request, operation: Operation) -> Work | None: ...

    def refused(self, failure: Failure, path: bytes, fields: Fields) -> tuple[bytes, bytes]: ...


def taken(request: Request, detour: Detour, door: Door) -> Work | None:
    """Begin it as what it means; None when it was answered at once."""
    request.path = detour.path
    try:
        if request.principal is None:
            request.principal = door.keyring.admit(request.fields)
        if detour.model:
            if detour.operation in FORMS:
                request.body = form.naming(request.body, request.fields.get(b"content-type", b""), detour.model)
            else:
                request.body = naming(request.body, detour.model)
    except Failure as failure:
        ids = door.refused(failure, request.path, request.fields)
        dialect = dialect_of(request.path)
        body = failure.body(dialect, ids[0].decode())
        request.connection.respond(failure.status, answer_headers(failure, dialect, *ids), body)
        return None
    return door.inference(request, detour.operation)


def naming(body: bytes, model: str) -> bytes:
    """The body with this model; as it is where it cannot be read, which is told by whoever parses it next.

    Within the bounds of `gateway.body.envelope`, whatever the body holds. Raises Failure (400) for one of so many
    members that its own model cannot be found among them.
    """
    opening = _OPENING.match(body)
    if opening is None:
        return body
    readable = False
    if b'"model"' in body or _ESCAPED in body:
        try:
            own = envelope.parse(body).model
        except Failure as failure:
            if failure.message != envelope.NO_MODEL:
                return body
            readable = True  # what was seen is another's, or null
        else:
            return body if own == model else envelope.rewrite(body, model)
    at = opening.end()
    comma = b"" if body.startswith(b"}", at) else b","
    written = b"".join([b'{"model":', msgspec.json.encode(model), comma, memoryview(body)[at:]])
    try:
        envelope.parse(written)
    except Failure:
        return envelope.rewrite(body, model) if readable else body
    return written
