"""Requests whose path is no operation's as it stands: those that mean one all the same go on as that one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from gateway.errors import Failure
from gateway.http.answers import answer_headers
from gateway.http.request import dialect_of

if TYPE_CHECKING:
    from engines.model import Operation
    from gateway.http.detours import Detour
    from gateway.http.handler import Work
    from gateway.http.head import Fields
    from gateway.http.request import Request
    from gateway.identity import Keyring


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
    except Failure as failure:
        ids = door.refused(failure, request.path, request.fields)
        body = failure.body(dialect_of(request.path), ids[0].decode())
        request.connection.respond(failure.status, answer_headers(failure, *ids), body)
        return None
    if detour.model:
        request.body = naming(request.body, detour.model)
    return door.inference(request, detour.operation)


def naming(body: bytes, model: str) -> bytes:
    """The body with this model; as it is where it is no JSON object, which is told by whoever parses it."""
    try:
        members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        return body
    return msgspec.json.encode({**members, "model": model})
