"""How much a body may hold that is taken apart. What is read into objects costs by the value, not by the byte: a text
of 16 MiB is read in 5 ms, as many empty messages as fit into it took 3 s, in which a loop stood still.

So values are counted before any is made, and what is made is made in turns: a generator of `int`s goes on with a
reading, and each of its yields says how many elements it has read since the last (an element takes 3 to 4 us).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final, TypeVar

from engines.wire.request import Unreadable

T = TypeVar("T")
MAX_VALUES: Final = 32_768
"""Texts, numbers, lists and objects of one request that is translated, members' names aside. 128 tools have some 8,000,
1,000 calls of tools with their results some 20,000."""
MAX_ELEMENTS: Final = 4_096
"""Messages, parts, calls and tools of one request: what is walked for each engine that is asked."""
MAX_PARTS: Final = 1_024
"""Of one message, or of one result of a tool. OpenAI takes 500 images of a request, Anthropic 100."""
MAX_MEMBERS: Final = 256
"""Of one object whose members are looked at one by one."""
MAX_TEXTS: Final = 2_048
"""Of one request for embeddings, as OpenAI's own bound is."""
MAX_DOCUMENTS: Final = 10_000
"""Of one request to rank them, as Cohere's own bound is."""
MAX_EVENT_VALUES: Final = 8_192
"""Of one event of an engine's: what a client is told of each is a frame of its own."""
MAX_ANSWER_VALUES: Final = 16_384
"""Of one plain answer to a chat."""
MAX_PIECES: Final = 1_024
"""Of one event of an engine's, or one plain answer to a chat: texts, thoughts and calls (two each). What a client is
told of each takes 2 to 4 us."""
DECODING: Final = MAX_PARTS
"""Of a large body, in elements: a few milliseconds."""
BYTES_PER_VALUE: Final = 2
"""At least: itself and what stands before the next."""
_WINDOW_BYTES: Final = 64 * 1024
_WINDOW_ELEMENTS: Final = 128
"""What a window costs at most, in elements."""
_LISTS: Final = ("messages", "input", "system", "tools")
VALUES: Final = b'",{['
LISTS_AND_OBJECTS: Final = b'"{['
MEMBERS: Final = b'":'
"""What may be counted: the bytes that stand before one, and the quote that texts are told by."""
_OTHERS: Final = {
    marks: bytes([byte for byte in range(256) if byte not in marks]) for marks in (VALUES, LISTS_AND_OBJECTS, MEMBERS)
}


def finished(reading: Generator[int, None, T]) -> T:
    """What a reading comes to, with no turn for anybody else."""
    while True:
        try:
            next(reading)
        except StopIteration as end:
            value: T = end.value
            return value


class Counting:
    """Counts the values of a JSON document that comes in pieces, and stops once there are more than `most`.

    Counted is what begins one, outside of texts: a comma, brace or bracket. `marks` says what else is counted. Of what
    is no JSON, any count. `start`: so many bytes before the document are no part of it.
    """

    __slots__ = ("_count", "_escaped", "_inside", "_most", "_others", "at")

    def __init__(self, most: int, marks: bytes = VALUES, start: int = 0) -> None:
        self._most = most
        self._others = _OTHERS[marks]
        self._count = 0
        self._inside = False  # a text
        self._escaped = False
        """Whether the next byte has its backslash in the piece before."""
        self.at = start
        """How many bytes have been counted, and those before the document."""

    @property
    def over(self) -> bool:
        """Whether there were more than `most`."""
        return self._count > self._most

    def add(self, piece: bytes | bytearray) -> None:
        """Count the next bytes."""
        self.at += len(piece)
        if self._count > self._most or not piece:
            return
        if self._escaped:
            piece = piece[1:]
            self._escaped = False
        if b"\\" in piece:
            if (len(piece) - len(piece.rstrip(b"\\"))) % 2:
                piece = piece[:-1]
                self._escaped = True
            piece = piece.replace(b"\\\\", b"").replace(b'\\"', b"")
        pieces = piece.translate(None, self._others).split(b'"')
        self._count += sum(map(len, pieces[1::2] if self._inside else pieces[::2]))
        self._inside ^= len(pieces) % 2 == 0

    def go_on(self, document: bytes | bytearray, *, whole: bool = False) -> None:
        """Count what has come of a document since the last time: windows of it, and all of it once it is `whole`."""
        size = len(document)
        while self.at + _WINDOW_BYTES <= size or (whole and self.at < size):
            self.add(document[self.at : self.at + _WINDOW_BYTES])


def over(
    body: bytes, most: int, marks: bytes = VALUES, *, window_bytes: int = _WINDOW_BYTES
) -> Generator[int, None, bool]:
    """Whether there are more than `most` values in this JSON; see `Counting`."""
    size = len(body)
    if size <= most * BYTES_PER_VALUE:
        return False
    counting = Counting(most, marks)
    while counting.at < size:
        counting.add(body[counting.at : counting.at + window_bytes])
        if counting.over:
            return True
        yield _WINDOW_ELEMENTS
    return False


def check_elements(members: dict[str, Any]) -> None:
    """Raises Unreadable for a request of more messages, parts, calls and tools than are translated."""
    count = 0
    for name in _LISTS:
        value = members.get(name)
        if isinstance(value, list):
            count += len(value)
            if count <= MAX_ELEMENTS:
                count += sum(_within(one, f"{name}[{at}]", 1) for at, one in enumerate(value))
            if count > MAX_ELEMENTS:
                raise Unreadable(f"over {MAX_ELEMENTS} messages, parts, calls and tools are not translated", name)


def _within(value: object, where: str, depth: int) -> int:
    """The elements of the lists that an object has for members: a message's parts, a result's."""
    count = 0
    if isinstance(value, dict):
        for name, one in value.items():
            if isinstance(one, list):
                count += len(one)
                if len(one) > MAX_PARTS:
                    place = where.split("[")[0]
                    raise Unreadable(f"`{where}.{name}` has over {MAX_PARTS} parts, too many to translate", place)
                if depth:
                    count += sum(_within(part, f"{where}.{name}", depth - 1) for part in one)
    return count
