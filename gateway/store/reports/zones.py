"""Days and hours of a time zone, over sums that are kept by the hour of UTC."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gateway.store.reports.requests import NotInSums, NotWanted

HOUR_S: Final = 3_600
HOUR_MS: Final = HOUR_S * 1000
DAY_HOURS: Final = 24
NAME: Final = "UTC"
_OTHER_NAMES: Final = ("Etc/UTC", "Etc/UCT", "Etc/Universal", "Etc/Zulu", "UCT", "Universal", "Zulu")
_NO_NAMES: Final = ("localtime", "posixrules", "Factory")
"""What the machine is set to, and what nobody has set: files beside those of zones."""
_EPOCH: Final = date(1970, 1, 1)


def zone_of(name: str) -> tzinfo:
    """The time zone of this name of the IANA's. Raises NotWanted."""
    if name == NAME or name in _OTHER_NAMES:
        return UTC
    try:
        if name in _NO_NAMES:
            raise ValueError(name)
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise NotWanted(
            f"there is no time zone {name[:40]!r} here; write one like Europe/Berlin (the system's tzdata, or the "
            f"package of that name, has them)"
        ) from None


def pieces(zone: tzinfo, first_hour: int, end_hour: int) -> list[tuple[int, int, int]]:
    """What the zone is ahead of UTC, in hours, from an hour (since 1970) on and before another, in as many pieces as
    there are clock changes. Raises NotInSums where that is no whole number of hours."""
    found: list[tuple[int, int]] = []
    for start in range(first_hour, end_hour, DAY_HOURS):
        stop = min(start + DAY_HOURS, end_hour)
        # No clock is changed twice a day.
        changes = _ahead(zone, start) != _ahead(zone, stop - 1)
        for hour in range(start, stop) if changes else (start,):
            ahead = _ahead(zone, hour)
            if not found or found[-1][1] != ahead:
                found.append((hour, ahead))
    # Of no hours at all there is an end, and no piece.
    ends = [*(hour for hour, _ in found[1:]), end_hour]
    return [(hour, end, ahead) for (hour, ahead), end in zip(found, ends, strict=False)]


def days(zone: tzinfo, first_ms: int, last_ms: int) -> Iterator[tuple[int, int, int]]:
    """Each day of the zone from that of one moment to that of another: its number, counted from 1970, its first Unix
    millisecond and the first after it."""
    day = datetime.fromtimestamp(first_ms / 1000, zone).date()
    start_ms = _midnight_ms(zone, day)
    while start_ms <= last_ms:
        following = day + timedelta(days=1)
        end_ms = _midnight_ms(zone, following)
        yield (day - _EPOCH).days, start_ms, end_ms
        day, start_ms = following, end_ms


def hours(zone: tzinfo, first_ms: int, last_ms: int) -> Iterator[tuple[int, int, int]]:
    """The same of hours; each has the number of its day."""
    start_ms, begun = first_ms, False
    while start_ms <= last_ms:
        local = datetime.fromtimestamp(start_ms / 1000, zone)
        ahead_ms = _seconds(local.utcoffset()) * 1000
        begins_ms = (start_ms + ahead_ms) // HOUR_MS * HOUR_MS - ahead_ms
        if not begun:  # a clock that goes back by half an hour begins its hour again in the midst of it
            start_ms, begun = begins_ms, True
        yield (local.date() - _EPOCH).days, start_ms, begins_ms + HOUR_MS
        start_ms = begins_ms + HOUR_MS


def named_day(number: int) -> str:
    return (_EPOCH + timedelta(days=number)).isoformat()


def named_hour(zone: tzinfo, seconds: float) -> str:
    """With what its clock is ahead of UTC: one hour of a year comes twice."""
    return datetime.fromtimestamp(seconds, zone).isoformat(timespec="minutes").replace("+00:00", "Z")


def _ahead(zone: tzinfo, hour: int) -> int:
    ahead_s = _seconds(datetime.fromtimestamp(hour * HOUR_S, zone).utcoffset())
    if ahead_s % HOUR_S:
        raise NotInSums(f"{zone} is not a whole number of hours from UTC, and sums are of whole hours")
    return ahead_s // HOUR_S


def _seconds(ahead: timedelta | None) -> int:
    return 0 if ahead is None else int(ahead.total_seconds())


def _midnight_ms(zone: tzinfo, day: date) -> int:
    return int(datetime.combine(day, time(), zone).timestamp() * 1000)
