"""Times as people write them, and Unix milliseconds."""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo
from typing import Final

from gateway.store.reports.requests import NotWanted

_AGO: Final = re.compile(r"(\d{1,6})([mhd])")
_SECONDS: Final = {"m": 60, "h": 3600, "d": 86400}
FORMS: Final = "2026-01-31, 2026-01-31T12:00Z, or 30m, 12h, 7d ago"


def time_ms(text: str, now_s: float, zone: tzinfo = UTC) -> int:
    """A time in this zone unless it says otherwise. Raises NotWanted."""
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return max(0, int((now_s - int(ago[1]) * _SECONDS[ago[2]]) * 1000))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise NotWanted(f"{text!r} is no time: write {FORMS}") from None
    return max(0, int(moment.replace(tzinfo=moment.tzinfo or zone).timestamp() * 1000))
