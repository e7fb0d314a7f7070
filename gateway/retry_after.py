"""When an engine says to come back."""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from gateway import clock


def parse_retry_after(value: bytes) -> float | None:
    """Seconds from a Retry-After header (RFC 9110 section 10.2.3): a number, or a date from now."""
    text = value.decode("latin-1").strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - clock.wall()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(0.0, seconds), 86_400.0) if seconds == seconds else None
