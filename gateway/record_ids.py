"""The ids of records: 16 bytes in the layout of UUIDv7 (RFC 9562 section 5.7), shown as 32 hex digits.

Milliseconds of the wall clock first, so that ids sort by time; then 48 random bits that stand for this process, its
`run`; then a counter. Unique over processes, restarts and gateways, for the price of a counter: no random bits are
drawn per request.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from engines.wire.anthropic_messages.dialect import AnthropicMessages
from gateway import clock

if TYPE_CHECKING:
    from engines.wire import Dialect

RUN_DIGITS: Final = 12
CLOCK_S: Final = 1.0
"""How long the difference of the two clocks is taken for the same: the wall clock may step."""
_PAIRS: Final = tuple(b"%02x" % low for low in range(256))
"""Two digits: a format with a width takes as long as twenty of them."""


class RecordIds:
    """Makes the ids of one worker. `run` is what they have in common: 12 hex digits."""

    __slots__ = ("_block", "_count", "_high", "_looked_s", "_middle", "_ms", "_offset_ms", "_rest", "_started", "run")

    def __init__(self, run: str = "") -> None:
        """`run` empty draws a new one."""
        self.run = run or os.urandom(RUN_DIGITS // 2).hex()
        self._middle = f"7{self.run[:3]}8{self.run[3:]}".encode()
        self._count = 0
        self._ms = -1
        self._high = -1
        self._started = b""
        """The digits of a time but the last four, which stay for a minute (`_high` is what they say)."""
        self._rest = b""
        """Those behind the time but the last two, which stay for 256 ids."""
        self._block = b""
        """All but the last two, which stay for 256 ids of one millisecond."""
        self._offset_ms = 0.0
        self._looked_s = -CLOCK_S

    def next(self, now_s: float) -> bytes:
        """A new id; `now_s` is the monotonic clock's."""
        if now_s - self._looked_s >= CLOCK_S:
            self._looked_s = now_s
            self._offset_ms = (clock.wall() - now_s) * 1e3
        self._count = count = self._count + 1
        low = count & 0xFF
        ms = int(now_s * 1e3 + self._offset_ms)
        if not low or not self._rest:
            self._rest = b"%b%b%b" % (self._middle, _PAIRS[count >> 16 & 0xFF], _PAIRS[count >> 8 & 0xFF])
            self._ms = -1
        if ms != self._ms:
            self._ms = ms
            if ms >> 16 != self._high:
                self._high = ms >> 16
                self._started = b"%08x" % self._high
            self._block = b"%b%b%b%b" % (self._started, _PAIRS[ms >> 8 & 0xFF], _PAIRS[ms & 0xFF], self._rest)
        return self._block + _PAIRS[low]


def time_ms(record_id: str) -> int:
    """When the request arrived, in Unix milliseconds."""
    return int(record_id[:12], 16)


def id_lines(request_id: bytes, record_id: bytes, dialect: Dialect) -> bytes:
    """The header lines that name a request to its client, who speaks `dialect`. Anthropic's clients look for a name of
    their own."""
    if isinstance(dialect, AnthropicMessages):
        ids = (request_id, request_id, record_id)
        return b"x-request-id: %b\r\nrequest-id: %b\r\nx-penstock-record-id: %b\r\n" % ids
    return b"x-request-id: %b\r\nx-penstock-record-id: %b\r\n" % (request_id, record_id)
