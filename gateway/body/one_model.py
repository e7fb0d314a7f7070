"""Whether a body names its model once: two `model` members could mean two things to two parsers.

A JSON decoder keeps the last of two members and says nothing. One that hands every object to a hook takes 50 ms a MiB,
and a tool with a property named `model` (a schema of cars) is enough to have to look. So a decoder of a struct whose
`model` is a `Name` looks: it skips everything else in C, and asks us about each text that the outermost object has for
that member, escapes in the member's name resolved; 1 to 2 ms per MiB.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Callable
from typing import TypeVar

import msgspec

T = TypeVar("T")
_texts: list[str] = []
"""What the look in progress has found."""


class Name(enum.Enum):
    """The type of a `model` that is counted. No text of a body is one of its values: each of them is `_missing_`."""

    ANY = os.urandom(16).hex()

    @classmethod
    def _missing_(cls, value: object) -> Name:
        _texts.append(str(value))
        if len(_texts) > 1:
            raise ValueError("a second model")  # a million of them would take half a second
        return cls.ANY


class NamedTwice(Exception):
    """A body has two models."""


class _Named(msgspec.Struct):
    model: Name


_look = msgspec.json.Decoder(_Named).decode


def reading_once(decode: Callable[[bytes], T], body: bytes) -> tuple[T, str]:
    """What a decoder of a struct with a `Name` makes of a body, and the text of its one model.

    Raises NamedTwice at a second text, ValidationError where the model is none, and else as the decoder does.
    """
    _texts.clear()
    try:
        read = decode(body)
    except msgspec.ValidationError:
        if len(_texts) > 1:
            raise NamedTwice from None
        raise
    return read, _texts[0]


def names_model_once(body: bytes) -> bool:
    """Of a body that was decoded already and has a text as its `model`: what is no text is another one."""
    try:
        reading_once(_look, body)
    except (NamedTwice, msgspec.ValidationError):
        return False
    return True
