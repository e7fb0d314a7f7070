"""Server-sent events as bytes: find where events end, without decoding them.

The event stream is UTF-8 text in which a blank line ends an event. A line ends with `\\n`, `\\r\\n` or `\\r`, each of
them anywhere, and a byte-order mark may lead (WHATWG HTML section 9.2.5). One case is open when bytes are cut: a `\\r`
at their end may be half of a `\\r\\n`. After a `\\r` it counts as a line end of its own (a stream that ends its lines
so would wait for its next event otherwise); after a `\\n` the next byte is awaited. A `\\n` that comes after all is one
more blank line.
"""

from __future__ import annotations

import re
from typing import Final

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
LF: Final = 10
"""A byte looked for by its number is one memchr(3); `find` parses its arguments longer than it searches an event."""
CR: Final = 13

MOST_LINES: Final = 65_536
"""Of one event: they take 7 ms to read, and an event of 7 MiB may have millions."""
_LONGEST_PING: Final = 64

_end_of_event = re.compile(rb"\n(?:\n|\r\n?)|\r\r\n?").search


def whole_events(data: bytes | bytearray, start: int = 0) -> int:
    """How many leading bytes of `data` are whole events (0 if none is complete).

    `start`: no event ends among the bytes before it, but for two bytes that may be the beginning of an end.
    """
    size = len(data)
    if data.endswith(b"\n\n"):
        return size
    whole = data.rfind(b"\n\n", start) + 2
    whole = 0 if whole == 1 else whole
    if data.find(b"\r", start) < 0:
        return whole
    blank = data.rfind(b"\n\r", start)
    if blank >= 0 and blank + 2 == size:
        blank = data.rfind(b"\n\r", start, blank)
    for at in (blank, data.rfind(b"\r\r", start)):
        if at >= 0:
            stop = at + 2
            whole = max(whole, stop + 1 if data[stop : stop + 1] == b"\n" else stop)
    return whole


def split(block: bytes) -> list[bytes]:
    """The events of a block of whole events, each with its blank line."""
    events = []
    start = 0
    end = len(block)
    plain = CR not in block
    if (
        plain and block.find(b"\n") == end - 2
    ):  # one event of one line, which a single byte finds in a fifth of the time
        return [block]
    while start < end:
        if plain:
            stop = block.find(b"\n\n", start) + 2
        else:
            found = _end_of_event(block, start)
            stop = 1 if found is None else found.end()
        if stop == 1:
            stop = end
        events.append(block[start:stop])
        start = stop
    return events


def says_something(event: bytes) -> bool:
    """False for a comment, an event without data, and the pings that some formats have in place of comments."""
    data = payload(event)
    return len(data) > _LONGEST_PING or (bool(data) and data.replace(b" ", b"") != b'{"type":"ping"}')


_SHORTEST: Final = len(b"data: \n\n")
"""Of less, compiled code takes a slice that ends before it begins for an error."""


def payload(event: bytes) -> bytes:
    """The joined `data:` lines of one event; empty for a comment, an event without data, and one of too many lines."""
    if event.startswith(b"data: ") and LF not in event[:-2] and CR not in event and len(event) >= _SHORTEST:
        return event[6:-2]
    if len(event) > MOST_LINES and event.count(b"\n") + event.count(b"\r") > MOST_LINES:
        return b""
    return b"\n".join([line[5:].removeprefix(b" ") for line in event.splitlines() if line.startswith(b"data:")])
