"""Server-sent events out of reads of any size: the same events, whatever the network cut where.

Follows the WHATWG HTML standard, section 9.2: lines end with LF, CRLF or CR, a blank line ends an event, comments and
unknown fields are skipped, several `data` lines are joined by LF, one byte-order mark may come first, and an event
that the end of the stream cuts off is none. It shares no code with any gateway, on purpose.
"""

from __future__ import annotations

Event = tuple[bytes, bytes]
"""The value of its `event` field (mostly empty), and its data."""

MAX_PENDING_BYTES = 8 * 1024 * 1024
"""One event may not be longer. A target that never ends an event would otherwise fill the client's memory."""

_BOM = b"\xef\xbb\xbf"


class SseOverflow(Exception):
    """An event grew beyond MAX_PENDING_BYTES."""


class SseReader:
    """Reads one stream. Feed it each body fragment; it returns the events that became complete."""

    __slots__ = ("_after_cr", "_at_start", "_pending")

    def __init__(self) -> None:
        self._pending = b""  # an event's beginning, its line ends already LF
        self._after_cr = False
        self._at_start = True

    def feed(self, data: bytes) -> list[Event]:
        """Events in order. Raises SseOverflow."""
        # The common case is one whole event of one line per read: 0.35 us instead of 1.1 us by the long way.
        if (
            not self._pending
            and data[:6] == b"data: "
            and data.find(b"\n") == len(data) - 2
            and data[-1] == 10
            and b"\r" not in data
        ):
            self._at_start = self._after_cr = False
            return [(b"", data[6:-2])]
        return self._feed(data)

    def _feed(self, data: bytes) -> list[Event]:
        if not data:
            return []
        if self._after_cr and data[0] == 10:
            data = data[1:]  # the LF of a CRLF whose CR, in the read before, has ended the line already
        self._after_cr = data[-1:] == b"\r"
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *blocks, self._pending = (self._pending + data).split(b"\n\n")
        if len(self._pending) > MAX_PENDING_BYTES:
            raise SseOverflow
        return [event for block in blocks if (event := self._parse(block)) is not None]

    def _parse(self, block: bytes) -> Event | None:
        if self._at_start:
            self._at_start = False
            block = block.removeprefix(_BOM)
        if block[:6] == b"data: " and b"\n" not in block:
            return b"", block[6:]
        name, data = b"", []
        for line in block.split(b"\n"):
            field, _, value = line.partition(b":")
            if field == b"data":
                data.append(value.removeprefix(b" "))
            elif field == b"event":
                name = value.removeprefix(b" ")
        return (name, b"\n".join(data)) if data else None
