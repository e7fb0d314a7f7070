"""Vectors for texts: the same for the same text, of length one, and nearer the more words two texts share."""

from __future__ import annotations

import base64
import math
import struct
import zlib


def vector(text: str, dimensions: int) -> list[float]:
    """A vector of length 1 (of zeros for no words)."""
    values = [0.0] * dimensions
    for word in text.lower().split():
        values[zlib.crc32(word.encode()) % dimensions] += 1.0
    length = math.sqrt(sum(value * value for value in values)) or 1.0
    return [value / length for value in values]


def packed(values: list[float]) -> str:
    """As OpenAI's `encoding_format: base64` has it: little-endian floats of four bytes."""
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()


def likeness(one: str, other: str) -> float:
    """0 to 1."""
    return sum(a * b for a, b in zip(vector(one, 256), vector(other, 256), strict=True))
