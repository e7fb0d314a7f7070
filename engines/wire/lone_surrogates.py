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
"""To look through one takes 1 to 3 ms a MiB; a larger one stays refused."""
MOST: Final = 2048
"""Escapes of surrogates that are looked at in one document, 1 us each; one of more stays refused."""
RUN_BYTES: Final = 64
"""How far back is looked for the backslashes that escape one another; a document with a longer run stays refused."""

_HALF: Final = re.compile(
    rb"\\u[dD](?:[89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F][0-9a-fA-F]{2})|([c-fC-F])[0-9a-fA-F]{2})"
)
"""A high half that no low one follows; or a low one, of which that is its group."""
_HIGH: Final = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}")
_BACKSLASH: Final = ord("\\")
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


def too_many(document: bytes) -> bool:
    """Whether there is more to look through than is looked through, so that a lone half in it is refused."""
    if _BACKSLASH not in document:  # to count takes 20 ms of 16 MiB
        return False
    escapes = document.count(rb"\ud") + document.count(rb"\uD")
    return escapes > MOST or (escapes > 0 and len(document) > LARGEST_BYTES)


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
    places: list[int] = []
    left = MOST
    find, half_at = document.rfind, _HALF.match
    for text in (rb"\ud", rb"\uD"):  # no slower where a document is full of other escapes, as an expression would be
        at = find(text)  # from the end, which takes half the time
        while at >= 0:
            if not left:
                return []
            left -= 1
            half = half_at(document, at)
            if half is not None:
                run = _backslashes(document, at) if at and document[at - 1] == _BACKSLASH else 0
                if run == RUN_BYTES:
                    return []
                # After an odd number its backslash is the text's.
                if run % 2 == 0 and (half.lastindex is None or not _follows_high(document, at)):
                    places.append(at)
            at = find(text, 0, at)
    return places


def _backslashes(document: bytes, at: int) -> int:
    """How many there are just before `at`, up to `RUN_BYTES`."""
    before = document[max(0, at - RUN_BYTES) : at]
    return len(before) - len(before.rstrip(b"\\"))


def _follows_high(document: bytes, at: int) -> bool:
    """Whether the other half of a low one ends where it begins."""
    return at >= 6 and _HIGH.match(document, at - 6) is not None and _backslashes(document, at - 6) % 2 == 0
