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
"""The last two digits of an id; those before them are formatted once for 256 ids of one millisecond."""


class RecordIds:
    """Makes the ids of one worker. `run` is what they have in common: 12 hex digits."""

    __slots__ = ("_block", "_count", "_looked_s", "_middle", "_ms", "_offset_ms", "run")

    def __init__(self, run: str = "") -> None:
        """`run` empty draws a new one."""
        self.run = run or os.urandom(RUN_DIGITS // 2).hex()
        self._middle = f"7{self.run[:3]}8{self.run[3:]}".encode()
        self._count = 0
        self._ms = 0
        self._block = b""
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
        if ms != self._ms or not low:
            self._ms = ms
            self._block = b"%012x%b%04x" % (ms, self._middle, count >> 8 & 0xFFFF)
        return self._block + _PAIRS[low]


def time_ms(record_id: str) -> int:
    """When the request arrived, in Unix milliseconds."""
    return int(record_id[:12], 16)


def run_of(record_id: str) -> str:
    """The run whose id it is."""
    return record_id[13:16] + record_id[17:26]


def id_lines(request_id: bytes, record_id: bytes, dialect: Dialect) -> bytes:
    """The header lines that name a request to its client, who speaks `dialect`. Anthropic's clients look for a name of
    their own."""
    if isinstance(dialect, AnthropicMessages):
        ids = (request_id, request_id, record_id)
        return b"x-request-id: %b\r\nrequest-id: %b\r\nx-penstock-record-id: %b\r\n" % ids
    return b"x-request-id: %b\r\nx-penstock-record-id: %b\r\n" % (request_id, record_id)
