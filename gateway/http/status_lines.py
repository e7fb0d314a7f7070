"""The first lines of answers, with the Date (RFC 9110 section 6.6.1): made once a second, not per answer."""

from __future__ import annotations

from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from gateway import clock

EVERY_S: Final = 1.0
_FIRST: Final = {status: b"HTTP/1.1 %d \r\n" % status for status in range(100, 1000)}  # an engine may say any
_FIRST.update({status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode()) for status in HTTPStatus})
_FIRST[499] = b"HTTP/1.1 499 Client Closed Request\r\n"
_FIRST[529] = b"HTTP/1.1 529 Overloaded\r\n"


class StatusLines(dict[int, bytes]):
    """By status. Each second it is emptied, and a status that is answered then is joined with the new Date once."""

    def __init__(self) -> None:
        super().__init__()
        self._date = b""

    def __missing__(self, status: int) -> bytes:
        line = self[status] = _FIRST[status] + self._date
        return line

    def tell(self, wall_s: float) -> None:
        """What time it is. Until somebody says so, answers have no Date."""
        self._date = b"date: %b\r\n" % formatdate(wall_s, usegmt=True).encode()
        self.clear()


STATUS_LINES: Final = StatusLines()
"""Of the process."""


async def tell_date() -> None:
    """The step of the loop that keeps the Date."""
    STATUS_LINES.tell(clock.wall())
