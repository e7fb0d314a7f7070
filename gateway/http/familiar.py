"""The head that a client says again: an SDK sends the same bytes with each request of a connection, but for the length.

One that was read by the rules and found good is kept as the bytes before and behind the digits of its content-length.
A head of the same bytes around other digits says the same, so it needs no parser and no rule again, and no second look
at its key while the keyring is the one that knew it. Bodies are counted by these digits, as the parser would.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engines.http1.known_head import KnownHead, length_at
from gateway.http.request import Request

if TYPE_CHECKING:
    from gateway.http.request import Client
    from gateway.identity import Keyring


def familiar(head: bytes, request: Request, most_bytes: int) -> Familiar | None:
    """This head, kept to be known again; None for one that must be read by the rules each time.

    `most_bytes` is the limit of a body.
    """
    keyring, fields = request.admitted_by, request.fields
    digits = fields.get(b"content-length")
    if keyring is None or digits is None or not request.keep_alive or b"expect" in fields:
        return None
    if b"origin" in fields:  # whose answers may have lines of their own (`gateway.http.cors`)
        return None
    at = length_at(head, digits)
    return None if at < 0 else Familiar(head, at, digits, request, keyring, most_bytes)


class Familiar(KnownHead):
    """A known head of requests. It keeps nothing of the request that brought it but what its head says."""

    __slots__ = (
        "_fields",
        "_headers",
        "_length_at",
        "_method",
        "_notes",
        "_path",
        "_principal",
        "_query",
        "_told_digits",
        "_told_fields",
        "_told_headers",
        "_version",
        "keyring",
    )

    def __init__(
        self, head: bytes, at: int, digits: bytes, request: Request, keyring: Keyring, most_bytes: int
    ) -> None:
        super().__init__(head, at, digits, most_bytes)
        self._method = request.method
        self._version = request.version
        self._path = request.path
        self._query = request.query
        self._headers = self._told_headers = request.headers
        self._fields = self._told_fields = request.fields
        self._told_digits = digits
        self._notes = request.notes
        self._length_at = [name for name, _ in request.headers].index(b"content-length")
        self._principal = request.principal
        self.keyring = keyring
        """The one that let it in."""

    def request(self, client: Client) -> Request:
        """The request whose head was met last, without its body."""
        digits = self.digits
        if digits != self._told_digits:
            self._told_digits = digits
            # Copies, for a request before this one may still be read from.
            self._told_headers = headers = self._headers.copy()
            headers[self._length_at] = (b"content-length", digits)
            self._told_fields = fields = self._fields.copy()
            fields[b"content-length"] = digits
        request = Request(
            client,
            self._method,
            self._version,
            self._path,
            self._query,
            self._told_headers,
            self._told_fields,
            b"",
            True,
            self._notes,
        )
        request.principal = self._principal
        request.admitted_by = self.keyring
        return request
