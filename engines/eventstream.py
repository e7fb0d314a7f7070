"""AWS event streams as bytes: `application/vnd.amazon.eventstream`, what Bedrock streams in.

A message is `u32 total length, u32 length of its headers, u32 CRC-32 of these eight bytes; headers; payload; u32 CRC-32
of all before`, big-endian. Both sums are checked before anything is believed, the first as soon as its twelve bytes are
there: a length that has been damaged is not waited for. A header is `u8 length, name, u8 type, value`.
Source: botocore's `eventstream.py`, whose bounds these are.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Final

MOST_HEADER_BYTES: Final = 128 * 1024
MOST_PAYLOAD_BYTES: Final = 24 * 1024 * 1024
_PRELUDE: Final = 12
_FRAMING: Final = 16
_STRING: Final = 7
_FIXED: Final = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of a value by its type: true, false, integers of 8 to 64 bits, a time stamp, a UUID. 6 and 7 have a length."""


class Damaged(ValueError):
    """The bytes are no event stream; nothing that follows them can be read."""


class Message:
    """One message: its headers of text (`:event-type` and the like), and its payload."""

    __slots__ = ("headers", "payload")

    def __init__(self, headers: Mapping[str, str], payload: bytes) -> None:
        self.headers = headers
        self.payload = payload

    @property
    def kind(self) -> str:
        """`event`, `exception` or `error`."""
        return self.headers.get(":message-type", "event")

    @property
    def name(self) -> str:
        """Of the event or the exception: `messageStop`, `throttlingException`."""
        headers = self.headers
        return headers.get(":event-type") or headers.get(":exception-type") or headers.get(":error-code", "")


def whole_messages(data: bytes | bytearray, start: int = 0) -> int:
    """How many leading bytes of `data` are whole messages; those before `start` are known to be. Raises Damaged."""
    end = start
    while len(data) - end >= _PRELUDE:
        total, header_bytes, checksum = struct.unpack_from(">III", data, end)
        if zlib.crc32(memoryview(data)[end : end + 8]) != checksum:
            raise Damaged("the checksum of a message's lengths is wrong")
        if header_bytes > MOST_HEADER_BYTES or not 0 <= total - header_bytes - _FRAMING <= MOST_PAYLOAD_BYTES:
            raise Damaged("the lengths of a message are out of bounds")
        if len(data) - end < total:
            break
        end += total
    return end


def payload_start(message: bytes | bytearray) -> int:
    """Where the payload of a message begins, which has its lengths at least."""
    return _PRELUDE + int.from_bytes(message[4:8], "big")


def decode(block: bytes) -> list[Message]:
    """The messages of a block of whole ones. Raises Damaged."""
    messages = []
    at = 0
    while at < len(block):
        if len(block) - at < _FRAMING:
            raise Damaged("a message ends before its checksum")
        total, header_bytes, prelude_sum = struct.unpack_from(">III", block, at)
        end = at + total
        if zlib.crc32(block[at : at + 8]) != prelude_sum:
            raise Damaged("the checksum of a message's lengths is wrong")
        if total < _FRAMING + header_bytes or end > len(block):
            raise Damaged("a message ends before its checksum")
        if zlib.crc32(block[at : end - 4]) != struct.unpack_from(">I", block, end - 4)[0]:
            raise Damaged("the checksum of a message is wrong")
        body = at + _PRELUDE + header_bytes
        messages.append(Message(_headers(block[at + _PRELUDE : body]), block[body : end - 4]))
        at = end
    return messages


def encode(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message."""
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    block = b"".join(
        struct.pack(">B", len(name)) + name + struct.pack(">BH", _STRING, len(value)) + value for name, value in pairs
    )
    prelude = struct.pack(">II", _FRAMING + len(block) + len(payload), len(block))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + block + payload
    return message + struct.pack(">I", zlib.crc32(message))


def _headers(block: bytes) -> dict[str, str]:
    """Those that are text; others are stepped over."""
    headers: dict[str, str] = {}
    at = 0
    try:
        while at < len(block):
            name_end = at + 1 + block[at]
            name = block[at + 1 : name_end].decode()
            kind = block[name_end]
            at = name_end + 1
            if kind in _FIXED:
                at += _FIXED[kind]
            elif kind in (6, _STRING):
                (size,) = struct.unpack_from(">H", block, at)
                at += 2 + size
                if kind == _STRING:
                    headers[name] = block[at - size : at].decode()
            else:
                raise Damaged(f"a header has a value of the unknown type {kind}")
            if at > len(block):
                raise Damaged("a header ends after its block")
    except (IndexError, struct.error, UnicodeDecodeError):
        raise Damaged("the headers of a message cannot be read") from None
    return headers
