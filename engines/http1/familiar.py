"""The head that the answers of one origin begin with: a server says the same bytes with each, but for their length, and
its date for as long as a second lasts.

One that was read by the rules is kept for all connections to the origin (`engines.http1.known_head`), until one comes
that differs. Only what says nothing special is kept: a 200 that counts its body, packs nothing, and after which the
connection goes on. Whatever else an answer is, it is read by the parser and the rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from engines.http1.known_head import KnownHead, head_bytes, length_at

if TYPE_CHECKING:
    from engines.port import Headers

MAX_UNMET: Final = 4
"""A server whose heads differ (an id of its own in each) costs so many that are kept in vain."""
AGAIN_AFTER: Final = 64
"""Then one in so many is kept: a server that is asked once a second seems to be such a one, until it is asked more."""


class FamiliarAnswer(KnownHead):
    """A known head of answers. It keeps nothing of the answer that brought it but what its head says."""

    __slots__ = ("_headers", "_length_at", "_told", "_told_digits")

    def __init__(
        self, head: bytes, at: int, digits: bytes, headers: list[tuple[bytes, bytes]], most_bytes: int
    ) -> None:
        super().__init__(head, at, digits, most_bytes)
        self._headers = headers
        self._length_at = [name for name, _ in headers].index(b"content-length")
        self._told = headers
        self._told_digits = digits

    def headers(self) -> Headers:
        """The headers of the head that was met last."""
        digits = self.digits
        if digits != self._told_digits:
            told = self._headers.copy()  # whoever was told the last ones may have kept them
            told[self._length_at] = (b"content-length", digits)
            self._told = told
            self._told_digits = digits
        return self._told


class Familiar:
    """What is known of one origin. Its connections share it, in one event loop."""

    __slots__ = ("_unmet", "known")

    def __init__(self) -> None:
        self.known: FamiliarAnswer | None = None
        self._unmet = 0
        """Heads that might have been kept since one was met again."""

    def met(self) -> None:
        """The known head has come again."""
        self._unmet = 0

    def learn(self, data: bytes, headers: list[tuple[bytes, bytes]], digits: bytes, most_bytes: int) -> None:
        """Keep the head that the read `data` begins with, if it can be. The parser found these headers in it, and in
        one of them these digits; a content-length over `most_bytes` is none."""
        unmet = self._unmet = self._unmet + 1
        if unmet > MAX_UNMET and unmet % AGAIN_AFTER:
            return
        size = head_bytes(data, len(headers))
        if size:
            head = data[:size]
            at = length_at(head, digits)
            if at >= 0:
                self.known = FamiliarAnswer(head, at, digits, headers, most_bytes)
