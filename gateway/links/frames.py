"""Frames of a link: how messages are cut, ordered and bounded on their way out, and put together on their way in.

Two lanes share one stream. Control goes first; bulk (counters, expositions, loads) is cut into pieces of
`PIECE_BYTES`, so a control message waits for one piece and never for a whole exposition. Within a lane messages keep
their order. What is unsent is bounded: bulk above its bound is refused, and control above its bound means that the
other end reads nothing any more. A frame is a flag byte, the number of its question (0 for none), its size, its bytes.
"""

from __future__ import annotations

import enum
import struct
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

PIECE_BYTES = 64 * 1024
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
MAX_BULK_BYTES = 16 * 1024 * 1024
"""An exposition of 1,000 series is 7.5 MB."""
MAX_CONTROL_BYTES = 64 * 1024 * 1024

_HEAD = struct.Struct(">BII")
_BULK = 0x10
_MORE = 0x20


class Kind(enum.IntEnum):
    """What a message is to its receiver."""

    TELL = 0
    ASK = 1
    ANSWER = 2
    FAILED = 3
    """The answer to a question is a sentence that says why there is none."""


class Whole(NamedTuple):
    """One message as it came."""

    kind: Kind
    number: int
    bulk: bool
    data: bytes


class Nonsense(Exception):
    """The bytes are no frames of ours."""


class SendQueue:
    """Unsent messages of one end."""

    def __init__(self, *, bulk_bytes: int = MAX_BULK_BYTES, control_bytes: int = MAX_CONTROL_BYTES) -> None:
        self._most = (control_bytes, bulk_bytes)
        self._lanes: tuple[deque[tuple[int, int, bytes]], deque[tuple[int, int, bytes]]] = (deque(), deque())
        self._unsent = [0, 0]

    def __bool__(self) -> bool:
        return bool(self._lanes[0] or self._lanes[1])

    @property
    def unsent_bytes(self) -> int:
        return sum(self._unsent)

    def put(self, kind: Kind, number: int, data: bytes, *, bulk: bool) -> bool:
        """Take one message in; returns False, with nothing taken, when its lane is full."""
        size = len(data)
        if size > MAX_MESSAGE_BYTES or self._unsent[bulk] + size > self._most[bulk]:
            return False
        self._unsent[bulk] += size
        flags = kind | (_BULK if bulk else 0)
        lane = self._lanes[bulk]
        for start in range(0, size, PIECE_BYTES):
            piece = data[start : start + PIECE_BYTES]
            lane.append((flags | (_MORE if start + PIECE_BYTES < size else 0), number, piece))
        if not size:
            lane.append((flags, number, b""))
        return True

    def take(self) -> tuple[bytes, bytes]:
        """The next frame to send, its head and its piece, which is not copied for it; there must be one."""
        bulk = not self._lanes[0]
        flags, number, piece = self._lanes[bulk].popleft()
        self._unsent[bulk] -= len(piece)
        return _HEAD.pack(flags, number, len(piece)), piece

    def clear(self) -> None:
        """Forget everything."""
        for lane in self._lanes:
            lane.clear()
        self._unsent = [0, 0]


class Incoming:
    """Puts the frames of one stream together, each lane for itself."""

    def __init__(self, *, message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._message_bytes = message_bytes
        self._buffer = bytearray()
        self._parts: tuple[list[bytes], list[bytes]] = ([], [])
        self._sizes = [0, 0]
        self._begun: list[tuple[Kind, int] | None] = [None, None]

    def feed(self, data: bytes) -> Iterator[Whole]:
        """The messages that are whole now. Raises Nonsense, and is of no use after that."""
        buffer = self._buffer
        buffer += data
        at = 0
        try:
            while len(buffer) - at >= _HEAD.size:
                flags, number, size = _HEAD.unpack_from(buffer, at)
                if size > PIECE_BYTES:
                    raise Nonsense("a piece is too large")
                end = at + _HEAD.size + size
                if len(buffer) < end:
                    return
                whole = self._piece(flags, number, bytes(buffer[at + _HEAD.size : end]))
                at = end
                if whole is not None:
                    yield whole
        finally:
            del buffer[:at]

    def _piece(self, flags: int, number: int, data: bytes) -> Whole | None:
        bulk, code = bool(flags & _BULK), flags & ~(_BULK | _MORE)
        if code > Kind.FAILED:
            raise Nonsense("a kind of message nobody knows")
        kind = Kind(code)
        begun = self._begun[bulk]
        if begun is not None and begun != (kind, number):
            raise Nonsense("a message began inside another")
        parts = self._parts[bulk]
        parts.append(data)
        self._sizes[bulk] += len(data)
        if self._sizes[bulk] > self._message_bytes:
            raise Nonsense("a message is too large")
        if flags & _MORE:
            self._begun[bulk] = kind, number
            return None
        whole = Whole(kind, number, bulk, b"".join(parts))
        parts.clear()
        self._sizes[bulk], self._begun[bulk] = 0, None
        return whole
