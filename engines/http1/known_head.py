"""A head that comes again and again, known by its bytes: all of them but the digits of its content-length.

Either side of a kept connection mostly says the same head with each message. Two that differ in nothing but these
digits say the same of everything else, so the second needs neither a parser nor the rules that the first was judged by.
What is made of that is in `engines.http1.familiar` (answers) and `gateway.http.familiar` (requests).
"""

from __future__ import annotations

from typing import Final

ZERO: Final = 48
NINE: Final = 57
MAX_LENGTH_DIGITS: Final = 19
"""Of a content-length: 64 bits have no more, and Python refuses to read a number of thousands of digits."""
MAX_HEAD_BYTES: Final = 4096
"""A longer head is not kept: it would be held for as long as its connection, or its pool."""
_NAME: Final = b"\r\ncontent-length:"


def head_bytes(data: bytes, headers: int) -> int:
    """How long the head is that `data` begins with and that the parser found this many headers in; 0 when unsure.

    Sure is what has one line to begin with, one for each header and an empty one, all of which end in CR LF.
    """
    size = data.find(b"\r\n\r\n") + 4
    lines = headers + 2
    if size < 4 or data.count(b"\n", 0, size) != lines or data.count(b"\r\n", 0, size) != lines:
        return 0
    return size


def length_at(head: bytes, digits: bytes) -> int:
    """Where in `head` the digits of its content-length begin; -1 where they are not followed by the end of their line,
    or the head is too long to be kept."""
    line = head.lower().find(_NAME)
    if line < 0 or len(head) > MAX_HEAD_BYTES or not digits:
        return -1
    at = head.find(digits, line + len(_NAME))
    return at if head[at + len(digits) : at + len(digits) + 1] == b"\r" else -1  # else there are blanks behind them


class KnownHead:
    """One such head, with the length that came with it last."""

    __slots__ = ("_after", "_before", "_most_bytes", "body_at", "digits", "length")

    def __init__(self, head: bytes, at: int, digits: bytes, most_bytes: int) -> None:
        """`at` is `length_at(head, digits)`. A head that tells more than `most_bytes` of body is not met."""
        self._before = head[:at]
        self._after = head[at + len(digits) :]
        self._most_bytes = most_bytes
        self.digits = b""
        """Of the head that was met last."""
        self.length = 0
        """What these say."""
        self.body_at = 0
        """Where the body begins in the read that brought that head."""

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
        self.digits = data[at:end]
        self.length = length
        self.body_at = body_at
        return True
