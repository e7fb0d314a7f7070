"""The messages of `external_scaler.proto` in protobuf's encoding, read and written by hand: there are five small ones.

A field is a tag (number and wire type) and a value: 0 a varint, 1 eight bytes, 2 a length and so many bytes, 5 four
bytes. Unknown fields are passed over; what is cut short or has another type is an error.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

_MOST_VARINT_BYTES: Final = 10
Value = int | bytes


class BadMessage(ValueError):
    """The bytes are no such message."""


@dataclass(frozen=True, slots=True)
class ScaledObjectRef:
    """Which ScaledObject asks, and what its trigger says."""

    name: str = ""
    namespace: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


def read_ref(message: bytes) -> ScaledObjectRef:
    """Raises BadMessage."""
    name = namespace = ""
    metadata: dict[str, str] = {}
    for number, value in _fields(message):
        if number == 1:
            name = _text(value)
        elif number == 2:
            namespace = _text(value)
        elif number == 3:
            entry = {at: _text(each) for at, each in _fields(_bytes(value)) if at in (1, 2)}
            metadata[entry.get(1, "")] = entry.get(2, "")
    return ScaledObjectRef(name, namespace, metadata)


def read_metrics_request(message: bytes) -> tuple[ScaledObjectRef, str]:
    """Who asks, and for which metric. Raises BadMessage."""
    ref, metric = ScaledObjectRef(), ""
    for number, value in _fields(message):
        if number == 1:
            ref = read_ref(_bytes(value))
        elif number == 2:
            metric = _text(value)
    return ref, metric


def is_active(active: bool) -> bytes:
    """An `IsActiveResponse`."""
    return b"\x08\x01" if active else b""


def metric(name: str, value: int) -> bytes:
    """A `GetMetricSpecResponse` or a `GetMetricsResponse` of one metric: they look alike."""
    one = b"\x0a" + _sized(name.encode())
    if value:
        one += b"\x10" + _varint(value) + b"\x19" + struct.pack("<d", float(value))
    return b"\x0a" + _sized(one)


def _fields(message: bytes) -> Iterator[tuple[int, Value]]:
    at = 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise BadMessage("a field without a number")
        if kind == 0:
            value, at = _read_varint(message, at)
            yield number, value
            continue
        if kind == 2:
            size, at = _read_varint(message, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise BadMessage(f"a field of the wire type {kind}")
        if at + size > len(message):
            raise BadMessage("a field is cut short")
        yield number, message[at : at + size]
        at += size


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for position in range(_MOST_VARINT_BYTES):
        if at + position >= len(message):
            raise BadMessage("a number is cut short")
        byte = message[at + position]
        value |= (byte & 0x7F) << (7 * position)
        if byte < 0x80:
            return value, at + position + 1
    raise BadMessage("a number is too long")


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


def _sized(content: bytes) -> bytes:
    return _varint(len(content)) + content


def _bytes(value: Value) -> bytes:
    if isinstance(value, int):
        raise BadMessage("a number where a message should be")
    return value


def _text(value: Value) -> str:
    try:
        return _bytes(value).decode()
    except UnicodeDecodeError:
        raise BadMessage("text that is not UTF-8") from None
