"""Where two JSON values differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final


class Missing:
    def __repr__(self) -> str:
        return "nothing"


MISSING: Final = Missing()
Found = tuple[str, Any, Any]
"""A place, and what each of the two has there."""


def differing(theirs: Any, ours: Any, place: str = "") -> Iterator[Found]:
    """Members of objects by their names, items of lists as `[]`; both as deep as they are alike."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name in sorted(theirs.keys() | ours.keys()):
            inner = f"{place}.{name}" if place else name
            yield from differing(theirs.get(name, MISSING), ours.get(name, MISSING), inner)
    elif isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for one, other in zip(theirs, ours, strict=True):
            yield from differing(one, other, f"{place}[]")
    elif type(theirs) is not type(ours) or theirs != ours:
        yield place, theirs, ours
