"""What an answer's headers tell of the limits of the key that it was asked with: how much is left, and for how long.

Providers count requests and tokens, by the minute mostly; the scarcest of what they tell is what matters.

    OpenAI, Azure, Groq, Fireworks, ...   x-ratelimit-{limit,remaining,reset}-{requests,tokens}, reset as `6m0s`, `12ms`
    Anthropic                             anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-..., a date
    Mistral                               x-ratelimit-{limit,remaining}-{req,tokens}-minute
    OpenRouter                            x-ratelimit-{limit,remaining,reset}, reset in ms since 1970

Where the reset is not told, or cannot be read, it is taken to be half a minute away: the mean of a window of one
minute. A limit of -1 (Azure's responses), or a word that cannot be read, says nothing; that none is left says all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

USUAL_RESET_S: Final = 30.0
MOST_RESET_S: Final = 600.0
"""Limits of a day say little about the next minute."""
_OPENAI: Final = b"x-ratelimit-"
_ANTHROPIC: Final = b"anthropic-ratelimit-"
_UNITS: Final = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)")
_DATES_S: Final = 1e6
"""No limit is reset in so many seconds, twelve days: from here on they are counted from 1970."""
_DATES_MS: Final = 1e11
"""In seconds that would be the year 5138."""
_NUMBER: Final = re.compile(rb"[0-9]{1,15}")


class KeyLimits:
    """`left_ratio`: what part of the scarcest limit is left, 0 to 1; `reset_s`: in how many seconds it is whole."""

    __slots__ = ("left_ratio", "reset_s")

    def __init__(self, left_ratio: float, reset_s: float) -> None:
        self.left_ratio: Final = left_ratio
        self.reset_s: Final = reset_s


def read_limits(headers: Sequence[tuple[bytes, bytes]], wall: Callable[[], float]) -> KeyLimits | None:
    """The scarcest limit that the headers tell; None where they tell none. `wall` tells Unix seconds."""
    told: dict[bytes, dict[bytes, bytes]] = {}
    for name, value in headers:
        if name.startswith(_OPENAI):
            what, _, of = name[len(_OPENAI) :].partition(b"-")
        elif name.startswith(_ANTHROPIC):
            of, _, what = name[len(_ANTHROPIC) :].rpartition(b"-")
        else:
            continue
        told.setdefault(of, {})[what] = value
    scarcest: KeyLimits | None = None
    for parts in told.values():
        limit, left = parts.get(b"limit", b""), parts.get(b"remaining", b"")
        if left == b"0" and not limit:  # Azure leaves the limit out
            limit = b"1"
        if not _NUMBER.fullmatch(limit) or not _NUMBER.fullmatch(left) or int(limit) == 0:
            continue
        ratio = min(1.0, int(left) / int(limit))
        if scarcest is None or ratio < scarcest.left_ratio:
            scarcest = KeyLimits(ratio, seconds_to(parts.get(b"reset", b""), wall))
    return scarcest


def _seconds_to_date(text: str, wall: Callable[[], float]) -> float:
    """Anthropic's are of RFC 3339; what can be read neither way is a usual window away."""
    try:
        at = datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        return USUAL_RESET_S
    return min(MOST_RESET_S, max(0.0, at - wall()))


def seconds_to(reset: bytes, wall: Callable[[], float]) -> float:
    """A duration as OpenAI writes it, a plain number of seconds, or a date: a number of seconds or milliseconds, or in
    words of RFC 3339."""
    text = reset.decode("latin-1")
    found = _DURATION.findall(text)
    if found and "".join(number + unit for number, unit in found) == text:
        return min(MOST_RESET_S, sum(float(number) * _UNITS[unit] for number, unit in found))
    if not _NUMBER.fullmatch(reset):
        return _seconds_to_date(text, wall)
    number = float(reset)
    if number >= _DATES_MS:
        number = number / 1e3 - wall()
    elif number >= _DATES_S:
        number -= wall()
    return min(MOST_RESET_S, max(0.0, number))
