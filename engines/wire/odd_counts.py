"""Usage that may not be quite what its format says: one odd member must not lose the rest.

Each count that can be understood counts, the others are unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from engines.wire.refusals import decoded

MOST = 2**53

W = TypeVar("W")


def usage_of(raw: msgspec.Raw, decode: Callable[[msgspec.Raw], W | None], kind: type[W], *details: str) -> W | None:
    """What a `usage` member says, as far as it can be understood; None when it says nothing.

    `decode` takes one that is as its format's `kind` says; of any other, `details` are the members that hold counts.
    """
    try:
        return decode(raw)
    except msgspec.ValidationError:
        counts = counts_of(raw, *details)
        return None if counts is None else msgspec.convert(counts, kind)


def counts_of(raw: bytes | msgspec.Raw, *details: str) -> dict[str, Any] | None:
    """The counts of a usage object, with those of its members named in `details`; None when it says nothing."""
    usage = decoded(bytes(raw))
    if not isinstance(usage, dict) or not usage:
        return None
    counts: dict[str, Any] = {
        key: count for key, value in usage.items() if key not in details and (count := _count(value)) is not None
    }
    for key in details:
        detail = usage.get(key)
        if isinstance(detail, dict):
            counts[key] = {name: count for name, value in detail.items() if (count := _count(value)) is not None}
    return counts or None


def _count(value: object) -> int | None:
    """A number of tokens, as it should be or as a whole float or a string of digits."""
    if isinstance(value, str) and value.isdecimal() and len(value) < 17:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST else None
