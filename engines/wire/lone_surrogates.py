r"""Half of a surrogate pair written as an escape, `"\ud83d"`: what a text cut inside an emoji becomes.

JSON's grammar has it (RFC 8259 section 8.2) and most parsers take it; our decoder takes none. So a document that it
refused is read as a copy that has something else in the place of each half. Nothing here is for one that it reads.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

LARGEST_BYTES: Final = 4 * 1024 * 1024
"""To look through one takes up to 7 ms a MiB; a larger one stays refused."""
MOST: Final = 4096
"""Escapes of surrogates that are looked at in one document, up to 3 us each; one of more stays refused."""
RUN_BYTES: Final = 64
"""How far back is looked for the backslashes that escape one another; a document with a longer run stays refused."""

_HALF: Final = re.compile(rb"\\u[dD]([89a-fA-F])[0-9a-fA-F]{2}")
_LOW: Final = b"cdefCDEF"
_UNKNOWN: Final = rb"\ufffd"
_HIDDEN: Final = b"\\\\\x7f"
"""Stands for `\\ud`: as long, and text to a decoder."""

T = TypeVar("T")


def reading(decode: Callable[[bytes], T], document: bytes) -> T:
    """What `decode` makes of a document, with U+FFFD for each lone half. Raises as it does."""
    try:
        return decode(document)
    except msgspec.DecodeError:
        readable = replaced(document)
        if readable is None:
            raise
    return decode(readable)


def replaced(document: bytes) -> bytes | None:
    """A copy of the same length with U+FFFD for each lone half; None when there is none."""
    places = _places(document)
    if not places:
        return None
    copy = bytearray(document)
    for at in places:
        copy[at : at + 6] = _UNKNOWN
    return bytes(copy)


def hidden(document: bytes) -> bytes | None:
    """A copy of the same length that `shown` undoes; None when there is no lone half, or it could not."""
    places = _places(document)
    if not places or _HIDDEN in document:
        return None
    copy = bytearray(document)
    for at in places:
        copy[at : at + 3] = _HIDDEN
    return bytes(copy)


def shown(document: bytes) -> bytes:
    """What was `hidden`, or something made of its parts, as it came (the `d` of an escape in lower case)."""
    return document.replace(_HIDDEN, rb"\ud")


def _places(document: bytes) -> list[int]:
    """Where lone halves begin."""
    if len(document) > LARGEST_BYTES:
        return []
    escapes = sorted([*_all(document, rb"\ud"), *_all(document, rb"\uD")])
    if len(escapes) > MOST:
        return []
    places: list[int] = []
    expected = -1
    for at in escapes:
        match = _HALF.match(document, at)
        if match is None:
            continue
        before = document[max(0, at - RUN_BYTES) : at]
        run = len(before) - len(before.rstrip(b"\\"))
        if run == RUN_BYTES:
            return []
        if run % 2:
            continue  # its backslash is the text's
        low = match[1] in _LOW
        if low and at == expected:
            places.pop()
        else:
            places.append(at)
        expected = -1 if low else at + 6
    return places


def _all(document: bytes, text: bytes) -> list[int]:
    # No slower where a document is full of other escapes, as an expression would be.
    found: list[int] = []
    at = document.find(text)
    while at >= 0 and len(found) <= MOST:
        found.append(at)
        at = document.find(text, at + 1)
    return found
