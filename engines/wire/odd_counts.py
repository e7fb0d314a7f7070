"""Usage that may not be quite what its format says: one odd member must not lose the rest.

Each count that can be understood counts, the others are unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from engines.model import INPUT, OUTPUT
from engines.wire.lone_surrogates import reading
from engines.wire.refusals import decoded

MOST = 2**40

_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode

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


def both_counts(before: int | None, after: int | None, total: int | None = None) -> tuple[int, int, int]:
    """Tokens of input and of output, one of which may be missing, and which of them is unsaid (`Usage.unsaid`): a
    `total` that is more than the one says the other."""
    if before is not None and after is not None:
        return before, after, 0
    if before is None:
        if after is None:
            return 0, 0, INPUT | OUTPUT
        return (total - after, after, 0) if total is not None and total > after else (0, after, INPUT)
    return (before, total - before, 0) if total is not None and total > before else (before, 0, OUTPUT)


def counts_of(raw: bytes | msgspec.Raw, *details: str) -> dict[str, Any] | None:
    """The counts of a usage object, with those of its members named in `details`; None when it says nothing."""
    members = _members(raw)
    counts: dict[str, Any] = {}
    for key, value in members.items():
        if key not in details:
            count = _count(value)
            if count is not None:
                counts[key] = count
    for key in details:
        if key in members:
            inside = _members(members[key])
            counts[key] = {name: count for name, value in inside.items() if (count := _count(value)) is not None}
    return counts or None


def _members(raw: bytes | msgspec.Raw) -> dict[str, msgspec.Raw]:
    """Of an object, each for itself: a number too large for any (`1e400`) makes nothing of its neighbours."""
    try:
        return reading(_decode_members, bytes(raw))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return {}


def _count(raw: msgspec.Raw) -> int | None:
    """A number of tokens, as it should be or as a whole float or a string of digits."""
    value = decoded(bytes(raw))
    if isinstance(value, str) and value.isdecimal() and len(value) < 17:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST else None
