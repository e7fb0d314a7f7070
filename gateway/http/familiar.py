"""The head that a client says again: an SDK sends the same bytes with each request of a connection, but for the length.

One that was read by the rules and found good is kept as the bytes before and behind the digits of its content-length.
A head of the same bytes around other digits says the same, so it needs no parser and no rule again, and no second look
at its key while the keyring is the one that knew it. Bodies are counted by these digits, as the parser would.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gateway.http.head import MAX_LENGTH_DIGITS
from gateway.http.request import Request

if TYPE_CHECKING:
    from gateway.http.request import Client
    from gateway.identity import Keyring

ZERO: Final = 48
NINE: Final = 57
MAX_HEAD_BYTES: Final = 4096
"""A longer head is not kept: it would be held for as long as its connection."""


def head_bytes(data: bytes, headers: int) -> int:
    """How long the head is that `data` begins with and that the parser found this many headers in; 0 when unsure.

    Sure is what has a line for the request, one for each header and an empty one, all of which end in CR LF.
    """
    size = data.find(b"\r\n\r\n") + 4
    lines = headers + 2
    if size < 4 or data.count(b"\n", 0, size) != lines or data.count(b"\r\n", 0, size) != lines:
        return 0
    return size


def familiar(head: bytes, request: Request, most_bytes: int) -> Familiar | None:
    """This head, kept to be known again; None for one that must be read by the rules each time.

    `most_bytes` is the limit of a body.
    """
    keyring, fields = request.admitted_by, request.fields
    digits = fields.get(b"content-length")
    if keyring is None or not digits or not request.keep_alive or b"expect" in fields or len(head) > MAX_HEAD_BYTES:
        return None
    if b"origin" in fields:  # whose answers may have lines of their own (`gateway.http.cors`)
        return None
    line = head.lower().find(b"\r\ncontent-length:")
    at = head.find(digits, line + len(b"\r\ncontent-length:"))
    if line < 0 or head[at + len(digits) : at + len(digits) + 1] != b"\r":
        return None  # blanks behind the digits
    return Familiar(head[:at], head[at + len(digits) :], request, keyring, most_bytes)


class Familiar:
    """A known head. It keeps nothing of the request that brought it but what its head says."""

    __slots__ = (
        "_after",
        "_before",
        "_digits",
        "_fields",
        "_headers",
        "_length_at",
        "_method",
        "_most_bytes",
        "_path",
        "_principal",
        "_query",
        "_version",
        "body_at",
        "keyring",
        "length",
    )

    def __init__(self, before: bytes, after: bytes, request: Request, keyring: Keyring, most_bytes: int) -> None:
        self._before = before
        self._after = after
        self._most_bytes = most_bytes
        self._method = request.method
        self._version = request.version
        self._path = request.path
        self._query = request.query
        self._headers = request.headers
        self._fields = request.fields
        self._length_at = [name for name, _ in request.headers].index(b"content-length")
        self._principal = request.principal
        self.keyring = keyring
        """The one that let it in."""
        self._digits = b""
        self.length = 0
        """Of the body, of the head that was met last."""
        self.body_at = 0
        """Where it begins in the read that brought that head."""

    def met(self, data: bytes) -> bool:
        """Whether `data` begins with this head and goes on with no more than its body."""
        before = self._before
        if not data.startswith(before):
            return False
        after, size = self._after, len(data)
        at = end = len(before)
        most = min(size, at + MAX_LENGTH_DIGITS)
        length = 0
        while end < most and ZERO <= data[end] <= NINE:
            length = length * 10 + data[end] - ZERO
            end += 1
        body_at = end + len(after)
        if end == at or data[end:body_at] != after or length > self._most_bytes or size - body_at > length:
            return False
        self._digits = data[at:end]
        self.length = length
        self.body_at = body_at
        return True

    def request(self, client: Client) -> Request:
        """The request whose head was met last, without its body."""
        digits = self._digits
        headers = self._headers.copy()
        headers[self._length_at] = (b"content-length", digits)
        fields = self._fields.copy()
        fields[b"content-length"] = digits
        request = Request(client, self._method, self._version, self._path, self._query, headers, fields, b"", True)
        request.principal = self._principal
        request.admitted_by = self.keyring
        return request
