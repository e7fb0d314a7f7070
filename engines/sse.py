"""Server-sent events as bytes: find where events end, without decoding them.

The event stream is UTF-8 text in which a blank line ends an event (WHATWG HTML section 9.2.6). Engines end lines with
`\\n` or `\\r\\n`; both are found, a lone `\\r` is not (nobody sends it, and it would make every test ambiguous).
"""

from __future__ import annotations


def whole_events(data: bytes) -> int:
    """How many leading bytes of `data` are whole events (0 if none is complete)."""
    if data.endswith((b"\n\n", b"\r\n\r\n")):
        return len(data)
    line_feeds = data.rfind(b"\n\n")
    pairs = data.rfind(b"\r\n\r\n")
    return max(line_feeds + 2 if line_feeds >= 0 else 0, pairs + 4 if pairs >= 0 else 0)


def split(block: bytes) -> list[bytes]:
    """The events of a block of whole events, each with its blank line."""
    events = []
    start = 0
    end = len(block)
    while start < end:
        line_feeds = block.find(b"\n\n", start)
        pairs = block.find(b"\r\n\r\n", start)
        stop = min(line_feeds + 2 if line_feeds >= 0 else end, pairs + 4 if pairs >= 0 else end)
        events.append(block[start:stop])
        start = stop
    return events


def payload(event: bytes) -> bytes:
    """The joined `data:` lines of one event; empty for a comment or an event without data."""
    if event.startswith(b"data: ") and event.find(b"\n", 0, -2) < 0:
        return event[6:-2]
    lines = [
        line[5:].removeprefix(b" ") for line in event.replace(b"\r\n", b"\n").split(b"\n") if line.startswith(b"data:")
    ]
    return b"\n".join(lines)
