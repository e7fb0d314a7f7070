"""When an engine says to come back."""

from __future__ import annotations

from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway import clock

if TYPE_CHECKING:
    from engines.port import Headers

MOST_S: Final = 86_400.0
_MILLISECONDS: Final = (b"retry-after-ms", b"x-ms-retry-after-ms")
_DELAY: Final = b'"retryDelay"'


def retry_after_s(headers: Headers, error_parts: Sequence[bytes] = ()) -> float | None:
    """What an answer asks for, in seconds: `retry-after-ms` (OpenAI's and Azure's, who also calls it
    `x-ms-retry-after-ms`) where it is a number, else `retry-after`, else what its body says. None when none does."""
    whole: float | None = None
    for name, value in headers:
        if name in _MILLISECONDS:
            exact = _number(value)
            if exact is not None:
                return _bounded(exact / 1e3)
        elif name == b"retry-after" and whole is None:
            whole = parse_retry_after(value)
    return whole if whole is not None or not error_parts else delay_told_in(b"".join(error_parts))


def delay_told_in(body: bytes) -> float | None:
    """What Google's errors say in their body: `error.details[].retryDelay`, of `google.rpc.RetryInfo`, as `33s`. None
    where it says nothing, or is no such error."""
    if _DELAY not in body:
        return None
    try:
        told: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    first = told[0] if isinstance(told, list) and told else told  # a stream's error is in a list
    error = first.get("error") if isinstance(first, dict) else None
    details = error.get("details") if isinstance(error, dict) else None
    for one in details if isinstance(details, list) else ():
        delay = one.get("retryDelay") if isinstance(one, dict) else None
        if isinstance(delay, str) and delay.endswith("s"):
            seconds = _number(delay[:-1].encode())
            if seconds is not None:
                return _bounded(seconds)
    return None


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
