"""When an engine says to come back."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from gateway import clock

if TYPE_CHECKING:
    from engines.port import Headers

MOST_S: Final = 86_400.0


def retry_after_s(headers: Headers) -> float | None:
    """What an answer's headers ask for, in seconds: `retry-after-ms` (OpenAI's and Azure's) where it is a number, else
    `retry-after`. None when neither says anything."""
    whole: float | None = None
    for name, value in headers:
        if name == b"retry-after-ms":
            exact = _number(value)
            if exact is not None:
                return _bounded(exact / 1e3)
        elif name == b"retry-after" and whole is None:
            whole = parse_retry_after(value)
    return whole


def parse_retry_after(value: bytes) -> float | None:
    """Seconds from a Retry-After header (RFC 9110 section 10.2.3): a number, or a date from now."""
    seconds = _number(value)
    if seconds is None:
        try:
            seconds = parsedate_to_datetime(value.decode("latin-1").strip()).timestamp() - clock.wall()
        except (ValueError, TypeError, OverflowError):
            return None
    return _bounded(seconds)


def _number(value: bytes) -> float | None:
    try:
        number = float(value.decode("latin-1").strip())
    except ValueError:
        return None
    return number if number == number else None


def _bounded(seconds: float) -> float:
    return min(max(0.0, seconds), MOST_S)
